"""From readings in any order to a `CityData`: what all sources of readings have in common."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.progress import Progress

from data_prep.arguments import are_numbers
from data_prep.checks import Impossible, warn_of_impossible_values, warn_of_scattered_times
from data_prep.city import CityData, DataError
from data_prep.dropped import Dropped, count_dropped
from data_prep.grid import cells_of, shared_cells, unwrap_longitude

MISSING_CODES = (-99.0, -999.0, -9999.0)

_MANY = 1 << 20
_SLOTS = 64
"""Parts of a period, as many as an integer has bits."""
_SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86400}


class Batch(NamedTuple):
    """Some readings.

    Attributes
    ----------
    time : array of int64
        Seconds since 1970.
    station : array of integers
        The number of the station; readings with -1 are left out.
    value : array of float64
    """

    time: npt.NDArray[np.int64]
    station: npt.NDArray[np.integer]
    value: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Rules:
    """Which readings count, and whether they are averaged over periods.

    Parameters
    ----------
    every : str, optional
        Length of a period, such as ``"1h"``; it must divide a day. The readings of a station in
        a period are averaged, and the time is the beginning of the period. Default, and
        ``"none"``: the times of the readings are kept.
    least : float
        The least share of readings of a period: of the number of times at which the station usually
        has readings, which is the 90th percentile over its periods. Times in the same 64th of a
        period count once. Default 0.75.
    valid : (float, float), optional
        Smallest and largest valid reading. Default: all numbers are valid.

    Raises
    ------
    DataError
        If a rule is not as described.
    """

    every: str | None = None
    least: float = 0.75
    valid: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _ = self.period
        if not (isinstance(self.least, Real) and 0 <= self.least <= 1):
            raise DataError(f"least must be a share between 0 and 1, got {self.least!r}")
        if self.valid is not None and not _is_range(self.valid):
            raise DataError(f"valid must be a smaller and a larger number, got {self.valid!r}")

    @property
    def period(self) -> int | None:
        """The length of a period in seconds."""
        if self.every in (None, "none"):
            return None
        match = re.fullmatch(r"(\d{1,5}) ?(s|min|h|d)", str(self.every))
        seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
        if not seconds or 86400 % seconds:
            raise DataError(
                f"every must be a period that divides a day, such as 15min, 1h or 1d, "
                f"got {self.every!r}"
            )
        return seconds


def _is_range(valid: tuple[float, float]) -> bool:
    return are_numbers(valid, 2) and bool(valid[0] < valid[1])


class Table(NamedTuple):
    """Readings by time and station.

    Attributes
    ----------
    times : array of int64, shape (T,)
        Seconds since 1970, sorted.
    values : array of float32, shape (T, S)
        NaN where there is no reading.
    readings : int
        The number of rows that count.
    dropped : dict
        The number of rows that do not count, by reason.
    impossible : Impossible
        Impossible readings, which are not dropped for that reason.
    """

    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]
    readings: int
    dropped: dict[str, int]
    impossible: Impossible


def tabulate(
    read: Callable[[], Iterable[Batch]],
    stations: int,
    rules: Rules,
    bar: Progress,
    rows: int | None = None,
) -> Table:
    """Arrange readings by time and station. Those with the same time and station are averaged.

    Parameters
    ----------
    read : callable
        Reads all batches. It is called twice, so that they need not fit into the memory.
    stations : int
        The number of stations S.
    rules : Rules
    bar : Progress
        Shows how far the work is.
    rows : int, optional
        The number of rows, if it is known.

    Raises
    ------
    DataError
        If the table does not fit into the memory.
    """
    times, rows = _find_times(read, rules.period, bar, rows)
    try:
        return _pivot(read, times, stations, rules, bar, rows)
    except MemoryError as error:
        raise DataError(
            f"there are {len(times):,} different times, too many for {stations:,} stations; "
            "average the readings over periods, such as every='1h'"
        ) from error


def city_of(
    table: Table,
    stations: pd.DataFrame,
    *,
    name: str,
    grid: tuple[int, int],
    report: dict[str, Any],
    rules: Rules,
) -> CityData:
    """Make a city of the stations that have readings, and warn of what looks wrong.

    Parameters
    ----------
    table : Table
    stations : DataFrame, S rows
        Columns `station`, `latitude` and `longitude`; further columns are kept.
    name, grid, report
        As for `CityData`. What `table` counts is added to the report; ``report["dropped"]`` may
        have the numbers of further rows that do not count, by reason.
    rules : Rules
        Those of the table.

    Raises
    ------
    DataError
        If there is no reading, or a station is closer than 5 degrees to a pole.
    """
    observed = ~np.isnan(table.values)
    found = np.flatnonzero(observed.any(axis=0))
    if not len(found):
        raise DataError(f"{name} has no reading that is a finite number")
    absent = stations["station"].drop(found).to_list()
    values = table.values if len(found) == len(stations) else table.values[:, found]
    stations = stations.iloc[found].reset_index(drop=True)
    stations["longitude"] = unwrap_longitude(stations["longitude"])
    stations["cell"] = cells_of(stations["latitude"], stations["longitude"], grid)
    dropped = Dropped(report.get("dropped", {}))
    dropped.update(table.dropped)
    counts = {
        "rows": table.readings + sum(dropped.values()),
        "readings": table.readings,
        "dropped": {reason: number for reason, number in dropped.items() if number},
        "averaged": table.readings - int(np.count_nonzero(observed)),
        "stations_without_readings": absent,
        "shared_cells": shared_cells(stations, grid),
    }
    city = CityData(
        name=name,
        times=table.times.astype("datetime64[s]"),
        stations=stations,
        values=values,
        grid=grid,
        report=report | counts,
    )
    in_thin_periods = table.dropped.get("too_few_in_period", 0)
    warn_of_impossible_values(table.impossible, table.readings + in_thin_periods, city)
    if rules.period is None:
        warn_of_scattered_times(city)
    return city


def _find_times(
    read: Callable[[], Iterable[Batch]], period: int | None, bar: Progress, rows: int | None
) -> tuple[npt.NDArray[np.int64], int]:
    """Return the times of all readings, sorted, and the number of rows."""
    task = bar.add_task("finding times", total=rows)
    times, pending, counted = np.empty(0, np.int64), np.empty(0, np.int64), 0
    for batch in read():
        time = _beginning(batch.time[batch.station >= 0], period)
        pending = np.append(pending, pd.unique(time))
        if len(pending) > max(len(times), _MANY):  # merged rarely, as each time takes longer
            times, pending = np.union1d(times, pending), pending[:0]
        counted += len(batch.time)
        bar.advance(task, len(batch.time))
    return np.union1d(times, pending), counted


def _pivot(
    read: Callable[[], Iterable[Batch]],
    times: npt.NDArray[np.int64],
    stations: int,
    rules: Rules,
    bar: Progress,
    rows: int,
) -> Table:
    task = bar.add_task("reading", total=rows)
    shape = len(times), stations
    sums, numbers = np.zeros(shape), np.zeros(shape, np.uint32)
    slots = np.zeros(shape if rules.period else (0, 0), np.uint64)
    dropped, impossible = Dropped(), Impossible()
    for batch in read():
        value, known = batch.value, batch.station >= 0
        with np.errstate(over="ignore"):
            finite = np.isfinite(value.astype(np.float32))
        reasons = {
            "unknown_station": ~known,
            "missing_value": np.isnan(value),
            "infinite_value": ~finite,
            "missing_code": np.isin(value, MISSING_CODES),
        }
        if rules.valid is not None:
            reasons["out_of_range"] = (value < rules.valid[0]) | (value > rules.valid[1])
        real = count_dropped(dropped, reasons)
        row = np.searchsorted(times, _beginning(batch.time[real], rules.period))
        impossible.add(value[real])
        place = row * stations + batch.station[real]
        np.add.at(sums.ravel(), place, value[real])
        np.add.at(numbers.ravel(), place, np.uint32(1))
        if rules.period:
            slot = (batch.time[real] % rules.period * _SLOTS // rules.period).astype(np.uint64)
            np.bitwise_or.at(slots.ravel(), place, np.uint64(1) << slot)
        bar.advance(task, len(value))
    if rules.period:
        thin = _are_thin(slots, rules.least)
        dropped["too_few_in_period"] = int(numbers[thin].sum(dtype=np.int64))
        numbers[thin] = 0
        sums[thin] = 0
        del thin
    del slots
    readings = int(numbers.sum(dtype=np.int64))
    with np.errstate(invalid="ignore"):  # 0 / 0 = NaN where there is no reading
        np.divide(sums, numbers, out=sums)
    del numbers  # before the result needs as much memory
    return Table(times, sums.astype(np.float32), readings, dict(dropped), impossible)


def _are_thin(slots: npt.NDArray[np.uint64], least: float) -> npt.NDArray[np.bool_]:
    """Return which periods of each station have readings in fewer slots than they should.

    Slots are counted, not readings, because files that occur twice, or a second instrument, would
    otherwise make all periods without them look thin.
    """
    thin = np.zeros(slots.shape, np.bool_)
    for station, column in enumerate(slots.T):
        numbers = np.unpackbits(column.copy().view(np.uint8)).reshape(-1, _SLOTS).sum(axis=1)
        if numbers.any():
            thin[:, station] = numbers < least * np.quantile(numbers[numbers > 0], 0.9)
    return thin


def _beginning(time: npt.NDArray[np.int64], period: int | None) -> npt.NDArray[np.int64]:
    return time if period is None else time - time % period
