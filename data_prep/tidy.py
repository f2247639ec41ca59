"""Tidy data of any city: a table of readings and a table of stations."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.city import CityData, DataError
from data_prep.grid import cells_of, shared_cells

MISSING_CODES = (-99.0, -999.0, -9999.0)


def read_tidy(
    directory: str | Path, grid: tuple[int, int] = (32, 32), name: str | None = None
) -> CityData:
    """Read a city from `readings.parquet` (or `.csv`) and `stations.csv`.

    Parameters
    ----------
    directory : Path
        The folder with the two files. The readings have the columns `time` (ISO 8601), `station`
        and `value` (ug/m3); without `value`, the only other numeric column is read. The stations
        have the columns `station`, `latitude` and `longitude` (degrees); further columns are kept.
    grid : (int, int)
        Height and width of the grid in cells. Default ``(32, 32)``.
    name : str, optional
        Name of the city. Default: that of the folder.

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
        has no valid position, or no station has a reading.

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
    path = directory / "readings.parquet"
    if not path.exists():
        path = directory / "readings.csv"
    readings = _read_readings(path)

    station = pd.Index(stations["station"]).get_indexer(readings["station"])
    known = station >= 0
    if not known.any():
        raise DataError(f"{path} has no reading of a station in stations.csv")
    unknown_stations = sorted(readings["station"][~known].dropna().unique())
    values = readings["value"].to_numpy()[known]
    infinite = np.isinf(values)
    coded = np.isin(values, MISSING_CODES)
    values[infinite | coded] = np.nan
    times, time = np.unique(readings["time"].to_numpy()[known], return_inverse=True)
    means, counts = _pivot(time, station[known], values, (len(times), len(stations)))

    with_readings = np.flatnonzero(counts.any(axis=0))
    if not len(with_readings):
        raise DataError(f"{path} has no reading that is a finite number")
    without_readings = stations["station"].drop(with_readings).to_list()
    stations = stations.iloc[with_readings].reset_index(drop=True)
    stations["cell"] = cells_of(stations["latitude"], stations["longitude"], grid)
    report: dict[str, Any] = {
        "rows": len(readings),
        "readings": int(counts.sum()),
        "rows_of_unknown_stations": int((~known).sum()),
        "unknown_stations": unknown_stations,
        "stations_without_readings": without_readings,
        "infinite_values": int(infinite.sum()),
        "missing_codes": int(coded.sum()),
        "duplicates_averaged": int((counts - 1).clip(min=0).sum()),
        "shared_cells": shared_cells(stations, grid),
    }
    return CityData(
        name=name or directory.resolve().name,
        times=times,
        stations=stations,
        values=means[:, with_readings],
        grid=grid,
        report=report,
    )


def _read_stations(path: Path) -> pd.DataFrame:
    stations = _read_table(path, ("station", "latitude", "longitude"))
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


def _read_readings(path: Path) -> pd.DataFrame:
    """Read the columns `time` (naive UTC, seconds), `station` (str) and `value` (float64)."""
    table = _read_table(path, ("time", "station"))
    others = table.drop(columns=["time", "station"])
    candidates = ["value"] if "value" in others else [*others.select_dtypes("number")]
    if len(candidates) != 1:
        raise DataError(
            f"{path} must have a column `value` or a single numeric column besides time and "
            f"station, got {[*others]}"
        )
    text = table["time"]
    raw_time = text if pd.api.types.is_datetime64_any_dtype(text) else text.astype(str)
    time = pd.to_datetime(raw_time, format="ISO8601", utc=True, errors="coerce")
    if time.isna().any():
        row = int(time.isna().to_numpy().argmax())
        raise DataError(f"{path}: time must be ISO 8601, got '{text.iloc[row]}' in row {row + 1}")
    try:
        value = pd.to_numeric(others[candidates[0]]).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {candidates[0]} must hold numbers: {error}") from error
    return pd.DataFrame(
        {
            "time": time.dt.tz_localize(None).astype("datetime64[s]"),
            "station": table["station"],
            "value": value,
        }
    )


def _read_table(path: Path, required: tuple[str, ...]) -> pd.DataFrame:
    """Read a CSV or Parquet file that has the columns `required`; `station` becomes text."""
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
        else:
            table = pd.read_csv(path, dtype={"station": str})
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist; expected stations.csv and readings.parquet or readings.csv"
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    missing = [column for column in required if column not in table]
    if missing:
        raise DataError(f"{path} must have the columns {missing}, got {[*table]}")
    table["station"] = table["station"].map(str, na_action="ignore")
    return table


def _pivot(
    time: npt.NDArray[np.integer],
    station: npt.NDArray[np.integer],
    values: npt.NDArray[np.float64],
    shape: tuple[int, int],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return the mean and the number of readings of each time and station, both of shape (T, S)."""
    real = ~np.isnan(values)
    place = np.ravel_multi_index((time[real], station[real]), shape)
    counts = np.bincount(place, minlength=shape[0] * shape[1])
    sums = np.bincount(place, weights=values[real], minlength=counts.size)
    means = np.full(counts.size, np.nan, dtype=np.float32)
    np.divide(sums, counts, out=means, where=counts > 0, casting="same_kind")
    return means.reshape(shape), counts.reshape(shape)
