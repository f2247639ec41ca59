"""Rotations and reflections of the grid, for networks that prefer no direction."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

Symmetry = tuple[bool, bool, bool]
"""Whether to reverse the rows, to reverse the columns, and then to transpose."""


def symmetries(height: int, width: int) -> list[Symmetry]:
    """Return the eight symmetries of a square grid, or the four of any other rectangle.

    Cells are treated as squares, whatever their size in kilometres.
    """
    exchanged = (False, True) if height == width else (False,)
    return list(product((False, True), (False, True), exchanged))


def turn(x: Tensor, symmetry: Symmetry) -> Tensor:
    """Apply a symmetry to the last two dimensions of `x`."""
    rows, columns, exchange = symmetry
    x = x.flip([axis for axis, reverse in ((-2, rows), (-1, columns)) if reverse])
    return x.transpose(-1, -2) if exchange else x


def turn_back(x: Tensor, symmetry: Symmetry) -> Tensor:
    """Undo `turn`."""
    rows, columns, exchange = symmetry
    x = x.transpose(-1, -2) if exchange else x
    return x.flip([axis for axis, reverse in ((-2, rows), (-1, columns)) if reverse])


def in_all_ways(
    layers: Callable[[Tensor], Tensor],
    finish: Callable[[Tensor], Tensor],
    x: Tensor,
    training: bool,
) -> Tensor:
    """Apply layers to the grid in all its symmetries.

    Parameters
    ----------
    layers : callable
        Maps (N, ..., H, W) to features, (N, C, H, W). It is applied to the transformed grid.
    finish : callable
        Maps the features, transformed back, to the field, (N, 1, H, W).
    x : Tensor, shape (N, ..., H, W)
        The input.
    training : bool
        If True, the batch is split into as many parts as there are symmetries, and each part is
        transformed by one of them. If False, the whole batch is transformed by all of them.

    Returns
    -------
    Tensor, shape (N, 1, H, W)
        The field; if not `training`, the mean over all symmetries.
    """
    ways = symmetries(*x.shape[-2:])
    if training:
        parts = zip(x.tensor_split(len(ways)), ways, strict=True)
        parts_with_samples = [(part, way) for part, way in parts if len(part)] or [(x, ways[0])]
        return finish(
            torch.cat([turn_back(layers(turn(part, way)), way) for part, way in parts_with_samples])
        )
    fields = [finish(turn_back(layers(turn(x, way)), way)) for way in ways]
    return torch.stack(fields).mean(dim=0)


def require_no_places(symmetric: bool, head: str, context: tuple[int, int] | None) -> None:
    """Raise `ValueError` for a symmetric network with weights that depend on the position."""
    if symmetric and head == "dense":
        raise ValueError(
            "a symmetric network cannot have a dense head, whose weights depend on the position"
        )
    if symmetric and context is not None:
        raise ValueError(f"a symmetric network cannot have a context, got context={context}")
