"""Find a station by name or cell number, and a time by its ISO 8601 text."""

from numbers import Integral

import numpy as np
import pandas as pd

from data_prep.city import CityData, DataError
from tritonbn.experiment.task.folds import Fold

CASE_STUDY_CELL = 621
"""The station of the published case study: Park Spoor Noord in Antwerp."""


def find_station(city: CityData, station: str | int | None = None) -> int:
    """Find a station by its name or the number of its cell.

    Parameters
    ----------
    city : CityData
    station : str or int, optional
        The cell number as an integer; or as text the name, else the cell number. Default: cell
        621 if a station stands there, else the station with the most readings.

    Returns
    -------
    int
        The row of the station in `city.stations`.

    Raises
    ------
    DataError
        If there is no such station; the message lists all stations.
    """
    names = city.stations["station"].to_list()
    cells = [str(cell) for cell in city.cells]
    if station is None:
        if str(CASE_STUDY_CELL) in cells:
            return cells.index(str(CASE_STUDY_CELL))
        return int(city.observed.sum(axis=0).argmax())
    for known in (cells,) if isinstance(station, Integral) else (names, cells):
        if str(station) in known:
            return known.index(str(station))
    there = ", ".join(f"{cell} {name}" for cell, name in zip(cells, names, strict=True))
    raise DataError(
        f"{city.name} has no station {station}; its stations are (cell and name): {there}"
    )


def find_time(city: CityData, time: str) -> int:
    """Find a time of a city.

    Parameters
    ----------
    city : CityData
    time : str
        ISO 8601, without a UTC offset, as in `city.times`.

    Returns
    -------
    int
        Its index in `city.times`.

    Raises
    ------
    DataError
        If the text is no time or has a UTC offset, or the city does not have the time; the message
        names the nearest one.
    """
    first, last = city.times[[0, -1]]
    stamp = pd.to_datetime(time, format="ISO8601", errors="coerce")
    if not isinstance(stamp, pd.Timestamp):
        raise DataError(f"{time!r} is not a time; expected ISO 8601, such as {first}")
    if stamp.tzinfo is not None:
        raise DataError(
            f"a time must be in the time zone of the data, such as {first}, without a UTC offset; "
            f"got {time}"
        )
    wanted = stamp.to_datetime64()
    nearest = int(np.abs(city.times - wanted).argmin())
    if city.times[nearest] != wanted:
        minutes = city.step / np.timedelta64(1, "m")
        raise DataError(
            f"{city.name} has no time {time}; its times are from {first} to {last}, every "
            f"{minutes:g} min; the nearest is {city.times[nearest]}"
        )
    return nearest


def require_reading(city: CityData, time: int, station: int) -> None:
    """Raise `DataError` if a station has no reading at a time; both are indices."""
    if not city.observed[time, station]:
        name = city.stations["station"].iloc[station]
        raise DataError(f"station {name} of {city.name} has no reading at {city.times[time]}")


def typical_time(fold: Fold, station: int) -> int:
    """Choose a time of the test to show by the readings alone, without looking at estimates.

    Parameters
    ----------
    fold : Fold
        Decides which times can be predicted.
    station : int
        Row of the hidden station.

    Returns
    -------
    int
        Index of the chosen time. Among the times at which the station has a reading, and the
        largest number of stations has one, it is the time at which the station's reading is its
        median; the first such time.

    Raises
    ------
    DataError
        If the station has no reading in the test.
    """
    city = fold.city
    times = fold.windows.times("test")
    times = times[city.observed[times, station]]
    if not len(times):
        name = city.stations["station"].iloc[station]
        raise DataError(f"station {name} has no reading in the test part of {city.name}")
    count = city.observed[times].sum(axis=1)
    times = times[count == count.max()]
    order = np.argsort(city.values[times, station], kind="stable")
    return int(times[order[(len(order) - 1) // 2]])
