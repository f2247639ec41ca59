"""CSV tables of any origin: a row for each reading, or a column for each station."""

import csv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.arguments import require_texts
from data_prep.checks import warn_of_unknown_stations
from data_prep.city import DataError
from data_prep.dropped import Dropped
from data_prep.sources.columns import factor_of, find_columns, require_columns
from data_prep.sources.files import File
from data_prep.sources.importer import Importer, Rows
from data_prep.sources.table import numbers, parse_zone, read_csv, require_marks, seconds
from data_prep.sources.units import convert

DELIMITERS = (",", ";", "\t", "|")
"""The one that occurs most in the header is taken."""

Numbers = Callable[["pd.Series[str]", File], npt.NDArray[np.float64]]

_STATIONS = "stations.csv"
_TIME_HINT = "; give --time-format, such as %d.%m.%Y %H:%M (time_format in Python)"
_HEAD_BYTES = 1 << 16
_NAMELESS = "Unnamed: "
"""What pandas calls columns without a name, before their number."""


def _rows(
    files: Iterator[File],
    dropped: Dropped,
    *,
    stations: str | Path | None = None,
    columns: Mapping[str, str] | None = None,
    time_zone: str = "UTC",
    time_format: str = "ISO8601",
    decimal: str = ".",
    thousands: str | None = None,
    text: Literal["error", "missing"] = "error",
    encoding: str = "utf-8",
) -> Rows:
    _require_options(columns, time_format, decimal, thousands, text, encoding)
    zone = parse_zone(time_zone)
    known: dict[Path, pd.DataFrame] = {}
    unknown: dict[Path, set[str]] = {}

    def number(cells: "pd.Series[str]", file: File) -> npt.NDArray[np.float64]:
        values = numbers(cells, file, decimal=decimal, thousands=thousands, text=text)
        require_marks(cells, values, file, decimal, thousands)
        return values

    def degree(cells: "pd.Series[str]", file: File) -> npt.NDArray[np.float64]:
        return numbers(cells, file, decimal=decimal, text=text)

    for file in files:
        path = Path(stations) if stations else file.path.parent / _STATIONS
        if path.exists() and path not in known:
            known[path] = _read_places(File(path), encoding, decimal)
        elif stations and not path.exists():
            raise DataError(f"{path} does not exist; expected a table of stations")
        if file.path.resolve() == path.resolve():
            continue
        places = known.get(path)
        delimiter, header = _header(file, encoding)
        for table in read_csv(file, None, delimiter=delimiter, encoding=encoding):
            found = find_columns(table.columns, columns or {}, file)
            require_columns(found, ["time"], table.columns, file)
            times = seconds(
                table[found["time"]], file, format=time_format, zone=zone, hint=_TIME_HINT
            )
            if places is not None and not {"station", "value"} & {*found}:
                _require_once(header, {found["time"], *places.index}, file)
                ours = ("", found["time"], *places.index)
                others = [str(name) for name in table if name not in ours]
                others = [name for name in others if not name.startswith(_NAMELESS)]
                dropped["unknown_station"] += len(others) * len(table)
                unknown.setdefault(path, set()).update(others)
                yield from _wide(table, times, places, file, number)
                continue
            _require_once(header, {*found.values()}, file)
            rows = _long(table, found, times, places, file, number, degree)
            if places is not None:
                given = rows["station"].str.strip()
                strange = ~given.isin(["", *places.index])
                dropped["unknown_station"] += int(strange.sum())
                unknown.setdefault(path, set()).update(given[strange])
                rows = rows[~strange]
            else:
                _require_degrees(table, found, rows, file, decimal)
            factor = factor_of(found["value"], file, named="value" in (columns or {}))
            yield rows.assign(value=convert(rows["value"].to_numpy(), factor))
    for path, names in unknown.items():
        warn_of_unknown_stations(names, path)


def _require_options(
    columns: object,
    time_format: object,
    decimal: object,
    thousands: object,
    text: object,
    encoding: object,
) -> None:
    require_texts(
        time_format=time_format, decimal=decimal, thousands=thousands or "", encoding=encoding
    )
    if columns is not None and not isinstance(columns, Mapping):
        raise DataError(f"columns must be a mapping such as {{'value': 'PM'}}, got {columns!r}")
    if decimal in ("", thousands):
        raise DataError(
            "decimal must be a mark, and not that between thousands, "
            f"got decimal={decimal!r} and thousands={thousands!r}"
        )
    if text not in ("error", "missing"):
        raise DataError(f"text must be 'error' or 'missing', got {text!r}")


