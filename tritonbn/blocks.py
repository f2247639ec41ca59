"""`Level`: one of several levels of segments, and the blocks of cells of which it consists."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad


class Groups(NamedTuple):
    """A division of B blocks into groups.

    Attributes
    ----------
    of_block : Tensor of int64, shape (B,)
        The group of each block.
    number : int
        The number of groups.
    """

    of_block: Tensor
    number: int

    def sum(self, values: Tensor) -> Tensor:
        """Return, of numbers (..., B), the sum over each group."""
        if self.number == 1:
            return values.sum(-1, keepdim=True)
        sums = values.new_zeros(*values.shape[:-1], self.number)
        return sums.scatter_add(-1, self.of_block.expand_as(values), values)

    def copy(self, values: Tensor) -> Tensor:
        """Return numbers (..., groups) for each block; a single number is broadcast later."""
        if values.shape[-1] == 1:
            return values
        return values.gather(-1, self.of_block.expand(*values.shape[:-1], -1))

    def merge(self, mean: Tensor, var: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, variance and count of each group, given those of each block."""
        total = self.sum(counts)
        m = total.clamp(min=1)
        common = self.sum(counts * mean) / m
        distance = mean - self.copy(common)
        m2 = self.sum(counts * torch.addcmul(var, distance, distance))
        return common, m2 / m, total


class Level(NamedTuple):
    """A level of segments below the coarsest one.

    A block is a set of cells that are in the same segment at this level and at every coarser one.
    The blocks of the finest level are the smallest segments; those of a level that is nested in all
    coarser ones are its segments.

    Attributes
    ----------
    outside : int
        The number of blocks in no segment of this level. They are the first ones.
    segments : Groups or None
        The segment of each block, where each block in none has a segment of its own ahead of the
        others. None if each block is a segment.
    above : Groups
        The block of the next coarser level in which each block lies.
    """

    outside: int
    segments: Groups | None
    above: Groups

    def statistics(
        self, mean: Tensor, var: Tensor, counts: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean, variance and count of the segment of each block, given those of each block.

        For a block in no segment the count is 0.
        """
        if self.segments is not None:
            mean, var, counts = map(self.segments.copy, self.segments.merge(mean, var, counts))
        return mean, var, self._without_outside(counts)

    def counts(self, counts: Tensor) -> Tensor:
        """Return the count of `statistics` alone."""
        if self.segments is not None:
            counts = self.segments.copy(self.segments.sum(counts))
        return self._without_outside(counts)

    def _without_outside(self, counts: Tensor) -> Tensor:
        return pad(counts[self.outside :], (self.outside, 0)) if self.outside else counts

    def add_total(self, base: Tensor, values: Tensor, weight: Tensor) -> Tensor:
        """Add to `base` the sum of ``values * weight`` over the segment of each block, (C, B)."""
        if self.segments is None:
            return torch.addcmul(base, values, weight)
        return base + self.segments.copy(self.segments.sum(values * weight))

    def copy(self, values: Tensor) -> Tensor:
        """Return numbers (..., segments) for each block, and 0 for a block in no segment."""
        if self.outside:
            values = pad(values, (self.outside, 0))
        return values if self.segments is None else self.segments.copy(values)


def divide(index: Tensor) -> tuple[Tensor, list[int]]:
    """Divide several levels of segments into blocks.

    Parameters
    ----------
    index : Tensor of int64, shape (L, S)
        The segment of each level in which a smallest segment lies, or -1 for none, but not in the
        coarsest level; in lexicographic order.

    Returns
    -------
    table : Tensor of int64, shape (2, sum of the numbers of blocks)
        ``segments.of_block`` and ``above.of_block`` of each level, from fine to coarse.
    sizes : list of int, length 3 * (L - 1) + 1
        The number of blocks, of segments and of blocks in no segment of each level, and finally the
        number of blocks of the coarsest level.
    """
    columns, sizes = [], []
    while len(index) > 1:
        outside = int((index[0] < 0).sum())
        segments = index[0] + outside
        segments[:outside] = torch.arange(outside)
        index, above = torch.unique(index[1:], dim=1, return_inverse=True)
        columns.append(torch.stack([segments, above]))
        sizes += [len(segments), int(segments[-1]) + 1, outside]
    return torch.cat(columns, 1), [*sizes, index.shape[1]]


def levels_of(table: Tensor, sizes: Sequence[int]) -> list[Level]:
    """Return the levels below the coarsest one, given the results of `divide`."""
    *blocks, coarsest = sizes[::3]
    levels = []
    for part, segments, outside, above in zip(
        torch.split(table, blocks, dim=1),
        sizes[1::3],
        sizes[2::3],
        [*blocks[1:], coarsest],
        strict=True,
    ):
        own = None if segments == part.shape[1] else Groups(part[0], segments)
        levels.append(Level(outside, own, Groups(part[1], above)))
    return levels
