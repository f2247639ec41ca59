"""The columns of x and their segments."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tritonbn.native.arithmetic import Arithmetic, Array, arithmetic_on
from tritonbn.partition import Partition
from tritonbn.tensors import compute_dtype, is_channels_last, to_rows, wide_dtype

_SCRATCH_BYTES = 4 << 20


class Layout(NamedTuple):
    """How the columns of x are stored, and to which segments they belong.

    Attributes
    ----------
    channels_last : bool
        Whether columns have the shape (L, C), or else (C, L), with L positions.
    partition : Partition
    frames : int
        How many grids the positions are.
    is_identity : bool
        Whether it is known that each cell is a segment of its own, in the same order.
    wide, compute : torch.dtype
        The type of the statistics, and of everything as large as x.
    arithmetic : Arithmetic
        Of stage 2.
    """

    channels_last: bool
    partition: Partition
    frames: int
    is_identity: bool
    wide: torch.dtype
    compute: torch.dtype
    arithmetic: Arithmetic

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
        ids, segments = partition.ids, partition.segments
        is_identity = (
            segments == len(ids)
            and ids.device.type == "cpu"  # a GPU would have to be waited for
            and torch.equal(ids, torch.arange(segments, device="cpu"))
        )
        arithmetic = arithmetic_on(ids.device)
        return cls(channels_last, partition, frames, is_identity, wide, compute, arithmetic)

    def rows(self, x: Tensor) -> Tensor:
        """View x (N, C, ...) as (N, *columns)."""
        return to_rows(x, self.channels_last)

    def mask_rows(self, mask: Tensor | None, x: Tensor) -> Tensor | None:
        """View a mask as (N, 1, L) or (N, L, 1)."""
        return None if mask is None else self.rows(mask.expand(x.shape[0], 1, *x.shape[2:]))

    def channels_first(self, columns: Array) -> Array:
        """View columns of x as (..., C, L)."""
        return columns.swapaxes(-1, -2) if self.channels_last else columns

    def columns(self, array: Array) -> Tensor:
        """Return an array (..., C, L) as columns of x, contiguous in memory."""
        return self.arithmetic.tensor(self.channels_first(array))

    def by_channels(
        self, function: Callable[..., Array], first: Tensor | Array, *others: Tensor | Array | None
    ) -> Array:
        """Return the result of a function of arrays (C, ...), which is K arrays (C, ...).

        The function is called with each block of channels, so each channel of its result may depend
        on that channel alone. Tensors are passed to it as arrays, and None as it is.
        """
        of = self.arithmetic.of
        arrays = [of(t) if isinstance(t, Tensor) else t for t in (first, *others)]
        width = max(array.shape[1] for array in arrays if array is not None)
        blocks = self.arithmetic.blocks(len(first), width)
        if len(blocks) == 1:
            return function(*arrays)
        parts = [
            function(*(None if array is None else array[channels] for array in arrays))
            for channels in blocks
        ]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def merge(self, *columns: Array) -> Array:
        """Sum columns (C, L) of each segment, for K kinds of numbers: the result is (K, C, S)."""
        stacked = self.arithmetic.stack(columns, self.wide)
        if self.frames > 1:
            cells = len(self.partition.ids)
            stacked = stacked.reshape(*stacked.shape[:2], self.frames, cells).sum(-2)
        if self.is_identity:
            return stacked
        if self._is_single:
            return stacked.sum(-1)[..., None]
        return self.arithmetic.sums(stacked, self.partition)

    def spread(
        self,
        *values: Array,
        present: Array | None = None,
        neutral: Sequence[float] = (0.0,),
        dtype: torch.dtype | None = None,
    ) -> Array:
        """Copy K values (C, S) of each segment to its columns: the result is (K, C, L).

        Segments that are not `present`, and cells in no segment, get the `neutral` values, of which
        there may be more than K. The default dtype is the compute dtype.
        """
        columns = self.arithmetic.stack(values, dtype or self.compute)
        others = self.arithmetic.constants(neutral[: len(values)], columns)
        ids = self.arithmetic.of(self.partition.ids)
        if present is not None:
            columns = self.arithmetic.where(present, columns, others)
        if not (self.is_identity or self._is_single):
            columns = self.arithmetic.take(columns, ids)
        if self.partition.outside:
            columns = self.arithmetic.where(ids >= 0, columns, others)
        if self._is_single or self.frames > 1:
            shape = (*columns.shape[:2], self.frames, len(ids))
            columns = self.arithmetic.expand(columns[..., None, :], shape)
            columns = columns.reshape(*shape[:2], -1)
        return columns

    @property
    def _is_single(self) -> bool:
        return self.partition.segments == 1 and self.partition.outside == 0


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
