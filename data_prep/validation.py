"""What makes a `CityData` valid."""

import numpy as np
from pandas.api.types import is_numeric_dtype

from data_prep.city import CityData, DataError

STATION_COLUMNS = ("station", "latitude", "longitude", "cell")
LIMITS = {"latitude": 90, "longitude": 360, "cell": 2**53}
"""Longitudes go on beyond 180 degrees where a city lies on both sides of the date line."""


def validate(city: CityData) -> None:
    """Raise `DataError` if shapes, types, order or cells are inconsistent."""
    _require_facts(city)
    _require_stations(city)
    expected = (len(city.times), len(city.stations))
    if city.values.shape != expected or city.values.dtype != np.float32:
        raise DataError(
            f"values must be float32 of shape {expected} (times, stations), "
            f"got {city.values.dtype} of shape {city.values.shape}"
        )
    if np.isinf(city.values).any():
        raise DataError("values must be finite, or NaN where a reading is missing")
    if city.times.dtype != np.dtype("datetime64[s]"):
        raise DataError(f"times must be datetime64[s], got {city.times.dtype}")
    if np.isnat(city.times).any() or not (np.diff(city.times) > np.timedelta64(0, "s")).all():
        raise DataError("times must be strictly increasing")


def _require_facts(city: CityData) -> None:
    for name in ("name", "quantity", "unit"):
        if not isinstance(text := getattr(city, name), str):
            raise DataError(f"{name} must be a text, got {text!r}")
    for name, kind in (("report", dict), ("synthetic", bool)):
        if not isinstance(value := getattr(city, name), kind):
            raise DataError(f"{name} must be a {kind.__name__}, got {value!r}")
    if len(city.grid) != 2 or not all(map(_is_size, city.grid)):
        raise DataError(f"grid must be two positive integers, got {city.grid!r}")


def _is_size(size: object) -> bool:
    return isinstance(size, int | np.integer) and not isinstance(size, bool) and int(size) > 0


def _require_stations(city: CityData) -> None:
    stations = city.stations
    if missing := [column for column in STATION_COLUMNS if column not in stations]:
        raise DataError(f"stations must have the columns {missing}, got {[*stations]}")
    if not stations["station"].map(lambda name: isinstance(name, str)).all():
        raise DataError(f"station names must be texts, got {[*stations['station']]}")
    if stations["station"].duplicated().any():
        raise DataError("station names must be unique")
    if "time" in stations["station"].to_list():
        raise DataError("no station may be called 'time', which is a column of saved readings")
    for name, limit in LIMITS.items():
        if not is_numeric_dtype(stations[name]) or not (stations[name].abs() <= limit).all():
            raise DataError(
                f"{name} must be a number within {limit}, got {stations[name].to_list()}"
            )
    cells = city.cells
    if ((cells < 0) | (cells >= city.grid[0] * city.grid[1])).any():
        raise DataError(f"cells must lie in the grid {city.grid}, got {cells.tolist()}")
    if len(np.unique(cells)) != len(cells):
        raise DataError(f"two stations share a cell: {cells.tolist()}")
