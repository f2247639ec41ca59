"""Tables of text: the columns of CSV files, and what their cells say."""

import csv
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, timedelta, timezone, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.arguments import require_texts
from data_prep.city import DataError
from data_prep.sources.files import File
from data_prep.text import encoding_hint, number_hint
from data_prep.times import parse_times

ROWS = 200_000
"""The largest number of rows that are read at once."""

MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "-")
"""Cells without a number."""


def read_csv(
    file: File,
    columns: Sequence[str] | None,
    *,
    optional: Sequence[str] = (),
    delimiter: str = ",",
    encoding: str = "utf-8",
    names: Sequence[str] | None = None,
    quoting: bool = True,
) -> Iterator[pd.DataFrame]:
    """Read columns of a CSV file as text, some rows at a time.

    Parameters
    ----------
    file : File
    columns : sequence of str, optional
        The columns that are needed. Default: all.
    optional : sequence of str
        Columns that are read if they exist. Default: none.
    delimiter : str
        Default: a comma.
    encoding : str
        Default: UTF-8, with or without a byte order mark.
    names : sequence of str, optional
        The names of the columns, if the file has no header.
    quoting : bool
        Whether cells may be quoted. Default True.

    Yields
    ------
    DataFrame
        At most `ROWS` rows. The index counts the rows of the file from 0. Empty cells are ``""``.

    Raises
    ------
    DataError
        If the file is not such a table, or lacks a column.
    """
    try:
        with file.open() as stream:
            reader = pd.read_csv(
                stream,
                sep=delimiter,
                encoding="utf-8-sig" if encoding == "utf-8" else encoding,
                header=0 if names is None else None,
                names=None if names is None else [*names],
                dtype=str,
                na_filter=False,
                index_col=False,
                quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE,
                chunksize=ROWS,
            )
            with reader:
                while (table := _next(reader)) is not None:
                    missing = [name for name in columns or () if name not in table]
                    if missing:
                        raise DataError(f"{file} must have the columns {missing}, got {[*table]}")
                    wanted = [*table] if columns is None else [*columns, *optional]
                    yield table[[name for name in wanted if name in table]]
    except UnicodeDecodeError as error:
        raise DataError(f"{file} cannot be read: {encoding_hint(error.object)}") from error
    except UnicodeError as error:
        raise DataError(f"{file} cannot be read as {encoding}: {error}") from error
    except DataError as error:
        if str(file) in str(error):
            raise
        raise DataError(f"{file} cannot be read: {error}") from error
    except (ValueError, csv.Error, LookupError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error


def _next(reader: "pd.io.parsers.TextFileReader") -> pd.DataFrame | None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            table = next(reader, None)
        except pd.errors.ParserWarning as error:
            raise DataError("a row has more cells than the header") from error
    if table is not None:
        names = [str(name).strip() for name in table.columns]
        if len({*names}) < len(names):
            raise DataError(f"the columns must have different names, got {names}")
        table.columns = names
    return table


def numbers(
    cells: "pd.Series[str]",
    file: File,
    *,
    decimal: str = ".",
    thousands: str | None = None,
    text: Literal["error", "missing"] = "error",
) -> npt.NDArray[np.float64]:
    """Convert cells to numbers.

    Parameters
    ----------
    cells : Series of str
        Its name is that of the column.
    file : File
        For the message of an error.
    decimal : str
        The decimal mark. Default: a point.
    thousands : str, optional
        The mark between thousands. Default: none.
    text : "error" or "missing"
        What is done with a cell that is not a number, such as ``<2``. Default: an error.

    Returns
    -------
    array of float64
        NaN where a cell is one of `MISSING`.

    Raises
    ------
    DataError
        If a cell is not a number.
    """
    plain = stripped = cells.str.strip()
    if thousands:
        plain = plain.str.replace(thousands, "", regex=False)
    if decimal != ".":
        plain = plain.str.replace(decimal, ".", regex=False)
    values = pd.to_numeric(plain, errors="coerce").to_numpy(np.float64, na_value=np.nan)
    if text == "error":
        wrong = np.isnan(values) & ~plain.isin(MISSING)
        _refuse(wrong, stripped, file, "a number", number_hint)
    return values


def require_marks(
    cells: "pd.Series[str]",
    values: npt.NDArray[np.float64],
    file: File,
    decimal: str,
    thousands: str | None,
) -> None:
    """Raise `DataError` for a number whose marks mean something else than those that were given.

    Parameters
    ----------
    cells, file, decimal, thousands
        As for `numbers`.
    values : array of float64
        What `numbers` has returned.
    """
    groups = rf"|[1-9]\d{{0,2}}({re.escape(thousands)}\d{{3}})+" if thousands else ""
    notation = rf"[+-]?(\d+{groups}|)({re.escape(decimal)}\d*)?([eE][+-]?\d+)?"
    plain = cells.str.strip()
    between = f" and {thousands!r} between groups of three digits" if thousands else ""
    expected = f"a number with {decimal!r} as the decimal mark{between}"
    wrong = ~plain.str.fullmatch(notation) & np.isfinite(values)
    _refuse(wrong, plain, file, expected)


def seconds(
    cells: "pd.Series[str]",
    file: File,
    *,
    format: str = "ISO8601",
    zone: tzinfo | None = None,
    hint: str = "",
) -> npt.NDArray[np.int64]:
    """Convert times to seconds since 1970 in UTC.

    Parameters
    ----------
    cells : Series of str
        Its name is that of the column.
    file : File
        For the message of an error.
    format : str
        As for `pandas.to_datetime`. Default: ISO 8601.
    zone : tzinfo, optional
        The time zone of times without an offset. Default: an offset is needed.
    hint : str
        The end of the message about a cell of another format. Default: none.

    Raises
    ------
    DataError
        If `format` has no year, or a cell is not a time, has no offset although one is needed, or
        does not exist or exists twice in `zone`, where clocks change.
    """
    plain = cells.str.strip()
    if format == "ISO8601":
        times, located = parse_times(plain)
    elif not re.search("%[YyGcx]", format):
        raise DataError(
            f"the format of times must have a year, such as %d.%m.%Y %H:%M, got {format!r}"
        )
    else:
        located = pd.Series("%z" in format.lower(), plain.index)
        try:
            times = pd.to_datetime(plain, format=format, errors="coerce", utc=True)
        except ValueError as error:
            raise DataError(f"{format!r} is not a format of times: {error}") from error
    if zone is None:
        _refuse(~located, cells, file, "a time with an offset from UTC")
    _refuse(times.isna(), cells, file, f"a time of the format {format}", lambda given: hint)
    if zone not in (None, UTC):
        local = times.dt.tz_localize(None).dt.tz_localize(zone, nonexistent="NaT", ambiguous="NaT")
        times = times.where(located, local.dt.tz_convert(UTC))
        _refuse(times.isna(), cells, file, f"a time that exists once in {zone}")
    return times.dt.tz_localize(None).to_numpy("datetime64[s]").astype(np.int64)


def parse_zone(text: str) -> tzinfo:
    """Return a time zone.

    Parameters
    ----------
    text : str
        ``"UTC"``, an offset such as ``"UTC+1"`` or ``"UTC-03:30"``, or a name of the IANA data
        base, such as ``"Europe/Brussels"``.

    Raises
    ------
    DataError
        If there is no such time zone.

    Examples
    --------
    >>> from data_prep.sources.table import parse_zone
    >>> parse_zone("UTC+1")
    datetime.timezone(datetime.timedelta(seconds=3600))
    """
    require_texts(time_zone=text)
    if text == "UTC":
        return UTC
    if offset := re.fullmatch(r"UTC([+-])(\d{1,2})(?::(\d\d))?", text):
        sign, hours, minutes = offset.groups()
        shift = timedelta(hours=int(hours), minutes=int(minutes or 0))
        if int(minutes or 0) < 60 and shift < timedelta(days=1):
            return timezone(-shift if sign == "-" else shift)
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise DataError(
            f"the time zone must be UTC, an offset such as UTC+1, or a name such as "
            f"Europe/Brussels, got {text!r}"
        ) from error


def _refuse(
    wrong: "pd.Series[bool]",
    cells: "pd.Series[str]",
    file: File,
    expected: str,
    hint: Callable[[str], str] = lambda given: "",
) -> None:
    """Raise `DataError` for the first cell that is wrong."""
    flags = wrong.to_numpy(bool)
    if flags.any():
        row = int(flags.argmax())
        given = str(cells.iloc[row])
        raise DataError(
            f"{file}: {cells.name} must be {expected}, got {given!r} in row "
            f"{int(cells.index[row]) + 1}{hint(given)}"
        )
