"""Memory layouts: how a tensor is seen as a matrix of rows and columns.

Every pair of a channel and a position of the grid (or of an extra dimension) is a column.
Contiguous memory is (N, C, L), channels_last memory is (N, L, C); both are rows of the same columns
in another order, with L the number of positions.
"""

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
    """Return an empty tensor in the layout of x, or a contiguous one; never a view.

    Autograd refuses to change views that an operator made in place.
    """
    dense = torch.preserve_format if is_channels_last(x) else torch.contiguous_format
    return torch.empty_like(x, memory_format=dense)


def to_rows(x: Tensor, channels_last: bool) -> Tensor:
    """See x (N, C, ...) as (N, C, L), or as (N, L, C); a copy only where memory is otherwise."""
    if channels_last:
        return x.movedim(1, -1).flatten(1, -2).contiguous()
    return x.flatten(2).contiguous()
