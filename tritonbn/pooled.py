"""`PooledBatchNorm`: the parameters of a layer whose segments have several levels."""

import math
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor, nn

from tritonbn.levels import Levels, table_like
from tritonbn.pooling import Pooling
from tritonbn.segmented import SegmentedBatchNorm
from tritonbn.tensors import compute_dtype, wide_dtype


class PooledBatchNorm(SegmentedBatchNorm):
    """A batch norm layer that may have several levels of segments."""

    weight_deviations: nn.ParameterList
    bias_deviations: nn.ParameterList
    log_tau: nn.Parameter
    learn_pooling = False  # class attribute, for layers pickled by an earlier version
    _tau: tuple[float, ...] = ()

    def _add_levels(self, levels: Levels, tau: tuple[float, ...], like: Tensor) -> None:
        """Make the parameters of a layer with several levels besides weight and bias.

        Parameters
        ----------
        levels : Levels
        tau : tuple of float, length L - 1
        like : Tensor
            Has the device and the dtype of the parameters.
        """
        self.levels, self._tau = levels, tau
        for name in ("weight", "bias"):
            finer = levels.levels[:-1] if getattr(self, name) is not None else ()
            sizes = [(self.num_features, level.num_segments) for level in finer]
            deviations = [nn.Parameter(like.new_empty(size)) for size in sizes]
            self.register_module(f"{name}_deviations", nn.ParameterList(deviations))
        if self.learn_pooling:
            self.log_tau = nn.Parameter(like.new_empty(len(tau)))

    def _reset_levels(self) -> None:
        if self.levels is not None:
            for deviation in (*self.weight_deviations, *self.bias_deviations):
                nn.init.zeros_(deviation)
            if self.learn_pooling:
                begin = torch.tensor([math.log(tau) for tau in self._tau], dtype=torch.float64)
                with torch.no_grad():
                    self.log_tau.copy_(begin)

    @property
    def tau(self) -> Tensor | None:
        """The number of values that count as much as the level above, shape (L - 1,), or None."""
        if self.levels is None:
            return None
        if self.learn_pooling:
            return self.log_tau.to(compute_dtype(self.log_tau)).exp()
        return torch.tensor(self._tau)

    def segment_parameters(self) -> tuple[Tensor | None, Tensor | None]:
        """Return weight and bias of each segment, shape (C, S), or None."""
        if self.levels is None:
            return self.weight, self.bias
        weight = self._sum(self.weight, self.weight_deviations)
        return weight, self._sum(self.bias, self.bias_deviations)

    def _sum(self, coarsest: Tensor | None, finer: nn.ParameterList) -> Tensor | None:
        if self.levels is None or coarsest is None:
            return coarsest
        parts = [finer[level] for level in range(len(finer))]  # torch 2.8 cannot trace [*finer]
        return self.levels.total([*parts, coarsest])

    def _pooling(self, x: Tensor) -> Pooling | None:
        """Return the pooling of the statistics of a batch, on the device of x."""
        if self.levels is None:
            return None
        if self.learn_pooling:
            tau = self.log_tau.to(wide_dtype(x)).exp()
        else:  # filled without a copy from the host, which would wait for a GPU
            tau = torch.stack([x.new_full((), tau, dtype=wide_dtype(x)) for tau in self._tau])
        return Pooling(table_like(self.levels, x), tau, self.levels.sizes)


def checked_tau(
    levels: Levels | None, pooling: float | Sequence[float] | None, learned: bool
) -> tuple[float, ...]:
    """Return tau of each level but the last, or raise the errors of `tritonbn.LocalBN`."""
    if levels is None:
        if pooling is not None or learned:
            raise ValueError("pooling needs two or more levels of segments")
        return ()
    if pooling is None:
        raise ValueError("several levels of segments need pooling, a number such as 100.0")
    count = len(levels.levels) - 1
    given = [pooling] * count if isinstance(pooling, Real) else [*pooling]  # type: ignore[misc]
    if len(given) != count or not all(_is_at_least_0(tau) for tau in given):
        raise ValueError(
            f"pooling must be a number of at least 0, or {count} of them, got {pooling}"
        )
    tau = tuple(float(tau) for tau in given)
    if learned and not all(0 < one < math.inf for one in tau):
        raise ValueError(f"pooling that is learned must begin at a positive number, got {pooling}")
    return tau


def _is_at_least_0(tau: object) -> bool:
    return isinstance(tau, Real) and not isinstance(tau, bool) and float(tau) >= 0
