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
    mean_above, var_above : Tensor, shape (C, S)
        The estimate of the level above.
    """

    total: Callable[[Tensor], Tensor]
    n: Tensor
    m: Tensor
    share: Tensor
    derivative: Tensor
    mean: Tensor
    var: Tensor
    mean_above: Tensor
    var_above: Tensor

    def estimate(self) -> tuple[Tensor, Tensor]:
        """Return mean and variance of the mixture of this level and the one above.

        The variance that follows from the pooled first and second moment is the mean of the
        variances plus ``share * (1 - share)`` times the squared distance of the means. In this form
        it cannot become negative.
        """
        rest = 1 - self.share
        mean = self.share * self.mean + rest * self.mean_above
        between = self.share * (self.mean - self.mean_above).square()
        return mean, self.share * self.var + rest * (self.var_above + between)


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
            The number of values of the finest level that has any, and 0 where no level has one.
        """
        steps = [*self._steps(mean, var, counts, correction)]
        known = torch.zeros_like(counts)
        for step in steps:
            known = torch.where(step.n > 0, step.n, known)
        return *steps[-1].estimate(), known

    def _steps(
        self, mean: Tensor, var: Tensor, counts: Tensor, correction: int = 0
    ) -> Iterator[_Step]:
        """Yield the levels from coarse to fine."""
        estimate = torch.zeros_like(mean), torch.zeros_like(var)
        known = torch.zeros_like(counts, dtype=torch.bool)
        strengths = [*self.tau.to(mean.dtype).unbind(), None]
        for number, tau in zip(reversed(range(len(self.sizes))), reversed(strengths), strict=True):
            total = self._sums_of(number)
            n = total(counts)
            m = n.clamp(min=1)
            level_mean = total(counts * mean) / m
            m2 = total(counts * (var + (mean - level_mean).square()))
            share, derivative = (n > 0).to(n.dtype), torch.zeros_like(n)
            if tau is not None:
                drawn = n / (m + tau)
                derivative = torch.where(known, -drawn / (m + tau), derivative)
                share = torch.where(known, drawn, share)
            level_var = m2 / (n - correction).clamp(min=1)
            step = _Step(total, n, m, share, derivative, level_mean, level_var, *estimate)
            yield step
            estimate, known = step.estimate(), known | (n > 0)

    def _sums_of(self, number: int) -> Callable[[Tensor], Tensor]:
        """Return a function that sums over the segments of a level."""
        level = self.levels[number]
        if number == 0 and self.sizes[0] == len(level):
            return lambda values: values  # the smallest segments themselves
        if number == len(self.sizes) - 1 and self.sizes[-1] == 1:
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
        steps = [*self._steps(own.mean, own.var, own.counts)]
        d_mean, d_var = -scale * dbias, -0.5 * scale * rstd * dweight
        slope, constant = torch.zeros_like(scale), torch.zeros_like(scale)
        dtau = []
        for step in reversed(steps):
            share, rest = step.share, 1 - step.share
            distance = step.mean - step.mean_above
            d_share = d_mean * distance + d_var * (
                step.var - step.var_above + (rest - share) * distance.square()
            )
            dtau.append((d_share * step.derivative).sum())
            d_distance = 2 * share * rest * distance * d_var
            per_value = step.total(share * d_mean + d_distance) / step.m
            per_square = 2 * step.total(share * d_var) / step.m
            # a value x of the level adds per_square * (x - step.mean) + per_value
            slope = slope + per_square
            constant = constant + per_value - per_square * step.mean
            d_mean, d_var = rest * d_mean - d_distance, rest * d_var
        mean, _ = steps[-1].estimate()
        return slope, constant + slope * mean, torch.stack(dtau)[:-1]


def no_tau(x: Tensor, pooling: Pooling | None) -> Tensor:
    """Return the gradient of tau if it is 0, or if there is no tau."""
    return x.new_zeros(0 if pooling is None else len(pooling.tau), dtype=wide_dtype(x))
