"""Partial pooling: statistics of levels of segments, each drawn towards the level above."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tritonbn.blocks import Level, levels_of
from tritonbn.tensors import wide_dtype


class Estimate(NamedTuple):
    """Mean, variance and unbiased variance of the estimate of each block of a level, (C, B)."""

    mean: Tensor
    var: Tensor
    unbiased: Tensor

    def moments(self, origin: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first and the second moment about an origin (C, 1)."""
        offset = self.mean - origin
        return offset, torch.addcmul(self.var, offset, offset)


class Pooling(NamedTuple):
    """The levels of the segments, and how strongly each is drawn towards the one above.

    With n values in a segment and ``share = n / (n + tau)``, the mean and the second moment of its
    estimate are ``share * own + (1 - share) * above``.

    Attributes
    ----------
    table : Tensor of int64
    tau : Tensor, shape (L - 1,)
        The number of values that count as much as the level above, for all levels but the last.
    sizes : list of int
        Together with `table` the levels, as `tritonbn.blocks.divide` returns them.
    """

    table: Tensor
    tau: Tensor
    sizes: Sequence[int]

    @classmethod
    def join(
        cls, table: Tensor | None, tau: Tensor | None, sizes: Sequence[int] | None
    ) -> "Pooling | None":
        """Return a pooling, or None if there is a single level."""
        return None if table is None or tau is None or sizes is None else cls(table, tau, sizes)

    def pool(self, mean: Tensor, var: Tensor, counts: Tensor) -> list[Estimate]:
        """Return the estimates of all levels, from fine to coarse.

        Parameters
        ----------
        mean, var : Tensor, shape (C, S)
            Of the values of each smallest segment alone.
        counts : Tensor, shape (S,)
            The number of values per channel.
        """
        return _pool(self._finer_levels(mean), mean, var, counts)

    def finest(self, mean: Tensor, var: Tensor, counts: Tensor) -> Tensor:
        """Return the estimates of the smallest segments alone, in one tensor (3, C, S)."""
        return torch.stack(self.pool(mean, var, counts)[0])

    def restore(
        self, finest: Tensor | None, mean: Tensor, var: Tensor, counts: Tensor
    ) -> list[Estimate]:
        """Return what `pool` returned, or its first estimate alone if that was kept."""
        return self.pool(mean, var, counts) if finest is None else [Estimate(*finest)]

    def counts(self, own: Tensor) -> Tensor:
        """Return the number of values in the coarsest level, given that of each smallest segment.

        Both have the shape (S,). Smallest segments for which it is 0 have no estimate.
        """
        levels, counts = levels_of(self.table, self.sizes), own
        for level in levels:
            counts = level.above.sum(counts)
        for level in reversed(levels):
            counts = level.above.copy(counts)
        return counts.expand_as(own).contiguous()

    def _finer_levels(self, mean: Tensor) -> list[tuple[Level, Tensor]]:
        """Return each level but the coarsest one, and its tau in the dtype of the mean."""
        strengths = self.tau.to(mean.dtype).unbind()
        return [*zip(levels_of(self.table, self.sizes), strengths, strict=True)]

    def gradients(
        self,
        estimates: list[Estimate],
        counts: Tensor,
        scale: Tensor,
        rstd: Tensor,
        dweight: Tensor,
        dbias: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return how x influences the result through the estimates.

        The first and the second moment of an estimate are weighted sums of the values and their
        squares. Their gradients go back through the levels with the same weights.

        Parameters
        ----------
        estimates : list of Estimate
            What `pool` returned. The finest one is enough if the gradient of tau is not needed.
        counts : Tensor, shape (S,)
            The number of values of each smallest segment alone.
        scale, rstd : Tensor, shape (C, S)
            What x is multiplied by, and the factor ``1 / sqrt(var + eps)`` in it.
        dweight, dbias : Tensor, shape (C, S)
            Sums of ``dy * (x - mean) * rstd`` and of dy, with the mean of the estimate.

        Returns
        -------
        slope, constant : Tensor, shape (C, S)
            The gradient of each included value is ``slope * (x - mean) + constant``, with the mean
            of the estimate.
        dtau : Tensor, shape (L - 1,)
        """
        mean = estimates[0].mean
        # moments about a number near x lose no digits; if it is not finite, 0 keeps that apart
        origin = mean[:, :1].nan_to_num(0.0, 0.0, 0.0)
        offset, falling = mean - origin, -scale
        second = falling * rstd * dweight  # twice the gradient of the second moment
        first = torch.addcmul(falling * dbias, offset, second, value=-1)
        through, dtau = [], []
        for number, (level, tau) in enumerate(self._finer_levels(mean)):
            n = level.counts(counts)
            m = n.clamp(min=1)
            share = n / (m + tau)
            through.append((level, share / m, first, second))
            if len(estimates) > 1:
                fine, coarse = (e.moments(origin) for e in estimates[number : number + 2])
                by_first, by_second = (
                    mine - level.above.copy(theirs)
                    for mine, theirs in zip(fine, coarse, strict=True)
                )
                by_share = first * by_first + 0.5 * second * by_second
                dtau.append(-(by_share / (m + tau)).sum())
            first, second = (level.above.sum(part * (1 - share)) for part in (first, second))
            counts = level.above.sum(counts)
        first, second = (part / counts.clamp(min=1) for part in (first, second))
        for level, weight, *own in reversed(through):
            first, second = (
                level.add_total(level.above.copy(part), gradient, weight)
                for part, gradient in zip((first, second), own, strict=True)
            )
        strengths = torch.stack(dtau) if dtau else mean.new_zeros(len(self.tau))
        return second, torch.addcmul(first, second, offset), strengths


def _pool(
    levels: list[tuple[Level, Tensor]], mean: Tensor, var: Tensor, counts: Tensor
) -> list[Estimate]:
    """Return the estimates of some levels and the coarsest one, given the statistics of blocks.

    The variance that follows from the pooled first and second moment is the mean of the variances
    plus ``share * (1 - share)`` times the squared distance of the means. In this form it cannot
    become negative.
    """
    if not levels:
        return [Estimate(mean, var, _unbiased(var, counts))]
    (level, tau), *coarser = levels
    coarse = _pool(coarser, *level.above.merge(mean, var, counts))
    mean_above, var_above, unbiased_above = map(level.above.copy, coarse[0])
    mean, var, n = level.statistics(mean, var, counts)
    share = n / (n.clamp(min=1) + tau)
    spread = (mean - mean_above).square(), share * (1 - share)
    estimate = Estimate(
        torch.lerp(mean_above, mean, share),
        torch.addcmul(torch.lerp(var_above, var, share), *spread),
        torch.addcmul(torch.lerp(unbiased_above, _unbiased(var, n), share), *spread),
    )
    return [estimate, *coarse]


def _unbiased(var: Tensor, n: Tensor) -> Tensor:
    return var * (n / (n - 1).clamp(min=1))


def no_estimates(x: Tensor) -> Tensor:
    """Return the result of `Pooling.finest` if there is no pooling: an empty tensor."""
    return x.new_empty(0, dtype=wide_dtype(x))


def no_tau(x: Tensor, pooling: Pooling | None) -> Tensor:
    """Return the gradient of tau if it is 0, or if there is no tau."""
    return x.new_zeros(0 if pooling is None else len(pooling.tau), dtype=wide_dtype(x))
