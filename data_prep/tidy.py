"""Tidy data of any city: a table of readings and a table of stations."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.progress import Progress

from data_prep.city import CityData, DataError
from data_prep.grid import cells_of, shared_cells
from data_prep.stream import BATCH_ROWS, EXPECTED_FILES, Readings

MISSING_CODES = (-99.0, -999.0, -9999.0)


def read_tidy(
    directory: str | Path,
    grid: tuple[int, int] = (32, 32),
    name: str | None = None,
    progress: bool = True,
) -> CityData:
    """Read a city from `readings.parquet` (or `.csv`) and `stations.csv`.

    The readings are read twice, in batches, so that the table may be larger than the memory; the
    city needs 12 bytes per time and station while it is read.

    Parameters
    ----------
    directory : Path
        The folder with the two files. The readings have the columns `time` (ISO 8601), `station`
        and `value` (ug/m3); without `value`, the only other numeric column is read. The stations
        have the columns `station`, `latitude` and `longitude` (degrees); further columns are kept.
        Instead of one file of readings there may be a folder `readings` with many of the same
        format, such as one for each station; in subfolders named ``station=NAME`` they need no
        column `station`.
    grid : (int, int)
        Height and width of the grid in cells. Default ``(32, 32)``.
    name : str, optional
        Name of the city. Default: that of the folder.
    progress : bool
        Whether to show a progress bar on stderr. Default True.

    Returns
    -------
    CityData
        Stations are in the order of `stations.csv`. Times are those of the readings, sorted; gaps
        remain, and times with a UTC offset are converted to UTC. Several readings of a station at
        the same time are averaged. Infinite values and the codes -99, -999 and -9999 count as
        missing; other negative values are kept, since they are noise around zero. Readings of
        unknown stations and stations without readings are dropped. `report` counts all of this.

    Raises
    ------
    DataError
        If a file or a column is missing, a time or a number is invalid, a station occurs twice or
        has no valid position, no station has a reading, or the city does not fit into the memory.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> stations = pd.DataFrame({"station": ["a", "b"], "latitude": [51, 52], "longitude": [4, 5]})
    >>> times = ["2024-01-01T00:00", "2024-01-01T01:00"]
    >>> readings = pd.DataFrame({"time": times, "station": ["a", "b"], "value": [4.0, 5.0]})
    >>> with TemporaryDirectory() as folder:
    ...     stations.to_csv(Path(folder, "stations.csv"), index=False)
    ...     readings.to_csv(Path(folder, "readings.csv"), index=False)
    ...     city = read_tidy(folder)
    >>> city.values
    array([[ 4., nan],
           [nan,  5.]], dtype=float32)
    """
    directory = Path(directory)
    stations = _read_stations(directory / "stations.csv")
    readings = Readings(readings_in(directory))
    path = readings.path
    console = Console(stderr=True)
    shown = progress and (console.is_terminal or console.is_jupyter)
    with Progress(console=console, transient=True, disable=not shown) as bar:
        rows = readings.count_rows()
        times, counted = _find_times(readings, stations["station"], bar, rows)
        if not len(times):
            raise DataError(f"{path} has no reading of a station in stations.csv")
        try:
            values, summed = _pivot(readings, times, stations["station"], bar, counted["rows"])
        except MemoryError as error:
            raise DataError(
                f"{path} has {len(times):,} different times, too many for {len(stations):,} "
                "stations; round the times to a common step, such as hours"
            ) from error

    observed = ~np.isnan(values)
    with_readings = np.flatnonzero(observed.any(axis=0))
    if not len(with_readings):
        raise DataError(f"{path} has no reading that is a finite number")
    without_readings = stations["station"].drop(with_readings).to_list()
    stations = stations.iloc[with_readings].reset_index(drop=True)
    stations["cell"] = cells_of(stations["latitude"], stations["longitude"], grid)
    report: dict[str, Any] = {
        "rows": counted["rows"],
        "readings": summed,
        "rows_of_unknown_stations": counted["unknown"],
        "unknown_stations": sorted(counted["names"]),
        "stations_without_readings": without_readings,
        "infinite_values": counted["infinite"],
        "missing_codes": counted["codes"],
        "duplicates_averaged": summed - int(observed.sum()),
        "shared_cells": shared_cells(stations, grid),
    }
    if len(with_readings) < values.shape[1]:
        values = values[:, with_readings]
    return CityData(
        name=name or directory.resolve().name,
        times=times.astype("datetime64[s]"),
        stations=stations,
        values=values,
        grid=grid,
        report=report,
    )


def readings_in(directory: Path) -> Path:
    """Return the first table of readings that exists, or where it was expected."""
    names = ("readings.parquet", "readings.csv", "readings")
    found = [directory / name for name in names if (directory / name).exists()]
    return [*found, directory / "readings.csv"][0]


def _find_times(
    readings: Readings, stations: "pd.Series[str]", bar: Progress, rows: int | None
) -> tuple[npt.NDArray[np.int64], dict[str, Any]]:
    """Return the times of all readings of known stations, sorted, and what is to be reported."""
    task = bar.add_task("finding times", total=rows)
    times, pending = np.empty(0, np.int64), np.empty(0, np.int64)
    counted: dict[str, Any] = {"names": set()} | dict.fromkeys(
        ("rows", "unknown", "infinite", "codes"), 0
    )
    for batch in readings.batches(stations):
        known = batch.station >= 0
        pending = np.append(pending, pd.unique(batch.time[known]))
        if len(pending) > max(len(times), BATCH_ROWS):  # merged rarely, as each time takes longer
            times, pending = np.union1d(times, pending), pending[:0]
        value = batch.value[known]
        counted["rows"] += len(known)
        counted["unknown"] += int((~known).sum())
        counted["infinite"] += int(np.isinf(value).sum())
        counted["codes"] += int(np.isin(value, MISSING_CODES).sum())
        counted["names"] |= batch.unknown
        bar.advance(task, len(known))
    return np.union1d(times, pending), counted


def _pivot(
    readings: Readings,
    times: npt.NDArray[np.int64],
    stations: "pd.Series[str]",
    bar: Progress,
    rows: int,
) -> tuple[npt.NDArray[np.float32], int]:
    """Return the mean of each time and station, shape (T, S), and the number of all readings."""
    task = bar.add_task("reading", total=rows)
    shape = len(times), len(stations)
    sums, counts = np.zeros(shape), np.zeros(shape, np.uint32)
    for batch in readings.batches(stations):
        value = batch.value
        real = (batch.station >= 0) & np.isfinite(value) & ~np.isin(value, MISSING_CODES)
        row = np.searchsorted(times, batch.time[real])
        place = row * shape[1] + batch.station[real]
        np.add.at(sums.ravel(), place, value[real])
        np.add.at(counts.ravel(), place, np.uint32(1))
        bar.advance(task, len(value))
    with np.errstate(invalid="ignore"):  # 0 / 0 = NaN where there is no reading
        np.divide(sums, counts, out=sums)
    number = int(counts.sum(dtype=np.int64))
    del counts  # before the result needs as much memory
    return sums.astype(np.float32), number


def _read_stations(path: Path) -> pd.DataFrame:
    required = ("station", "latitude", "longitude")
    try:
        stations = pd.read_csv(path, dtype={"station": str})
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; {EXPECTED_FILES}") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if missing := [column for column in required if column not in stations]:
        raise DataError(f"{path} must have the columns {missing}, got {[*stations]}")
    for column in ("latitude", "longitude"):
        stations[column] = pd.to_numeric(stations[column], errors="coerce")
    places = stations[["station", "latitude", "longitude"]]
    beyond = (places["latitude"].abs() > 90) | (places["longitude"].abs() > 180)
    for wrong, expected in (
        (places.isna().any(axis=1), "every station needs a name and a position"),
        (beyond, "latitude must be within 90 and longitude within 180 degrees"),
    ):
        if wrong.any():
            raise DataError(f"{path}: {expected}, got {places[wrong].iloc[0].to_dict()}")
    twice = stations["station"][stations["station"].duplicated()]
    if len(twice):
        raise DataError(f"{path}: station {twice.iloc[0]!r} occurs twice")
    return stations
