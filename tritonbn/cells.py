"""Grids and cells as a user gives them, checked."""

from collections.abc import Sequence
from math import prod
from operator import index

import torch
from torch import Tensor

INTEGERS = (
    *(torch.int8, torch.int16, torch.int32, torch.int64),
    *(torch.uint8, torch.uint16, torch.uint32, torch.uint64),
)


def checked_grid(grid: Sequence[int]) -> tuple[int, ...]:
    """Return the sizes of a grid, or raise `ValueError`."""
    try:
        sizes = tuple(index(size) for size in grid)
    except TypeError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ValueError(f"grid must be integers of at least 1, such as (32, 32), got {grid}")
    return sizes


def checked_cells(cells: Tensor | Sequence[int], grid: tuple[int, ...]) -> Tensor:
    """Return the cells of stations, all different and in the grid, or raise `ValueError`."""
    stations = torch.asarray(cells, device="cpu", copy=True)
    if stations.dtype not in INTEGERS or stations.dim() != 1 or len(stations) == 0:
        raise ValueError(f"cells must be a list of at least one integer, got {cells}")
    stations = stations.to(torch.int64)
    outside = stations[(stations < 0) | (stations >= prod(grid))].tolist()
    if outside:
        raise ValueError(f"cells must be 0 .. {prod(grid) - 1} on the grid {grid}, got {outside}")
    if len(set(stations.tolist())) != len(stations):
        raise ValueError(f"cells must differ from each other, got {stations.tolist()}")
    return stations
