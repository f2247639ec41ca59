"""What the backends share about tensors: groups of arguments, data types and memory layouts.

The backends see a tensor as a matrix of rows and columns. Every pair of a channel and a position
(of the grid, or of the extra dimensions and the grid) is a column. Contiguous memory is (N, C, L)
and channels_last memory is (N, L, C), where L is the number of positions: the same columns in a
different order.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Statistics(NamedTuple):
    """Mean and variance (C, S), and the number of values per segment (S,).

    There are no counts if mean and variance were given, for example as running statistics.
    """

    mean: Tensor
    var: Tensor
    counts: Tensor | None


class Affine(NamedTuple):
    """What is applied after the statistics; weight and bias have shape (C, S)."""

    weight: Tensor | None
    bias: Tensor | None
    eps: float
    activation: str | None


class Running(NamedTuple):
    """Running statistics (C, S), updated with `momentum`, or with the tensor `share` if given."""

    mean: Tensor
    var: Tensor
    share: Tensor | None
    momentum: float


NO_RUNNING = (None, None, None, 0.0)


def compute_dtype(x: Tensor) -> torch.dtype:
    """Return the type for everything as large as x: float32, or float64 if x is float64."""
    return torch.promote_types(x.dtype, torch.float32)


def wide_dtype(x: Tensor) -> torch.dtype:
    """Return the type of statistics and coefficients: float64, but float32 on MPS."""
    return torch.float32 if x.device.type == "mps" else torch.float64


def is_channels_last(x: Tensor) -> bool:
    """Return whether x (N, C, ...) is densely stored with its channels innermost in memory."""
    return not x.is_contiguous() and x.movedim(1, -1).is_contiguous()


def in_layout(x: Tensor, channels_last: bool) -> Tensor:
    """Return x (N, C, ...) in the given memory layout; a copy only if it has another one."""
    if channels_last:
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    return x.contiguous()


def empty_like(x: Tensor) -> Tensor:
    """Return an empty tensor in the layout of x if that is channels_last, else a contiguous one.

    The result is never a view, because autograd does not allow in-place changes of a view that a
    custom operator returned.
    """
    dense = torch.preserve_format if is_channels_last(x) else torch.contiguous_format
    return torch.empty_like(x, memory_format=dense)


def to_rows(x: Tensor, channels_last: bool) -> Tensor:
    """View x (N, C, ...) as (N, C, L), or as (N, L, C); a copy only if the memory order differs."""
    if channels_last:
        return x.movedim(1, -1).flatten(1, -2).contiguous()
    return x.flatten(2).contiguous()
