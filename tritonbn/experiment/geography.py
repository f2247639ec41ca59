"""Where the cells of a city lie."""

import numpy as np
import numpy.typing as npt

from data_prep.city import CityData
from data_prep.fill import distances_km

Float64Array = npt.NDArray[np.float64]


def cell_axes(city: CityData) -> tuple[Float64Array, Float64Array]:
    """Return the latitudes (H,) and longitudes (W,) of the middles of the cells, in degrees.

    They are told by the stations and their cells.
    """
    latitudes, longitudes = (
        np.asarray(edge + (np.arange(count) + 0.5) * size, np.float64)
        for edge, size, count in _axes(city)
    )
    return latitudes, longitudes


def cell_edges(city: CityData) -> tuple[float, float, float, float]:
    """Return the west, east, south and north edge of the grid, in degrees."""
    (south, tall, height), (west, wide, width) = _axes(city)
    return west, west + width * wide, south, south + height * tall


def cell_distances_km(city: CityData) -> Float64Array:
    """Return the distance of each station to each cell, (S, H * W), nowhere below 0.05 km.

    A cell in which a station stands lies where the station does, any other where its middle is.
    """
    latitudes, longitudes = (axis.ravel() for axis in np.meshgrid(*cell_axes(city), indexing="ij"))
    latitude = city.stations["latitude"].to_numpy(np.float64)
    longitude = city.stations["longitude"].to_numpy(np.float64)
    latitudes[city.cells], longitudes[city.cells] = latitude, longitude
    return distances_km(latitude, longitude, to=(latitudes, longitudes))


def _axes(city: CityData) -> tuple[tuple[float, float, int], tuple[float, float, int]]:
    """Return first edge, size and number of the rows and of the columns."""
    rows, columns = np.divmod(city.cells, city.grid[1])
    return (
        (*_axis(city.stations["latitude"].to_numpy(np.float64), rows), city.grid[0]),
        (*_axis(city.stations["longitude"].to_numpy(np.float64), columns), city.grid[1]),
    )


def _axis(degrees: Float64Array, index: npt.NDArray[np.int64]) -> tuple[float, float]:
    """First edge and size of the cells along one axis, from the stations' degrees and indices."""
    size = float(np.ptp(degrees) / np.ptp(index)) if np.ptp(index) else 0.01
    return float(degrees.min() - index.min() * size), size
