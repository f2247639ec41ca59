"""What is asked of the kernels: sizes, layout, type, and the mask."""

from math import prod
from typing import Any, NamedTuple

import torch
import triton.language as tl
from torch import Tensor

from tritonbn.partition import Partition
from tritonbn.tensors import is_channels_last


class Problem(NamedTuple):
    """Sizes, layout and type of x, and the sizes of its segments."""

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
        """The type computed in."""
        return torch.promote_types(self.dtype, torch.float32)

    @property
    def constants(self) -> dict[str, Any]:
        """The sizes that the kernels are compiled for."""
        return {"C": self.channels, "CELLS": self.cells, "CHANNELS_LAST": self.channels_last}

    @property
    def compute_type(self) -> tl.dtype:
        """The type computed in, in the words of Triton."""
        return tl.float64 if self.dtype == torch.float64 else tl.float32


class Mask(NamedTuple):
    """A mask of bool and its strides over samples and frames; no tensor if all count.

    Its cells are neighbours in memory, which the kernels rely on.
    """

    tensor: Tensor | None = None
    sample: int = 0
    frame: int = 0

    @classmethod
    def of(cls, mask: Tensor | None, x: Tensor, problem: Problem) -> "Mask":
        """See a mask that can be broadcast to x; a copy where its cells are not neighbours."""
        if mask is None:
            return cls()
        mask = mask.expand(x.shape[0], 1, *x.shape[2:])
        mask = mask.reshape(problem.batch, problem.frames, problem.cells)
        if mask.stride(2) != 1:
            mask = mask.contiguous()
        return cls(mask, mask.stride(0), mask.stride(1))
