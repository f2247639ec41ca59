"""The columns of a table of readings, recognized by their names."""

import re
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from data_prep.city import DataError
from data_prep.sources.files import File
from data_prep.sources.units import to_ug_m3

NAMES = {
    "time": ("time", "datetime", "timestamp", "time_stamp", "date_time", "datetime_utc", "date"),
    "station": ("station", "station_id", "sensor", "sensor_id", "site", "site_id", "location_id"),
    "latitude": ("latitude", "lat"),
    "longitude": ("longitude", "lon", "lng", "long"),
    "value": ("value", "pm25", "pm2_5", "pm2p5", "concentration"),
}
"""The names by which a column is recognized. The first one that a table has is taken."""


def find_columns(header: Iterable[str], given: Mapping[str, str], file: File) -> dict[str, str]:
    """Return the columns of a table, of those that `NAMES` has.

    Parameters
    ----------
    header : iterable of str
        The names of all columns. Case does not count, nor anything but letters and digits.
    given : mapping
        Columns that are not recognized, such as ``{"value": "Feinstaub"}``.
    file : File
        For the message of an error.

    Raises
    ------
    DataError
        If `given` has other keys than `NAMES`, or names a column that does not exist.
    """
    header = [*header]
    if wrong := [key for key in given if key not in NAMES]:
        raise DataError(f"columns may name {', '.join(NAMES)}, got {', '.join(wrong)}")
    if absent := [column for column in given.values() if column not in header]:
        raise DataError(f"{file} must have the columns {absent}, got {header}")
    if len({*given.values()}) < len(given):
        raise DataError(f"columns must be different columns, got {dict(given)}")
    plain = {_plain(column): column for column in reversed(header)}
    recognized = {
        key: next((plain[name] for name in names if name in plain), None)
        for key, names in NAMES.items()
    }
    return {key: column for key, column in recognized.items() if column} | dict(given)


def require_columns(
    found: Mapping[str, str], needed: Iterable[str], header: Iterable[str], file: File
) -> None:
    """Raise `DataError` if a column was not recognized."""
    if missing := [key for key in needed if key not in found]:
        example = ",".join(f"{key}=..." for key in missing)
        raise DataError(
            f"{file} has no column that is recognized as {' and '.join(missing)}, got "
            f"{[*header]}; name them, on the command line --columns {example}"
        )


def factor_of(column: str, file: File, named: bool = False) -> float:
    """Return the factor to ug/m3 of a column such as ``PM2.5 (mg/m3)``, 1 without a unit.

    Raises
    ------
    DataError
        If what is in brackets is no known unit, unless the user has `named` the column.
    """
    unit = re.search(r"[(\[](.*?)[)\]]", column)
    if unit is None:
        return 1.0
    (factor,) = to_ug_m3(pd.Series([unit[1]]))
    if np.isnan(factor):
        if named:
            return 1.0
        raise DataError(
            f"{file}: the column {column!r} must be in ug/m3, mg/m3 or ng/m3, got {unit[1]!r}; if "
            "that is no unit, name the column, on the command line --columns value=..."
        )
    return float(factor)


def _plain(name: str) -> str:
    """Return a name such as ``PM2.5 (µg/m³)`` as ``pm2_5``."""
    without_unit = re.sub(r"[(\[].*", "", name.lower())
    return re.sub(r"[^a-z0-9]+", "_", without_unit).strip("_")
