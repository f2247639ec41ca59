"""The ways to turn and mirror a grid: a network that is to know no place learns in all of them."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

Symmetry = tuple[bool, bool, bool]
"""Whether rows are reversed, columns are reversed, and then rows and columns exchanged."""


def symmetries(height: int, width: int) -> list[Symmetry]:
    """Return the eight symmetries of a square of cells, or the four of another rectangle.

    Cells count as square, whatever their size in kilometres.
    """
    exchanged = (False, True) if height == width else (False,)
    return list(product((False, True), (False, True), exchanged))


def turn(x: Tensor, symmetry: Symmetry) -> Tensor:
    """Turn the last two dimensions of `x`."""
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
    """Let layers see the grid turned; what finishes the field sees it as it is.

    Parameters
    ----------
    layers : callable
        From (N, ..., H, W) to features, (N, C, H, W).
    finish : callable
        From the features to the field, (N, 1, H, W).
    x : Tensor, shape (N, ..., H, W)
    training : bool
        Each part of the batch is turned in another way, instead of all of it in all ways; of fewer
        samples than ways, in the first ways.

    Returns
    -------
    Tensor, shape (N, 1, H, W)
        The field; the mean over all ways if not training.
    """
    ways = symmetries(*x.shape[-2:])
    if training:
        parts = zip(x.tensor_split(len(ways)), ways, strict=True)
        return finish(
            torch.cat([turn_back(layers(turn(part, way)), way) for part, way in parts if len(part)])
        )
    fields = [finish(turn_back(layers(turn(x, way)), way)) for way in ways]
    return torch.stack(fields).mean(dim=0)


def require_no_places(symmetric: bool, head: str, context: tuple[int, int] | None) -> None:
    """Raise `ValueError` for a network that is to know no direction and yet all places."""
    if symmetric and head == "dense":
        raise ValueError("a symmetric network has no dense head, which knows places")
    if symmetric and context is not None:
        raise ValueError(f"a symmetric network has no context, got context={context}")
