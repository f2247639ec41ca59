"""Readings of many files that say in each row where their station is."""

from collections import Counter

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.arguments import are_numbers
from data_prep.assemble import Batch
from data_prep.city import DataError
from data_prep.fill import EARTH_RADIUS_KM

MOVED_KM = 1.0
"""Readings further than this from the usual place of their station do not count."""

_PLACE = ["station", "latitude", "longitude"]


class Gatherer:
    """Collects readings, and decides where each station is.

    The place of a station is the one with the most readings. Readings at other places that are
    more than `MOVED_KM` away do not count.

    Parameters
    ----------
    bounds : (float, float, float, float), optional
        West, south, east and north in degrees. Rows elsewhere do not count. West may be larger
        than east, across the date line. Default: all rows count.

    Attributes
    ----------
    dropped : Counter
        Numbers of rows that do not count, by reason.
    trimmed : set of str
        Names of stations that had spaces around them.
    moved : list of str
        Stations that have readings which do not count because they are elsewhere.

    Raises
    ------
    DataError
        If `bounds` are not such.
    """

    def __init__(self, bounds: tuple[float, float, float, float] | None = None) -> None:
        if bounds is not None and not _are_bounds(bounds):
            raise DataError(f"bounds must be west, south, east, north in degrees, got {bounds!r}")
        self.dropped: Counter[str] = Counter()
        self.trimmed: set[str] = set()
        self.moved: list[str] = []
        self._bounds = bounds
        self._batches: list[Batch] = []
        self._places: list[pd.DataFrame] = []
        self._count = 0

    def add(self, table: pd.DataFrame) -> None:
        """Add rows.

        Parameters
        ----------
        table : DataFrame
            Columns `station`, `latitude`, `longitude`, `time` and `value`; further columns are
            facts of the stations.
        """
        table = table.assign(station=self._trim(table["station"]))
        table = self._keep(table, "no_station", table["station"] != "")
        latitude, longitude = table["latitude"], table["longitude"]
        nowhere = latitude.isna() | longitude.isna() | ((latitude == 0) & (longitude == 0))
        table = self._keep(table, "no_position", ~nowhere)
        real = (table["latitude"].abs() <= 90) & (table["longitude"].abs() <= 360)
        table = self._keep(table, "impossible_position", real)
        table = table.assign(longitude=_within_180(table["longitude"]))
        table = self._keep(table, "outside_bounds", self._is_inside(table))
        if table.empty:
            return
        grouped = table.groupby(_PLACE, sort=False)
        places = table.drop(columns=["time", "value"]).drop_duplicates(_PLACE)
        self._places.append(places.assign(readings=grouped.size().to_numpy()))
        place = grouped.ngroup().to_numpy() + self._count
        self._count += len(places)
        self._batches.append(
            Batch(
                table["time"].to_numpy(np.int64),
                place.astype(np.int32),
                table["value"].to_numpy(np.float64),
            )
        )

    def finish(self) -> tuple[pd.DataFrame, list[Batch]]:
        """Return the stations, sorted by name, and the readings that count."""
        if not self._places:
            return pd.DataFrame(columns=_PLACE), []
        places = pd.concat(self._places, ignore_index=True)
        totals = places.groupby(_PLACE, sort=False)["readings"].sum().reset_index()
        most = totals.sort_values("readings", ascending=False, kind="stable")
        usual = most.drop_duplicates("station").sort_values("station", ignore_index=True)
        facts = places.drop(columns=["latitude", "longitude", "readings"]).drop_duplicates(
            "station"
        )
        stations = usual.drop(columns="readings").merge(facts, on="station", validate="1:1")
        number = pd.Index(stations["station"]).get_indexer(places["station"])
        away = _distances_km(places, stations.iloc[number]) > MOVED_KM
        self.moved = sorted({*places["station"][away]})
        self.dropped["moved_station"] += int(places["readings"][away].sum())
        number[away] = -1
        batches = []
        while self._batches:  # each is freed before the next one is made
            batch = self._batches.pop()
            station = number[batch.station].astype(np.int32)
            here = station >= 0
            batches.append(Batch(batch.time[here], station[here], batch.value[here]))
        return stations, batches[::-1]

    def _trim(self, given: "pd.Series[str]") -> "pd.Series[str]":
        given = given.fillna("").astype(str)
        names = given.str.strip()
        self.trimmed |= {*given[names != given]}
        return names

    def _keep(self, table: pd.DataFrame, reason: str, right: "pd.Series[bool]") -> pd.DataFrame:
        self.dropped[reason] += int((~right).sum())
        return table[right]

    def _is_inside(self, table: pd.DataFrame) -> "pd.Series[bool]":
        if self._bounds is None:
            return table["latitude"].notna()
        west, south, east, north = self._bounds
        longitude = table["longitude"]
        after, before = longitude >= west, longitude <= east
        across = after & before if west <= east else after | before
        return table["latitude"].between(south, north) & across


def _within_180(longitude: "pd.Series[float]") -> "pd.Series[float]":
    """Return longitudes within 360 degrees as those from -180 to 180 degrees."""
    turn = 360 * ((longitude < -180).astype(int) - (longitude > 180).astype(int))
    return longitude + turn


def _are_bounds(bounds: tuple[float, float, float, float]) -> bool:
    if not are_numbers(bounds, 4):
        return False
    west, south, east, north = bounds
    return bool(-90 <= south < north <= 90 and abs(west) <= 180 and abs(east) <= 180)


def _distances_km(here: pd.DataFrame, there: pd.DataFrame) -> npt.NDArray[np.float64]:
    """Return the distances between places in the same rows; exact for small ones."""
    latitude, longitude = (
        here[axis].to_numpy(np.float64) - there[axis].to_numpy(np.float64)
        for axis in ("latitude", "longitude")
    )
    around = (longitude + 180) % 360 - 180
    shrunk = around * np.cos(np.radians(here["latitude"].to_numpy(np.float64)))
    return np.asarray(EARTH_RADIUS_KM * np.radians(np.hypot(latitude, shrunk)), np.float64)
