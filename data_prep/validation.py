"""What makes a `CityData` valid."""

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from data_prep.arguments import require_texts
from data_prep.city import CityData, DataError

STATION_COLUMNS = ("station", "latitude", "longitude", "cell")
LIMITS = {"latitude": 90, "longitude": 360, "cell": 2**53}
"""Longitudes go on beyond 180 degrees where a city lies on both sides of the date line."""

_TYPES = {
    "times": np.ndarray,
    "stations": pd.DataFrame,
    "values": np.ndarray,
    "report": dict,
    "synthetic": bool,
}
_SPANS = np.timedelta64 | pd.Timedelta


def validate(city: CityData) -> None:
    """Raise `DataError` if shapes, types, order or cells are inconsistent."""
    _require_facts(city)
    _require_stations(city)
    if city.times.dtype != np.dtype("datetime64[s]") or city.times.ndim != 1:
        raise DataError(
            "times must be one-dimensional, of datetime64[s], "
            f"got {city.times.dtype} of shape {city.times.shape}"
        )
    expected = (len(city.times), len(city.stations))
    if city.values.shape != expected or city.values.dtype != np.float32:
        raise DataError(
            f"values must be float32 of shape {expected} (times, stations), "
            f"got {city.values.dtype} of shape {city.values.shape}"
        )
    if np.isinf(city.values).any():
        raise DataError("values must be finite, or NaN where a reading is missing")
    if np.isnat(city.times).any() or not (np.diff(city.times) > np.timedelta64(0, "s")).all():
        raise DataError("times must be strictly increasing")


def _require_facts(city: CityData) -> None:
    require_texts(name=city.name, quantity=city.quantity, unit=city.unit)
    for name, kind in _TYPES.items():
        if not isinstance(value := getattr(city, name), kind):
            raise DataError(f"{name} must be a {kind.__name__}, got {value!r}")
    interval = city.interval
    if interval is not None and not (isinstance(interval, _SPANS) and interval > pd.Timedelta(0)):
        raise DataError(f"interval must be a timedelta64 above 0, or None, got {interval!r}")
    if interval is not None and interval % np.timedelta64(1, "s"):
        raise DataError(f"interval must be whole seconds, got {interval!r}")


def _require_stations(city: CityData) -> None:
    stations = city.stations
    if missing := [column for column in STATION_COLUMNS if column not in stations]:
        raise DataError(f"stations must have the columns {missing}, got {[*stations]}")
    if not stations.columns.is_unique:
        raise DataError(f"stations must have columns of different names, got {[*stations]}")
    if not stations["station"].map(lambda name: isinstance(name, str)).all():
        raise DataError(f"station names must be texts, got {[*stations['station']]}")
    if not all(name.strip() for name in stations["station"]):
        raise DataError(f"every station needs a name, got {[*stations['station']]}")
    if stations["station"].duplicated().any():
        raise DataError("station names must be unique")
    if "time" in stations["station"].to_list():
        raise DataError("no station may be called 'time', which is a column of saved readings")
    for name, limit in LIMITS.items():
        if not _are_within(stations[name], limit):
            raise DataError(
                f"{name} must be a number within {limit}, got {stations[name].to_list()}"
            )
    if (stations["cell"] % 1 != 0).any():
        raise DataError(f"cells must be whole numbers, got {stations['cell'].to_list()}")
    cells = city.cells
    if ((cells < 0) | (cells >= city.grid[0] * city.grid[1])).any():
        raise DataError(f"cells must lie in the grid {city.grid}, got {cells.tolist()}")
    if len(np.unique(cells)) != len(cells):
        raise DataError(f"two stations share a cell: {cells.tolist()}")


def _are_within(column: "pd.Series[float]", limit: float) -> bool:
    if not is_numeric_dtype(column) or np.iscomplexobj(column):
        return False
    numbers = column.to_numpy(np.float64, na_value=np.nan)
    return bool((np.abs(numbers) <= limit).all())  # which NaN is not
