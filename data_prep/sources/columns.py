"""The columns of a table of readings, recognized by their names."""

import re
from collections.abc import Iterable, Mapping

from data_prep.city import DataError
from data_prep.sources.files import File

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
    plain = {_plain(column): column for column in reversed(header)}
    recognized = {
        key: next((plain[name] for name in names if name in plain), None)
        for key, names in NAMES.items()
    }
    return {key: column for key, column in recognized.items() if column} | dict(given)


def require_columns(found: Mapping[str, str], needed: Iterable[str], file: File) -> None:
    """Raise `DataError` if a column was not recognized."""
    if missing := [key for key in needed if key not in found]:
        example = ", ".join(f"{key}=..." for key in missing)
        raise DataError(
            f"{file} has no column that is recognized as {' and '.join(missing)}; name them, on "
            f"the command line --columns {example}"
        )


def _plain(name: str) -> str:
    """Return a name such as ``PM2.5 (µg/m³)`` as ``pm2_5``."""
    without_unit = re.sub(r"[(\[].*", "", name.lower())
    return re.sub(r"[^a-z0-9]+", "_", without_unit).strip("_")
