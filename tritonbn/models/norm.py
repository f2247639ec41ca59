"""The normalization layers that the networks can have."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from tritonbn.levels import segments_and_levels
from tritonbn.module import LocalBN
from tritonbn.segments import Segments

NormName = Literal["none", "global", "local", "local-batch", "offset"]

Norm = NormName | Callable[[int], nn.Module]
"""A name, or a function from the number of channels to a module."""


class CellAffine(nn.Module):
    """A learned scale and offset per channel and cell, without any normalization.

    This control shows how much of the effect of local normalization comes from its parameters.

    Parameters
    ----------
    channels : int
        Number of channels of the input.
    grid : (int, int)
        Height and width.
    """

    def __init__(self, channels: int, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, *grid))
        self.bias = nn.Parameter(torch.zeros(channels, *grid))

    def forward(self, x: Tensor) -> Tensor:
        """Scale and shift `x`, (N, C, H, W)."""
        return x * self.weight + self.bias


def make_norm(
    norm: Norm, channels: int, segments: Segments | Tensor | tuple[int, int] | None
) -> nn.Module:
    """Make the normalization; no random number is drawn, so all networks start equal.

    Parameters
    ----------
    norm : {"none", "global", "local", "local-batch", "offset"} or callable
        In this order: `torch.nn.Identity`, `torch.nn.BatchNorm2d`, `tritonbn.LocalBN`, `LocalBN`
        with the statistics of the batch in evaluation, too, and `CellAffine`. Or a function that
        returns another module, given the number of channels.
    channels : int
        Number of channels of the input.
    segments : Segments, tensor of ids or (height, width), optional
        Needed for the local ones and ``"offset"``. The shape of the grid alone means one
        segment per cell, as published.

    Raises
    ------
    ValueError
        If `norm` is unknown, or `segments` are needed and missing.
    """
    if callable(norm):
        return norm(channels)
    if norm == "none":
        return nn.Identity()
    if norm == "global":
        return nn.BatchNorm2d(channels)
    if norm not in get_args(NormName):
        raise ValueError(f"norm must be one of {', '.join(get_args(NormName))}, got {norm!r}")
    if segments is None:
        raise ValueError(f"norm={norm!r} needs segments: a Segments, ids, or (height, width)")
    if norm == "offset":
        return CellAffine(channels, grid_of(segments))
    return LocalBN(channels, segments, track_running_stats=norm != "local-batch")


def require_grid(part: str, grid: torch.Size | tuple[int, int], x: Tensor) -> None:
    """Raise `ValueError` if x, (N, C, H, W), has another grid than a part of a network."""
    if x.shape[2:] != grid:
        raise ValueError(
            f"the {part} is made for a grid of {tuple(grid)}, got {tuple(x.shape[2:])}"
        )


def grid_of(segments: Segments | Tensor | tuple[int, int]) -> tuple[int, int]:
    """Return height and width of the grid."""
    grid = segments_and_levels(segments)[0].grid
    if len(grid) != 2:
        raise ValueError(f"segments must be of a grid (height, width), got {grid}")
    return grid
