"""The grid: its size, and the cells of the stations."""

import re
from numbers import Integral

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.arguments import are_numbers
from data_prep.city import DataError

LARGEST_LATITUDE = 85.0
"""In degrees, north and south. Towards the poles, degrees of longitude shrink to nothing."""


def checked_grid(grid: object) -> tuple[int, int]:
    """Return the size of a grid as two integers of Python.

    Parameters
    ----------
    grid : (int, int)
        Height and width in cells.

    Raises
    ------
    DataError
        If it is anything but two positive integers.

    Examples
    --------
    >>> from data_prep.grid import checked_grid
    >>> checked_grid([32, 24])
    (32, 24)
    """
    if are_numbers(grid, 2, Integral):
        height, width = (int(size) for size in grid)  # type: ignore[attr-defined]
        if min(height, width) > 0:
            return height, width
    raise DataError(
        f"grid must be two positive integers, its height and width in cells, got {grid!r}"
    )


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
    >>> from data_prep.grid import parse_grid
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
    """Assign each station to a cell of its own.

    The grid spans the stations: the row is ``floor((H - 1) * (lat - lat_min) / (lat_max -
    lat_min))``, and the column follows from the longitude in the same way. Where two stations
    share a cell, the first one keeps it and the later one moves to the nearest empty cell
    (Euclidean distance in cells; ties go to the lower cell number).

    Parameters
    ----------
    latitude, longitude : array of float, shape (S,)
        Degrees, in order of precedence.
    grid : (int, int)
        Height H and width W in cells. Default ``(32, 32)``.

    Returns
    -------
    array of int64, shape (S,)
        ``row * W + column``, with row 0 in the south and column 0 in the west. All are different.

    Raises
    ------
    DataError
        If `grid` is not such, there is no station, a coordinate is not finite, a station is closer
        than 5 degrees to a pole, where cells of longitude are meaningless, or there are more
        stations than cells.

    Examples
    --------
    >>> from data_prep.grid import cells_of
    >>> cells_of([51.0, 51.5, 52.0], [4.0, 4.0, 5.0], grid=(3, 3))
    array([0, 3, 8])
    """
    grid = checked_grid(grid)
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


def unwrap_longitude(longitude: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Make longitudes continuous across the date line, and across Greenwich.

    Parameters
    ----------
    longitude : array of float, shape (S,)
        Degrees.

    Returns
    -------
    array of float64, shape (S,)
        Unchanged, unless the shortest arc around all longitudes crosses the date line: then 360
        degrees are added to those west of Greenwich. Where longitudes go from 0 to 360 degrees and
        the arc crosses Greenwich, 360 degrees are subtracted from those beyond 180.

    Examples
    --------
    >>> from data_prep.grid import unwrap_longitude
    >>> unwrap_longitude([179.95, -179.75]).tolist()
    [179.95, 180.25]
    >>> unwrap_longitude([-0.5, 0.25]).tolist()
    [-0.5, 0.25]
    >>> unwrap_longitude([359.5, 0.25]).tolist()
    [-0.5, 0.25]
    """
    degrees = np.asarray(longitude, np.float64)
    east = np.where(degrees < 0, degrees + 360, degrees)
    west = np.where(degrees > 180, degrees - 360, degrees)
    # rounded, as adding 360 degrees changes the last digits of a distance
    return min((degrees, east, west), key=lambda turned: round(float(np.ptp(turned)), 6))


def shared_cells(stations: pd.DataFrame, grid: tuple[int, int] = (32, 32)) -> list[list[str]]:
    """List the stations whose positions fall into the same cell.

    Parameters
    ----------
    stations : DataFrame
        Columns `station`, `latitude` and `longitude`, in the order given to `cells_of`.
    grid : (int, int)
        Height and width in cells. Default ``(32, 32)``.

    Returns
    -------
    list of lists of str
        One list for each shared cell. `cells_of` assigns the cell to the first station of the list
        and moves the others.

    Examples
    --------
    >>> import pandas as pd
    >>> from data_prep.grid import shared_cells
    >>> stations = pd.DataFrame(
    ...     {"station": ["a", "b", "c"], "latitude": [51, 51.1, 52], "longitude": [4, 4, 5]}
    ... )
    >>> shared_cells(stations, grid=(3, 3))
    [['a', 'b']]
    """
    cells = _cells_by_position(stations["latitude"], stations["longitude"], grid)
    groups = stations["station"].groupby(cells)
    return [names.to_list() for _, names in groups if len(names) > 1]


def _cells_by_position(
    latitude: npt.ArrayLike, longitude: npt.ArrayLike, grid: tuple[int, int]
) -> npt.NDArray[np.int64]:
    """Return the cell at each position; stations may share a cell."""
    if np.shape(latitude) != np.shape(longitude):
        raise DataError(
            "latitude and longitude must be one finite number per station, got arrays of shape "
            f"{np.shape(latitude)} and {np.shape(longitude)}"
        )
    row = _scale_to_index(latitude, "latitude", grid[0])
    if (furthest := float(np.abs(latitude).max())) > LARGEST_LATITUDE:
        raise DataError(
            f"the grid of latitudes and longitudes needs stations within {LARGEST_LATITUDE:g} "
            f"degrees of the equator, got a latitude of {furthest:g} degrees"
        )
    column = _scale_to_index(longitude, "longitude", grid[1])
    return row * grid[1] + column


def _scale_to_index(degrees: npt.ArrayLike, name: str, size: int) -> npt.NDArray[np.int64]:
    """Scale coordinates to ``0 .. size - 1``, or to 0 if all are equal."""
    values = np.asarray(degrees, dtype=np.float64)
    if not values.size or not np.isfinite(values).all():
        raise DataError(f"{name} must be one finite number per station, got {values.tolist()}")
    extent = np.ptp(values)
    fraction = (values - values.min()) / extent if extent else np.zeros_like(values)
    return np.floor((size - 1) * fraction).astype(np.int64)
