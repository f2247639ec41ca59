"""`Partition`: the segments of a grid as the backends need them, on a device."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

PIECE_CELLS = 256


class Partition(NamedTuple):
    """Ids, and the cells of each segment in compressed sparse row (CSR) form.

    Attributes
    ----------
    ids : Tensor of int64, shape (cells,)
        The segment of each cell, or -1.
    members : Tensor of int32, shape (cells,)
        The cells of segment 0, of segment 1, ..., and last those in none; each in rising order.
    offsets : Tensor of int32, shape (S + 2,)
        Where in `members` each segment begins, then the cells in none, then the end.
    pieces : Tensor of int32, shape (P + 1,)
        Where in `members` each piece of at most 256 cells of one segment begins, then the end.
    piece_offsets : Tensor of int32, shape (S + 1,)
        The first piece of each segment, then their number.
    segments, largest, outside : int
        How many segments there are, and cells in the largest one and in none.
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
        """Sort out flat ids, in which every segment has a cell."""
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
        """Put together what `tensors` and `sizes` take apart."""
        ids, members, offsets, pieces, piece_offsets = tensors
        segments, largest, outside = sizes
        return cls(ids, members, offsets, pieces, piece_offsets, segments, largest, outside)

    @property
    def tensors(self) -> list[Tensor]:
        """The ids and the lists of cells."""
        return [self.ids, self.members, self.offsets, self.pieces, self.piece_offsets]

    @property
    def sizes(self) -> list[int]:
        """The numbers of segments and cells."""
        return [self.segments, self.largest, self.outside]

    def to(self, device: torch.device) -> "Partition":
        """Return the same on another device."""
        return self.join([t.to(device) for t in self.tensors], self.sizes)
