"""The description of a call that the kernels are chosen and launched by."""

from math import prod
from typing import Any, NamedTuple

import torch
import triton.language as tl
from torch import Tensor

from tritonbn.partition import Partition
from tritonbn.tensors import is_channels_last


class Problem(NamedTuple):
    """Sizes, memory layout and dtype of x, and the sizes of the segments."""

    batch: int
    frames: int
    channels: int
    cells: int
    segments: int
    largest: int  # cells of the largest segment
    outside: int  # cells in no segment
    dtype: torch.dtype
    channels_last: bool

    @classmethod
    def of(cls, x: Tensor, partition: Partition) -> "Problem":
        """Describe x of shape (N, C, *extra, *grid)."""
        cells = len(partition.ids)
        shape = (x.shape[0], prod(x.shape[2:]) // cells, x.shape[1], cells)
        _, _, _, _, _, segments, largest, outside = partition
        return cls(*shape, segments, largest, outside, x.dtype, is_channels_last(x))

    @property
    def rows(self) -> int:
        """Samples times frames."""
        return self.batch * self.frames

    @property
    def columns(self) -> int:
        """Channels times cells."""
        return self.channels * self.cells

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype of the computation."""
        return torch.promote_types(self.dtype, torch.float32)

    @property
    def constants(self) -> dict[str, Any]:
        """The compile-time constants of the kernels."""
        return {"C": self.channels, "CELLS": self.cells, "CHANNELS_LAST": self.channels_last}

    @property
    def compute_type(self) -> tl.dtype:
        """The dtype of the computation, as a Triton type."""
        return tl.float64 if self.dtype == torch.float64 else tl.float32


class Mask(NamedTuple):
    """A bool mask and its strides over samples and frames; no tensor if all values are included.

    The kernels rely on its cells being adjacent in memory.
    """

    tensor: Tensor | None = None
    sample: int = 0
    frame: int = 0

    @classmethod
    def of(cls, mask: Tensor | None, x: Tensor, problem: Problem) -> "Mask":
        """View a mask that can be broadcast to x; copy it only if its cells are not adjacent."""
        if mask is None:
            return cls()
        mask = mask.expand(x.shape[0], 1, *x.shape[2:])
        mask = mask.reshape(problem.batch, problem.frames, problem.cells)
        if mask.stride(2) != 1:
            mask = mask.contiguous()
        return cls(mask, mask.stride(0), mask.stride(1))