def _long(
    table: pd.DataFrame,
    found: dict[str, str],
    times: npt.NDArray[np.int64],
    places: pd.DataFrame | None,
    file: File,
    number: Numbers,
    degree: Numbers,
) -> pd.DataFrame:
    """Return the readings of a table with a row for each."""
    degrees = [] if places is not None else ["latitude", "longitude"]
    needed = [*(degrees or ["station"]), "value"]
    require_columns(found, needed, table.columns, file)
    rows = pd.DataFrame({"time": times, "value": number(table[found["value"]], file)})
    for axis in degrees:
        rows[axis] = degree(table[found[axis]], file)
    if "station" in found:
        rows["station"] = table[found["station"]].to_numpy()
    else:
        pairs = zip(rows["latitude"], rows["longitude"], strict=True)
        rows["station"] = [f"{latitude:.5f},{longitude:.5f}" for latitude, longitude in pairs]
    return rows if places is None else _located(rows, places)


def _require_degrees(
    table: pd.DataFrame, found: dict[str, str], rows: pd.DataFrame, file: File, decimal: str
) -> None:
    """Raise `DataError` for text in a coordinate that has no number, also if text is missing."""
    for axis in ("latitude", "longitude"):
        if rows[axis].isna().all():
            numbers(table[found[axis]], file, decimal=decimal)


def _wide(
    table: pd.DataFrame,
    times: npt.NDArray[np.int64],
    places: pd.DataFrame,
    file: File,
    number: Numbers,
) -> Rows:
    """Yield the readings of each station of a table with a column for each."""
    ours = [column for column in table if column in places.index]
    if not ours:
        raise DataError(
            f"{file} must have columns `station` and `value`, or a column for each station "
            f"{[*places.index][:5]}, got {[*table]}"
        )
    for station in ours:
        values = number(table[station], file)
        rows = pd.DataFrame({"time": times, "station": station, "value": values})
        yield _located(rows, places)


def _located(rows: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """Add the positions of the stations; they are missing where a station is unknown."""
    return (
        rows.assign(place=rows["station"].str.strip())
        .join(places, on="place")
        .drop(columns="place")
    )


def _read_places(file: File, encoding: str, decimal: str) -> pd.DataFrame:
    """Return latitude and longitude by the name of the station."""
    tables = []
    delimiter, _ = _header(file, encoding)
    for table in read_csv(file, None, delimiter=delimiter, encoding=encoding):
        found = find_columns(table.columns, {}, file)
        if missing := [key for key in ("station", "latitude", "longitude") if key not in found]:
            raise DataError(
                f"{file} must have the columns station, latitude and longitude, got "
                f"{[*table.columns]}; rename those for {' and '.join(missing)}"
            )
        degrees = {
            axis: numbers(table[found[axis]], file, decimal=decimal)
            for axis in ("latitude", "longitude")
        }
        tables.append(pd.DataFrame(degrees, index=table[found["station"]].str.strip()))
    places = pd.concat(tables)
    if places.index.has_duplicates:
        twice = places.index[places.index.duplicated()][0]
        raise DataError(f"{file}: station {twice!r} occurs twice")
    return places.rename_axis("station")


def _require_once(header: list[str], used: set[str], file: File) -> None:
    """Raise `DataError` if a column that is used occurs twice in the header."""
    if twice := [name for name in header if name in used and header.count(name) > 1]:
        raise DataError(f"{file} must have the column {twice[0]!r} once, got {header}")


def _header(file: File, encoding: str) -> tuple[str, list[str]]:
    """Return the delimiter of a table, and the names of its columns as they stand in the file."""
    with file.open() as stream:
        head = stream.read(_HEAD_BYTES)
    try:
        header = head.decode(encoding, errors="ignore").partition("\n")[0]
    except (LookupError, ValueError) as error:
        raise DataError(f"encoding must be one of Python, such as latin-1: {error}") from error
    delimiter = max(DELIMITERS, key=header.count)
    names = next(csv.reader(header.strip("\ufeff").splitlines(), delimiter=delimiter), [])
    return delimiter, [name.strip() for name in names]


CSV = Importer(
    help="CSV tables: a row for each reading, or a column for each station",
    licence="that of whoever made the table",
    patterns=("*.csv", "*.txt", "*.tsv"),
    rows=_rows,
)
"""A table with a row for each reading has the columns time, value, and latitude and longitude or
the station; a file ``stations.csv`` beside it, or the option `stations`, has the positions. A table
with a column for each station needs it."""
