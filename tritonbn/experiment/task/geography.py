"""The geographic position of the cells of a city."""

import numpy as np

from data_prep.city import CityData
from data_prep.fill import distances_km
from tritonbn.experiment.task.arrays import DoubleArray, IntArray


def cell_axes(city: CityData) -> tuple[DoubleArray, DoubleArray]:
    """Return the latitudes (H,) and longitudes (W,) of the centres of the cells, in degrees.

    They are inferred from the positions of the stations and their cells.
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


def cell_distances_km(city: CityData) -> DoubleArray:
    """Return the distance of each station to each cell, (S, H * W), at least 0.05 km.

    The position of a cell is that of the station in it, if there is one, else its centre.
    """
    latitudes, longitudes = (axis.ravel() for axis in np.meshgrid(*cell_axes(city), indexing="ij"))
    latitude = city.stations["latitude"].to_numpy(np.float64)
    longitude = city.stations["longitude"].to_numpy(np.float64)
    latitudes[city.cells], longitudes[city.cells] = latitude, longitude
    return distances_km(latitude, longitude, to=(latitudes, longitudes))


def _axes(city: CityData) -> tuple[tuple[float, float, int], tuple[float, float, int]]:
    """Return the first edge, the cell size and the number of the rows and of the columns."""
    rows, columns = np.divmod(city.cells, city.grid[1])
    return (
        (*_axis(city.stations["latitude"].to_numpy(np.float64), rows), city.grid[0]),
        (*_axis(city.stations["longitude"].to_numpy(np.float64), columns), city.grid[1]),
    )


def _axis(degrees: DoubleArray, index: IntArray) -> tuple[float, float]:
    """Return first edge and cell size along one axis, given the stations' degrees and indices.

    The size is 0.01 degrees if all stations have the same index or the same position.
    """
    size = float(np.ptp(degrees) / max(int(np.ptp(index)), 1)) or 0.01
    return float(degrees.min() - index.min() * size), size
