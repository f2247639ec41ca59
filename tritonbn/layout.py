"""Memory layouts: how a tensor is seen as a matrix of rows and columns.

Every pair of a channel and a position of the grid (or of an extra dimension) is a column.
Contiguous memory is (N, C, L), channels_last memory is (N, L, C); both are rows of the same columns
in another order, with L the number of positions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


def is_channels_last(x: Tensor) -> bool:
    """Whether the channels of x (N, C, ...) are innermost in memory, and its rows gapless."""
    return not x.is_contiguous() and x.movedim(1, -1).is_contiguous()


def in_layout(x: Tensor, channels_last: bool) -> Tensor:
    """Return x (N, C, ...) itself if its memory is in that layout, else a copy."""
    if channels_last:
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    return x.contiguous()


def empty_like(x: Tensor) -> Tensor:
    """Return an empty tensor in the layout of x, or a contiguous one."""
    if is_channels_last(x):
        return torch.empty_like(x.movedim(1, -1)).movedim(-1, 1)
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def to_rows(x: Tensor, channels_last: bool) -> Tensor:
    """See x (N, C, ...) as (N, C, L), or as (N, L, C); a copy only where memory is otherwise."""
    if channels_last:
        return x.movedim(1, -1).flatten(1, -2).contiguous()
    return x.flatten(2).contiguous()


def from_rows(rows: Tensor, shape: Sequence[int], channels_last: bool) -> Tensor:
    """Undo `to_rows`: a view of shape (N, C, ...)."""
    if channels_last:
        return rows.view(shape[0], *shape[2:], shape[1]).movedim(-1, 1)
    return rows.view(*shape)
