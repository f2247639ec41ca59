"""The readings of a tidy city, read in batches of rows: a table need not fit into the memory."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from data_prep.assemble import Batch
from data_prep.city import DataError
from data_prep.folders import files_below
from data_prep.text import csv_hint, encoding_hint, number_hint
from data_prep.times import parse_times

BATCH_ROWS = 1 << 20
"""The largest number of rows of a batch of Parquet."""

EXPECTED_FILES = (
    "expected stations.csv and readings.parquet, readings.csv or a folder readings with such files"
)

_REQUIRED = ("time", "station")
_KINDS = (".csv", ".parquet")
_BLOCK_BYTES = 1 << 22
_NULLS = [*pacsv.ConvertOptions().null_values, "None", "<NA>"]


class Readings:
    """A table of readings: a file, or a folder of files with the same columns.

    Parameters
    ----------
    path : Path
        A CSV or Parquet file, or a folder of files of one of these formats. Subfolders named
        ``station=NAME`` take the place of the column `station`.
    stations : Series of str
        The names of the known stations.

    Attributes
    ----------
    unknown : set of str
        Names of other stations, after the rows have been read.
    trimmed : set of str
        Names with spaces around them, which do not count.

    Raises
    ------
    DataError
        If there is no file, the first one cannot be read, or it lacks a column.
    """

    def __init__(self, path: Path, stations: "pd.Series[str]") -> None:
        self.path = path
        self.unknown: set[str] = set()
        self.trimmed: set[str] = set()
        self._known = pd.Index(stations)
        self.files = [path]
        if path.is_dir():
            self.files = [file for file in files_below(path) if _kind(file) in _KINDS]
        if not path.exists():
            raise DataError(f"{path} does not exist; {EXPECTED_FILES}")
        if not self.files:
            raise DataError(f"{path} has no CSV or Parquet file; {EXPECTED_FILES}")
        if len({_kind(file) for file in self.files}) > 1:
            raise DataError(f"{path} must hold files of one format, got CSV and Parquet files")
        first = self.files[0]
        columns = self._columns(first)
        names = [*columns]
        required = [
            name for name in _REQUIRED if name != "station" or self._folder_station(first) is None
        ]
        if not {*required} <= {*names}:
            hint = csv_hint(
                "for other names or separators", self._table_of(first), " and --columns"
            )
            raise DataError(
                f"{first} must have the columns {', '.join(required)} and value, got {names}{hint}"
            )
        others = [name for name in names if name not in _REQUIRED]
        numeric = [name for name in others if _may_be_numeric(columns[name])]
        candidates = ["value"] if "value" in names else numeric
        if len(candidates) != 1:
            raise DataError(
                f"{first} must have a column `value` or a single numeric column besides time and "
                f"station, got {others}"
            )
        (self.column,) = candidates

    def count_rows(self) -> int | None:
        """Return the number of rows, or None if all of them would have to be read for it."""
        if _kind(self.files[0]) != ".parquet":
            return None
        rows = 0
        for file in self.files:
            with self._errors_of(file):
                rows += int(pq.read_metadata(file).num_rows)
        return rows

    def batches(self) -> Iterator[Batch]:
        """Read the table from its beginning; batches are in the order of the rows.

        Raises
        ------
        DataError
            If a file cannot be read, or a time or a number is invalid; the message names the file
            and the row.
        """
        for file in self.files:
            rows = 0
            with self._errors_of(file, self.column):
                for time, station, value in self._read(file):
                    values = value.to_numpy(zero_copy_only=False)
                    yield Batch(_seconds(time, file, rows), self._numbers_of(station), values)
                    rows += len(time)

    def _numbers_of(self, station: pa.Array) -> npt.NDArray[np.int64]:
        """Return the number of the station of each row, -1 if it is unknown or missing."""
        names = station.dictionary_encode()
        given = ["" if name is None else str(name) for name in names.dictionary.to_pylist()]
        texts = [name.strip() for name in given]
        numbers = self._known.get_indexer(pd.Index(texts, dtype=object))
        self.unknown |= {name for name, number in zip(texts, numbers, strict=True) if number < 0}
        self.unknown.discard("")
        self.trimmed |= {name for name, text in zip(given, texts, strict=True) if name != text}
        of_row = names.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return np.asarray(np.append(numbers, -1)[of_row], np.int64)

    def _read(self, file: Path) -> Iterator[tuple[pa.Array, pa.Array, pa.Array]]:
        """Yield the columns time, station and value of some rows."""
        station = self._folder_station(file)
        wanted = [*_REQUIRED, self.column]
        if station is not None:
            wanted.remove("station")
        if _kind(file) == ".parquet":
            source: Any = pq.ParquetFile(file)
            batches = source.iter_batches(BATCH_ROWS, columns=wanted)
        else:
            source = batches = _open_csv(file, {self.column: pa.float64()}, wanted)
        with source:
            for batch in batches:
                value = pc.cast(batch.column(self.column), pa.float64())
                if station is None:
                    yield batch.column("time"), batch.column("station"), value
                else:
                    yield batch.column("time"), pa.array([station] * len(batch)), value

    def _folder_station(self, file: Path) -> str | None:
        """Return the name of the station if it is that of a folder below `path`."""
        for part in file.relative_to(self.path).parts[:-1]:
            key, equals, name = part.partition("=")
            if equals and key == "station":
                return unquote(name)
        return None

    def _columns(self, file: Path) -> dict[str, pa.DataType]:
        with self._errors_of(file):
            if _kind(file) == ".parquet":
                schema = pq.read_schema(file)
            else:
                with _open_csv(file) as reader:
                    schema = reader.schema
            if len({*schema.names}) < len(schema.names):
                raise DataError(f"{file} must have different columns, got {schema.names}")
            return {str(column.name): column.type for column in schema}

    @contextmanager
    def _errors_of(self, file: Path, column: str = "") -> Iterator[None]:
        """Say in one sentence what is wrong with a file."""
        try:
            yield
        except (OSError, KeyError, UnicodeError, pa.ArrowException) as error:
            text = str(error)
            if "conversion error to double" in text or "parse string" in text:
                given = text.split("'")[1] if "'" in text else ""
                hint = number_hint(given, self._table_of(file))
                raise DataError(f"{file}: {column} must hold numbers: {text}{hint}") from error
            hint = ""
            if "utf8" in text.lower().replace("-", "") or "\0" in text:
                hint = f"; {encoding_hint(file, self._table_of(file))}"
            elif "CSV parse error" in text:
                hint = csv_hint("for other separators", self._table_of(file))
            raise DataError(f"{file} cannot be read: {text}{hint}") from error

    def _table_of(self, file: Path) -> Path:
        """Return the table of which a hint tells: all files of CSV, or the one of Parquet."""
        return file if _kind(file) == ".parquet" else self.path


def _kind(file: Path) -> str:
    return file.suffix.lower()


def _open_csv(
    file: Path, types: Mapping[str, pa.DataType] | None = None, columns: Sequence[str] = ()
) -> pacsv.CSVStreamingReader:
    text = dict.fromkeys(_REQUIRED, pa.string())
    return pacsv.open_csv(
        file,
        read_options=pacsv.ReadOptions(block_size=_BLOCK_BYTES),
        convert_options=pacsv.ConvertOptions(
            column_types=text | dict(types or {}),
            include_columns=columns,
            null_values=_NULLS,
        ),
    )


def _seconds(time: pa.Array, file: Path, rows_before: int) -> npt.NDArray[np.int64]:
    """Return seconds since 1970 in UTC."""
    if not (pa.types.is_timestamp(time.type) or pa.types.is_date(time.type)):
        text = pc.cast(time, pa.string())
        try:  # fast, if all times are of one kind
            time = pc.cast(text, pa.timestamp("s"))
        except pa.ArrowInvalid:
            times, _ = parse_times(text.to_pandas().astype(object))
            time = pa.array(times.dt.tz_localize(None))
    else:
        text = time
    if time.null_count:
        row = int(time.is_null().to_numpy(zero_copy_only=False).argmax())
        given = text[row].as_py()
        raise DataError(
            f"{file}: time must be ISO 8601, got '{'' if given is None else given}' in "
            f"row {rows_before + row + 1}"
        )
    zone = getattr(time.type, "tz", None)
    seconds = pc.cast(time, pa.timestamp("s", zone), safe=False)
    return np.asarray(seconds.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)


def _may_be_numeric(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_decimal(kind)
        or types.is_null(kind)
    )
