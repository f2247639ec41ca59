"""Partial pooling: statistics of levels of segments, each drawn towards the level above."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tritonbn.tensors import Statistics, wide_dtype


class _Step(NamedTuple):
    """A level of the estimate. Tensors have an entry for each smallest segment, or one for all.

    Attributes
    ----------
    total : callable
        Returns, of numbers (C, S) or (S,), the sum over all smallest segments in that segment.
    n, m : Tensor, shape (S,)
        The number of values in that segment, in `m` at least 1.
    share, derivative : Tensor, shape (S,)
        Their share in the estimate, and its derivative with respect to tau.
    mean, var : Tensor, shape (C, S)
        Of the values in that segment.
    above : (Tensor, Tensor) or None
        Mean and variance of the estimate of the level above, if there is one.
    """

    total: Callable[[Tensor], Tensor]
    n: Tensor
    m: Tensor
    share: Tensor
    derivative: Tensor
    mean: Tensor
    var: Tensor
    above: tuple[Tensor, Tensor] | None

    def estimate(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the mixture of this level and the one above.

        The variance that follows from the pooled first and second moment is the mean of the
        variances plus ``share * (1 - share)`` times the squared distance of the means. In this form
        it cannot become negative.
        """
        if self.above is None:
            return self.mean, self.var
        mean_above, var_above = self.above
        distance = self.mean - mean_above
        within = torch.lerp(var_above.expand_as(self.var), self.var, self.share)
        spread = distance * (self.share * (1 - self.share))
        mean = torch.lerp(mean_above.expand_as(self.mean), self.mean, self.share)
        return mean, torch.addcmul(within, spread, distance)


class Pooling(NamedTuple):
    """The levels of the segments, and how strongly each is drawn towards the one above.

    With n values in a segment and ``share = n / (n + tau)``, the mean and the second moment of its
    estimate are ``share * own + (1 - share) * above``.

    Attributes
    ----------
    levels : Tensor of int64, shape (L, S)
        For each level, from fine to coarse, the segment of that level in which each of the S
        smallest segments lies, or -1 for none.
    tau : Tensor, shape (L - 1,)
        The number of values that count as much as the level above, for all levels but the last.
    sizes : list of int, length L
        The number of segments of each level.
    """

    levels: Tensor
    tau: Tensor
    sizes: Sequence[int]

    @classmethod
    def join(
        cls, levels: Tensor | None, tau: Tensor | None, sizes: Sequence[int] | None
    ) -> "Pooling | None":
        """Return a pooling, or None if there is a single level."""
        return None if levels is None or tau is None or sizes is None else cls(levels, tau, sizes)

    def pool(
        self, mean: Tensor, var: Tensor, counts: Tensor, correction: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the estimates for the smallest segments.

        Parameters
        ----------
        mean, var : Tensor, shape (C, S)
            Of the values of each smallest segment alone.
        counts : Tensor, shape (S,)
            The number of values per channel.
        correction : int
            1 for unbiased variances of each level. Default 0.

        Returns
        -------
        mean, var : Tensor, shape (C, S)
        counts : Tensor, shape (S,)
            The number of values of the coarsest level.
        """
        coarsest, *_, finest = self._steps(mean, var, counts, correction)
        return *finest.estimate(), coarsest.n.expand_as(counts).contiguous()

    def _steps(
        self, mean: Tensor, var: Tensor, counts: Tensor, correction: int = 0
    ) -> Iterator[_Step]:
        """Yield the levels from coarse to fine."""
        above = None
        strengths = [*self.tau.to(mean.dtype).unbind(), None]
        for number, tau in zip(reversed(range(len(self.sizes))), reversed(strengths), strict=True):
            total = self._sums_of(number)
            n = total(counts)
            m = n.clamp(min=1)
            level_mean, level_var = mean, var
            if total is not _each:
                level_mean = total(counts * mean) / m
                level_var = total(counts * (var + (mean - level_mean).square())) / m
            if correction:
                level_var = level_var * (n / (n - correction).clamp(min=1))
            # a segment with values has some in the coarsest level, too, which includes all cells
            share = torch.ones_like(n) if tau is None else n / (m + tau)
            derivative = torch.zeros_like(n) if tau is None else -share / (m + tau)
            step = _Step(total, n, m, share, derivative, level_mean, level_var, above)
            yield step
            above = step.estimate() if number else None

    def _sums_of(self, number: int) -> Callable[[Tensor], Tensor]:
        """Return a function that sums over the segments of a level."""
        level = self.levels[number]
        if is_each(number, self.sizes, len(level)):
            return _each
        if is_one(number, self.sizes):
            return lambda values: values.sum(-1, keepdim=True)
        inside = level >= 0
        place = level.where(inside, self.sizes[number])

        def total(values: Tensor) -> Tensor:
            sums = values.new_zeros(*values.shape[:-1], self.sizes[number] + 1)
            index = place.expand_as(values)
            return sums.scatter_add(-1, index, values).gather(-1, index).where(inside, 0.0)

        return total

    def gradients(
        self, own: Statistics, scale: Tensor, rstd: Tensor, dweight: Tensor, dbias: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return how x influences the result through the estimates.

        Parameters
        ----------
        own : Statistics
            What was given to `pool`.
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
        assert own.counts is not None
        coarsest, *finer = self._steps(own.mean, own.var, own.counts)
        d_mean, d_var = -scale * dbias, -0.5 * scale * rstd * dweight
        slope = constant = torch.zeros_like(scale)
        dtau = []
        for step in reversed(finer):
            assert step.above is not None
            mean_above, var_above = step.above
            share, rest = step.share, 1 - step.share
            distance = step.mean - mean_above
            d_distance = (2 * share * rest) * distance * d_var
            d_share = d_mean * distance + d_var * (
                step.var - var_above + (rest - share) * distance.square()
            )
            dtau.append((d_share.sum(0) * step.derivative).sum())
            slope, constant = self._add(
                step, torch.addcmul(d_distance, share, d_mean), share * d_var, slope, constant
            )
            d_mean, d_var = torch.addcmul(-d_distance, rest, d_mean), rest * d_var
        slope, constant = self._add(coarsest, d_mean, d_var, slope, constant)
        mean, _ = finer[-1].estimate()
        return slope, torch.addcmul(constant, slope, mean), torch.stack(dtau)

    @staticmethod
    def _add(
        step: _Step, d_mean: Tensor, d_var: Tensor, slope: Tensor, constant: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Add the influence of the values of a level, given the gradients of its mean and variance.

        It is ``slope * x + constant`` for each value x.
        """
        own_slope = step.total(d_var) * (2 / step.m)
        own_constant = torch.addcmul(step.total(d_mean) / step.m, own_slope, step.mean, value=-1)
        return slope + own_slope, constant + own_constant


def is_each(number: int, sizes: Sequence[int], smallest: int) -> bool:
    """Return whether the segments of a level are the smallest segments, in their order."""
    return number == 0 and sizes[0] == smallest


def is_one(number: int, sizes: Sequence[int]) -> bool:
    """Return whether a level is the coarsest one, and a single segment."""
    return number == len(sizes) - 1 and sizes[-1] == 1


def _each(values: Tensor) -> Tensor:
    """Return the numbers of a level whose segments are the smallest segments themselves."""
    return values


def no_tau(x: Tensor, pooling: Pooling | None) -> Tensor:
    """Return the gradient of tau if it is 0, or if there is no tau."""
    return x.new_zeros(0 if pooling is None else len(pooling.tau), dtype=wide_dtype(x))
