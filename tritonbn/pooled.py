"""`PooledBatchNorm`: the parameters of a layer whose segments have several levels."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from tritonbn.levels import Levels
from tritonbn.pooling import Pooling
from tritonbn.segmented import SegmentedBatchNorm


class PooledBatchNorm(SegmentedBatchNorm):
    """A batch norm layer that may have several levels of segments."""

    weight_deviations: nn.ParameterList
    bias_deviations: nn.ParameterList
    log_tau: nn.Parameter
    learn_pooling = False  # class attribute, for layers pickled by an earlier version
    _tau: Tensor
    _level_index: Tensor

    def _add_levels(self, levels: Levels, tau: Tensor, like: Tensor) -> None:
        """Register what a layer with several levels has besides weight, bias and statistics.

        Parameters
        ----------
        levels : Levels
        tau : Tensor, shape (L - 1,)
        like : Tensor
            Has the device and the dtype of the parameters.
        """
        self.levels = levels
        for name in ("weight", "bias"):
            finer = levels.levels[:-1] if getattr(self, name) is not None else ()
            sizes = [(self.num_features, level.num_segments) for level in finer]
            deviations = [nn.Parameter(like.new_zeros(size)) for size in sizes]
            self.register_module(f"{name}_deviations", nn.ParameterList(deviations))
        self.register_buffer("_level_index", levels.index.to(like.device), persistent=False)
        if self.learn_pooling:
            self.log_tau = nn.Parameter(tau.log().to(like.device))
        else:
            self.register_buffer("_tau", tau.to(like.device), persistent=False)

    @property
    def tau(self) -> Tensor | None:
        """The number of values that count as much as the level above, shape (L - 1,), or None."""
        if self.levels is None:
            return None
        return self.log_tau.exp() if self.learn_pooling else self._tau

    def segment_parameters(self) -> tuple[Tensor | None, Tensor | None]:
        """Return weight and bias of each segment, shape (C, S), or None."""
        if self.levels is None:
            return self.weight, self.bias
        weight, bias = (
            None if coarsest is None else self.levels.total([*finer, coarsest], self._level_index)
            for coarsest, finer in (
                (self.weight, self.weight_deviations),
                (self.bias, self.bias_deviations),
            )
        )
        return weight, bias

    def _pooling(self) -> Pooling | None:
        tau = self.tau
        if tau is None or self.levels is None:
            return None
        return Pooling(self._level_index, tau, self.levels.sizes)


def checked_tau(
    levels: Levels | None, pooling: float | Sequence[float] | None, learned: bool
) -> Tensor:
    """Return tau, shape (L - 1,), or raise the documented errors of `tritonbn.LocalBN`."""
    if levels is None:
        if pooling is not None or learned:
            raise ValueError("pooling needs two or more levels of segments")
        return torch.empty(0)
    if pooling is None:
        raise ValueError("several levels of segments need pooling, a number such as 100.0")
    count = len(levels.levels) - 1
    given = [pooling] * count if isinstance(pooling, int | float) else [*pooling]
    tau = torch.tensor(given, dtype=torch.float32)
    if tau.shape != (count,) or not bool((tau >= 0).all()):
        raise ValueError(
            f"pooling must be a number of at least 0, or {count} of them, got {pooling}"
        )
    if learned and not bool(((tau > 0) & tau.isfinite()).all()):
        raise ValueError(f"pooling that is learned must begin at a positive number, got {pooling}")
    return tau
