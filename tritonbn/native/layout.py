"""The columns of x and their segments."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from tritonbn.partition import Partition
from tritonbn.tensors import compute_dtype, is_channels_last, to_rows, wide_dtype

_SCRATCH_BYTES = 4 << 20


class Layout(NamedTuple):
    """How the columns of x are stored, and to which segments they belong.

    Attributes
    ----------
    channels_last : bool
        Whether columns have the shape (L, C), or else (C, L), with L positions.
    ids : Tensor, shape (L,)
        The segment of each position, or -1.
    segments, outside : int
        Number of segments, and of cells in no segment.
    is_identity : bool
        Whether it is known that each position is a segment of its own, in the same order.
    wide, compute : torch.dtype
        The type of the statistics, and of everything as large as x.
    """

    channels_last: bool
    ids: Tensor
    segments: int
    outside: int
    is_identity: bool
    wide: torch.dtype
    compute: torch.dtype

    @classmethod
    def of(cls, x: Tensor, partition: Partition) -> "Layout":
        """Describe x of shape (N, C, *extra, *grid)."""
        frames = x.shape[2:].numel() // len(partition.ids)
        types = (wide_dtype(x), compute_dtype(x))
        return cls.of_frames(frames, partition, is_channels_last(x), *types)

    @classmethod
    def of_frames(
        cls,
        frames: int,
        partition: Partition,
        channels_last: bool,
        wide: torch.dtype,
        compute: torch.dtype,
    ) -> "Layout":
        """Describe columns whose positions are those of a number of grids."""
        ids = partition.ids
        if frames > 1:
            ids = ids.repeat(frames)
        segments = partition.segments
        is_identity = (
            segments == len(ids)
            and ids.device.type == "cpu"  # a GPU would have to be waited for
            and torch.equal(ids, torch.arange(segments))
        )
        return cls(channels_last, ids, segments, partition.outside, is_identity, wide, compute)

    def rows(self, x: Tensor) -> Tensor:
        """View x (N, C, ...) as (N, *columns)."""
        return to_rows(x, self.channels_last)

    def mask_rows(self, mask: Tensor | None, x: Tensor) -> Tensor | None:
        """View a mask as (N, 1, L) or (N, L, 1)."""
        return None if mask is None else self.rows(mask.expand(x.shape[0], 1, *x.shape[2:]))

    def merge(self, *columns: Tensor) -> Tensor:
        """Sum the columns of each segment, for K kinds of numbers: the result is (K, C, S)."""
        stacked = torch.stack(columns).to(self.wide)
        if self.channels_last:
            stacked = stacked.mT
        if self.is_identity:
            return stacked.contiguous()
        if self._is_single:
            return stacked.sum(2, keepdim=True)
        index, sums = self.ids, self.segments
        if self.outside:  # an additional sum collects the cells in no segment
            index, sums = index.where(index >= 0, self.segments), sums + 1
        merged = stacked.new_zeros(*stacked.shape[:2], sums)
        merged.scatter_add_(2, index.expand_as(stacked), stacked)
        return merged[..., : self.segments].contiguous()

    def spread(
        self,
        *values: Tensor,
        present: Tensor | None = None,
        neutral: Sequence[float] = (0.0,),
        dtype: torch.dtype | None = None,
    ) -> Tensor:
        """Copy K values (C, S) of each segment to its columns: the result is (K, *columns).

        Segments that are not `present`, and cells in no segment, get the `neutral` values, of which
        there may be more than K. The default dtype is the compute dtype.
        """
        stacked = torch.stack(values).to(dtype or self.compute)
        if self.outside or present is not None:
            # filled without a copy from the host, which would wait for a GPU
            others = torch.stack([stacked.new_full((1, 1), v) for v in neutral[: len(values)]])
            if present is not None:
                stacked = torch.where(present, stacked, others)
            if self.outside:  # the id -1 picks the last value
                others = others.expand(-1, stacked.shape[1], 1)
                stacked = torch.cat([stacked, others], 2)
        if self.is_identity:
            columns = stacked
        elif self._is_single:
            columns = stacked.expand(-1, -1, len(self.ids))
        else:
            columns = stacked[..., self.ids] if self.outside else stacked.index_select(2, self.ids)
        return (columns.mT if self.channels_last else columns).contiguous()

    @property
    def _is_single(self) -> bool:
        return self.segments == 1 and self.outside == 0


def tiles(rows: Tensor, memory: Tensor | None, most: int) -> Iterator[tuple[slice, Tensor]]:
    """Divide the rows into tiles of at most `most` rows, and yield each with a scratch tensor.

    If there is `memory`, a result that is written later, and its dtype allows it, the scratch
    tensor is the same tile of it: allocating new memory would take longer than the computation.
    """
    compute = compute_dtype(rows)
    scratch = None
    if memory is None or memory.dtype != compute:
        row_bytes = rows.shape[1:].numel() * compute.itemsize
        most = min(most, max(1, _SCRATCH_BYTES // max(1, row_bytes)))
        memory = scratch = torch.empty_like(rows[:most], dtype=compute)
    for start in range(0, len(rows), most):
        tile = slice(start, start + most)
        yield tile, memory[tile] if scratch is None else scratch[: len(rows) - start]


def result_tiles(rows: Tensor, results: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Divide `results` into tiles, and yield tensors of the compute dtype to write to."""
    for tile, scratch in tiles(rows, results, max(1, len(rows))):
        yield tile, scratch
        if scratch.dtype != results.dtype:
            results[tile] = scratch
