"""`Partition`: the segments of a grid in the form that the backends use, on one device."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

PIECE_CELLS = 256
"""Number of cells of a segment that one program of a merging kernel handles, at most."""


class Partition(NamedTuple):
    """The ids, and the list of cells of each segment in compressed sparse row (CSR) form.

    Attributes
    ----------
    ids : Tensor of int64, shape (cells,)
        The segment of each cell, or -1.
    members : Tensor of int32, shape (cells,)
        The cells of segment 0, then of segment 1, and so on, and finally those in no segment; each
        in ascending order.
    offsets : Tensor of int32, shape (S + 2,)
        Where each segment begins in `members`, then the cells in no segment, then the end.
    pieces : Tensor of int32, shape (P + 1,)
        Where each piece, at most 256 cells of one segment, begins in `members`, then the end.
    piece_offsets : Tensor of int32, shape (S + 1,)
        The first piece of each segment, then the number of pieces.
    segments, largest, outside : int
        Number of segments, of cells in the largest segment, and of cells in no segment.
    """

    ids: Tensor
    members: Tensor
    offsets: Tensor
    pieces: Tensor
    piece_offsets: Tensor
    segments: int
    largest: int
    outside: int

    @classmethod
    def of(cls, ids: Tensor) -> "Partition":
        """Make the partition from flat ids, in which every segment has at least one cell."""
        counts = torch.bincount(ids[ids >= 0])
        segments, inside = len(counts), int(counts.sum())
        members = ids.where(ids >= 0, segments).argsort(stable=True)
        begins = counts.cumsum(0) - counts
        offsets = torch.cat([begins, begins.new_tensor([inside, len(ids)])])
        pieces_each = (counts + PIECE_CELLS - 1) // PIECE_CELLS
        first_pieces = pieces_each.cumsum(0) - pieces_each
        number = int(pieces_each.sum())
        numbers = torch.arange(number, device=ids.device)
        within = numbers - first_pieces.repeat_interleave(pieces_each)
        piece_begins = begins.repeat_interleave(pieces_each) + PIECE_CELLS * within
        pieces = torch.cat([piece_begins, begins.new_tensor([inside])])
        piece_offsets = torch.cat([first_pieces, begins.new_tensor([number])])
        lists = [t.to(torch.int32) for t in (members, offsets, pieces, piece_offsets)]
        return cls.join([ids, *lists], [segments, int(counts.max()), len(ids) - inside])

    @classmethod
    def join(cls, tensors: Sequence[Tensor], sizes: Sequence[int]) -> "Partition":
        """Make a partition from its `tensors` and its `sizes`."""
        ids, members, offsets, pieces, piece_offsets = tensors
        segments, largest, outside = sizes
        return cls(ids, members, offsets, pieces, piece_offsets, segments, largest, outside)

    @property
    def tensors(self) -> list[Tensor]:
        """The ids and the lists of cells."""
        return [self.ids, self.members, self.offsets, self.pieces, self.piece_offsets]

    @property
    def sizes(self) -> list[int]:
        """Number of segments, cells in the largest one, and cells in none."""
        return [self.segments, self.largest, self.outside]

    def to(self, device: torch.device) -> "Partition":
        """Return the same on another device."""
        return self.join([t.to(device) for t in self.tensors], self.sizes)
