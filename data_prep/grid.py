"""Stations to cells of a grid."""

import re

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.city import DataError


def parse_grid(text: str) -> tuple[int, int]:
    """Parse the size of a grid.

    Parameters
    ----------
    text : str
        Height and width in cells, ``"HEIGHTxWIDTH"``.

    Returns
    -------
    (int, int)
        Height and width, each at least 2.

    Raises
    ------
    ValueError
        If `text` is anything else.

    Examples
    --------
    >>> parse_grid("32x24")
    (32, 24)
    """
    sizes = re.fullmatch("([0-9]+)x([0-9]+)", text)
    height, width = map(int, sizes.groups()) if sizes else (0, 0)
    if min(height, width) < 2:
        raise ValueError(
            f"expected a grid of at least 2x2 cells as HEIGHTxWIDTH, such as 32x32, got {text!r}"
        )
    return height, width


def cells_of(
    latitude: npt.ArrayLike, longitude: npt.ArrayLike, grid: tuple[int, int] = (32, 32)
) -> npt.NDArray[np.int64]:
    """Give each station a cell of its own.

    The grid spans the stations, so a row is ``floor((H - 1) * (lat - lat_min) / (lat_max -
    lat_min))``, and a column the same with longitude. Where two stations fall into one cell, the
    first in the order given keeps it and the later one moves to the nearest cell in which no
    station stands: Euclidean distance in cells, ties to the lower number.

    Parameters
    ----------
    latitude, longitude : array of float, shape (S,)
        Degrees. The order of the stations is the order of precedence.
    grid : (int, int)
        Height H and width W in cells. Default ``(32, 32)``.

    Returns
    -------
    array of int64, shape (S,)
        ``row * W + column``, row 0 in the south, column 0 in the west. No number occurs twice.

    Raises
    ------
    DataError
        If there is no station, a coordinate is not finite, or there are more stations than cells.
    """
    cells = _cells_by_position(latitude, longitude, grid)
    if len(cells) > grid[0] * grid[1]:
        raise DataError(f"{len(cells)} stations do not fit into a grid of {grid} cells")
    first = np.zeros(len(cells), dtype=bool)
    first[np.unique(cells, return_index=True)[1]] = True
    free = np.ones(grid[0] * grid[1], dtype=bool)
    free[cells] = False
    rows, columns = np.divmod(np.arange(free.size), grid[1])
    for station in np.flatnonzero(~first):
        row, column = divmod(cells[station], grid[1])
        squared = (rows - row) ** 2 + (columns - column) ** 2
        cells[station] = np.where(free, squared, np.inf).argmin()
        free[cells[station]] = False
    return cells


def shared_cells(stations: pd.DataFrame, grid: tuple[int, int] = (32, 32)) -> list[list[str]]:
    """List the stations whose positions fall into one cell.

    Parameters
    ----------
    stations : DataFrame
        Columns `station`, `latitude` and `longitude`, in the order given to `cells_of`.
    grid : (int, int)
        Height and width in cells. Default ``(32, 32)``.

    Returns
    -------
    list of lists of str
        One list for each shared cell. Its first station stands there; `cells_of` moved the others.
    """
    cells = _cells_by_position(stations["latitude"], stations["longitude"], grid)
    groups = stations["station"].groupby(cells)
    return [names.to_list() for _, names in groups if len(names) > 1]


def _cells_by_position(
    latitude: npt.ArrayLike, longitude: npt.ArrayLike, grid: tuple[int, int]
) -> npt.NDArray[np.int64]:
    """Apply the rule of the grid to positions alone; two stations may get one cell."""
    row = _scale_to_index(latitude, "latitude", grid[0])
    column = _scale_to_index(longitude, "longitude", grid[1])
    return row * grid[1] + column


def _scale_to_index(degrees: npt.ArrayLike, name: str, size: int) -> npt.NDArray[np.int64]:
    """Scale coordinates to ``0 .. size - 1``; all of them to 0 where they are all the same."""
    values = np.asarray(degrees, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise DataError(f"{name} must be one finite number per station, got {values.tolist()}")
    extent = np.ptp(values)
    fraction = (values - values.min()) / extent if extent else np.zeros_like(values)
    return np.floor((size - 1) * fraction).astype(np.int64)
