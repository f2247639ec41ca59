"""Tidy data of any city: a table of readings and a table of stations."""

import warnings
from pathlib import Path

import pandas as pd

from data_prep.assemble import Rules, city_of, tabulate
from data_prep.checks import warn_of_unknown_stations
from data_prep.city import CityData, DataError
from data_prep.progress import progress_bar
from data_prep.stream import EXPECTED_FILES, Readings
from data_prep.text import csv_hint, encoding_hint

_PLACE = ["station", "latitude", "longitude"]


def read_tidy(
    directory: str | Path,
    grid: tuple[int, int] = (32, 32),
    name: str | None = None,
    progress: bool = True,
    *,
    every: str | None = None,
    least: float = 0.75,
    valid: tuple[float, float] | None = None,
) -> CityData:
    """Read a city from `readings.parquet` (or `.csv`) and `stations.csv`.

    The readings are read twice, in batches, so that the table may be larger than the memory; the
    city needs 12 bytes per time and station while it is read.

    Parameters
    ----------
    directory : str or Path
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
    every : str, optional
        Average the readings over periods of this length, which must divide a day, such as
        ``"1h"``; the time is the beginning of the period. Default: the times are kept.
    least : float
        The least share of readings of a period: of the number of times at which the station usually
        has readings (90th percentile over its periods). Times in the same 64th of a period count
        once. Default 0.75.
    valid : (float, float), optional
        Smallest and largest valid reading in ug/m3; others count as missing. Default: all.

    Returns
    -------
    CityData
        Stations are in the order of `stations.csv`. Times are those of the readings, sorted; gaps
        remain, and times with a UTC offset are converted to UTC. Several readings of a station at
        the same time are averaged. Infinite values, also those too large for float32, and the codes
        -99, -999 and -9999 count as missing; other negative values are kept, since they are noise
        around zero. Readings of unknown stations and stations without readings are dropped.
        `report` counts all of this.
        Spaces around the names of stations are removed, and ``report["trimmed_names"]`` has them.

    Warns
    -----
    DataWarning
        If readings are impossible, such as 9999 ug/m3, the stations read at different times, or
        `stations.csv` lacks some.

    Raises
    ------
    DataError
        If a file or a column is missing, a time or a number is invalid, a station occurs twice or
        has no valid position, no station has a reading, or the city does not fit into the memory.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> from data_prep import read_tidy
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
    rules = Rules(every, least, valid)
    directory = Path(directory)
    stations, trimmed = _read_stations(directory / "stations.csv")
    readings = Readings(readings_in(directory), stations["station"])
    with progress_bar(progress) as bar:
        table = tabulate(readings.batches, len(stations), rules, bar, readings.count_rows())
    if not len(table.times):
        raise DataError(f"{readings.path} has no reading of a station in stations.csv")
    warn_of_unknown_stations(readings.unknown, directory / "stations.csv")
    return city_of(
        table,
        stations,
        name=name or directory.resolve().name,
        grid=grid,
        report={
            "unknown_stations": sorted(readings.unknown),
            "trimmed_names": sorted(readings.trimmed | trimmed),
        },
        rules=rules,
    )


def readings_in(directory: Path) -> Path:
    """Return the first table of readings that exists, or where it was expected."""
    names = ("readings.parquet", "readings.csv", "readings")
    found = [directory / name for name in names if (directory / name).exists()]
    return [*found, directory / "readings.csv"][0]


def tables_in(directory: Path) -> list[str]:
    """Return the names of the tables of a tidy city in a folder; a prepared city has none."""
    prepared = (directory / "stations.parquet").exists()
    names = ["stations.csv", "readings.csv"] + ["readings.parquet"] * (not prepared)
    return [name for name in names if (directory / name).exists()]


def _read_stations(path: Path) -> tuple[pd.DataFrame, set[str]]:
    """Return the table of stations, and the names that had spaces around them."""
    readings = readings_in(path.parent)  # for hints
    try:
        with warnings.catch_warnings():  # a row that is longer than the header
            warnings.simplefilter("error", pd.errors.ParserWarning)
            given = pd.read_csv(path, index_col=False)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; {EXPECTED_FILES}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} cannot be read: {encoding_hint(path, readings)}") from error
    except (OSError, ValueError, pd.errors.ParserWarning) as error:
        long = isinstance(error, pd.errors.ParserWarning)
        reason = "a row has more cells than the header" if long else error
        raise DataError(f"{path} cannot be read: {reason}") from error
    if not {*_PLACE} <= {*given}:
        hint = csv_hint("for other separators", readings)
        raise DataError(
            f"{path} must have the columns station, latitude and longitude, got {[*given]}{hint}"
        )
    if given.empty:
        raise DataError(f"{path} must have a row for each station, got none")
    text = pd.read_csv(path, usecols=["station"], dtype=str, na_filter=False, index_col=False)
    given = given.assign(station=text["station"])  # one may be called NA
    degrees = given[["latitude", "longitude"]].apply(pd.to_numeric, errors="coerce")
    stations = given.assign(station=given["station"].str.strip(), **degrees)
    beyond = (degrees["latitude"].abs() > 90) | (degrees["longitude"].abs() > 360)
    for wrong, expected in (
        (
            degrees.isna().any(axis=1) | (stations["station"] == ""),
            "every station needs a name and a position",
        ),
        (beyond, "latitude must be within 90 and longitude within 360 degrees"),
    ):
        if wrong.any():
            raise DataError(f"{path}: {expected}, got {given.loc[wrong, _PLACE].iloc[0].to_dict()}")
    twice = stations["station"][stations["station"].duplicated()]
    if len(twice):
        raise DataError(f"{path}: station {twice.iloc[0]!r} occurs twice")
    return stations, {*given["station"][given["station"] != stations["station"]]}
