"""The file of one SensEURCity device: its valid readings and its sites."""

import csv
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from pyarrow import csv as pa_csv

from data_prep.city import DataError

_WORDS = pa.dictionary(pa.int32(), pa.string())  # many rows have few different strings
_BLOCK_BYTES = 4 << 20
_MOST_HEADER_BYTES = 1 << 17
_ALIASES = {"ANT_TRA_KIPD": "ANT_URB_KIPD"}  # two names of one site; the site table has the second


@dataclass(frozen=True)
class Device:
    """The readings of one device at known sites, one entry for each minute and site.

    Attributes
    ----------
    name : str
        Name of its file without the suffix.
    sites : list of str
        Sites at which it stood.
    minute : array of int32, shape (n,)
        Minutes since 1970-01-01 00:00 UTC, increasing.
    site : array of int16, shape (n,)
        Index into `sites`.
    value : array of float32, shape (n,)
        Mean of the valid readings in that minute, NaN where there are none.
    fixes : DataFrame
        Median of its GPS fixes in degrees: index site, columns `latitude` and `longitude`. Empty
        unless requested.
    report : dict
        Number of rows, and how many of them were dropped for which reason.
    """

    name: str
    sites: list[str]
    minute: npt.NDArray[np.int32]
    site: npt.NDArray[np.int16]
    value: npt.NDArray[np.float32]
    fixes: pd.DataFrame
    report: dict[str, Any]


def canonical_site(location: str) -> str:
    """Return the name of a site from a `Location.ID`, which is spelled in various ways.

    Names are in capitals and without surrounding spaces, with `_` in place of `/` and `-`. If
    nothing remains, the name is empty. A site that has two names (Kipdorp in Antwerp) gets the one
    of the site table.

    Examples
    --------
    >>> from data_prep.senseurcity.device import canonical_site
    >>> canonical_site("osl-urb-sgt "), canonical_site("-")
    ('OSL_URB_SGT', '')
    """
    site = location.upper().replace("/", "_").replace("-", "_").strip("_ \t\r\n")
    return _ALIASES.get(site, site)


def read_header(source: BinaryIO, name: str) -> list[str]:
    """Return the column names of a device file.

    Raises
    ------
    DataError
        If the file is empty or lacks the column `date` or `Location.ID`.
    """
    with _naming(name):
        line = source.readline(_MOST_HEADER_BYTES).decode("utf-8-sig", errors="replace")
        header = next(csv.reader([line]), [])
    missing = [column for column in ("date", "Location.ID") if column not in header]
    if missing:
        raise DataError(f"{name} is empty or not a device file: its header lacks {missing}")
    return header


def read_device(
    source: BinaryIO,
    name: str,
    header: list[str],
    quantity: str,
    accepts: Callable[[str], bool],
    with_fixes: bool = False,
) -> Device:
    """Read the necessary columns of one device file, block by block.

    A reading is valid if it is a finite number and its flag is empty. It belongs to the site at
    which the device stood in that minute. Times are rounded down to minutes, and the readings of
    the same minute and site are averaged.

    Parameters
    ----------
    source : binary file
        The CSV file, from its beginning.
    name : str
        Name of the file, for messages.
    header : list of str
        Its column names, from `read_header`. They include `quantity`.
    quantity : str
        The column to read. Its flags are in the column ``<quantity>_flag``; without that column,
        no reading is flagged.
    accepts : callable
        Returns whether a name (from `canonical_site`) is a site of the city.
    with_fixes : bool
        Whether to keep the GPS fixes. Default False.

    Raises
    ------
    DataError
        If the file is truncated, damaged or has no rows. The message names the file.
    """
    flag = f"{quantity}_flag"
    types = {
        "date": pa.timestamp("ms", tz="UTC"),
        "Location.ID": _WORDS,
        quantity: pa.float64(),
        flag: _WORDS,
    }
    if with_fixes:
        types |= {"latitude": pa.float64(), "longitude": pa.float64()}
    missing = [column for column in types if column not in header]
    table = _read_columns(source, name, {c: types[c] for c in types if c not in missing})

    minute = table["date"].cast(pa.int64()).to_numpy() // 60_000
    place, locations = _encode(table["Location.ID"])
    names = [canonical_site(location) for location in locations]
    sites = sorted({site for site in names if site and accepts(site)})
    site = np.array([sites.index(s) if s in sites else -1 for s in names])[place]
    value = table[quantity].to_numpy()
    flags, tokens = (
        _encode(table[flag]) if flag not in missing else (np.zeros(len(value), np.int32), [""])
    )

    located = site >= 0
    present = np.abs(value) <= np.finfo(np.float32).max  # neither missing nor infinite
    flagged = np.array([bool(_split(token)) for token in tokens])[flags]
    valid = present & ~flagged & located
    value = np.where(valid, value, np.nan)
    minutes, places, means = _average(minute[located], site[located], value[located])

    fixes = pd.DataFrame(columns=["latitude", "longitude"], dtype=np.float64)
    if with_fixes and not {"latitude", "longitude"} & {*missing}:
        fixes = table.select(["latitude", "longitude"]).to_pandas()[located]
        fixes = fixes.groupby(np.array(sites)[site[located]]).median()

    report = {
        "rows": table.num_rows,
        "dropped": {
            "missing_value": int((~present).sum()),
            "flagged": int((present & flagged).sum()),
            "unknown_location": int((present & ~flagged & ~located).sum()),
            "duplicate_minute": int(valid.sum() - np.isfinite(means).sum()),
        },
        "flags": _count(flags[present & flagged], tokens, _split),
        "unknown_locations": _count(
            place[~located], locations, lambda name: [name.strip() or "(blank)"]
        ),
        "missing_columns": missing,
    }
    return Device(
        name=name.removesuffix(".csv"),
        sites=sites,
        minute=minutes.astype(np.int32),
        site=places.astype(np.int16),
        value=means.astype(np.float32),
        fixes=fixes,
        report=report,
    )


def _read_columns(source: BinaryIO, name: str, types: dict[str, pa.DataType]) -> pa.Table:
    with _naming(name):
        table = pa_csv.read_csv(
            source,
            read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
            convert_options=pa_csv.ConvertOptions(
                include_columns=[*types], column_types=types, strings_can_be_null=True
            ),
        )
    if not table.num_rows:
        raise DataError(f"{name} has a header but no rows")
    if table["date"].null_count:
        raise DataError(f"{name} is damaged: {table['date'].null_count} rows have no date")
    return table


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Turn errors about damaged bytes into a `DataError` that names the file."""
    try:
        yield
    except (pa.ArrowException, zipfile.BadZipFile, zlib.error, csv.Error, EOFError) as error:
        reason = str(error).partition("\n")[0][:120]
        raise DataError(f"{name} is truncated or damaged: {reason}") from error


def _average(
    minute: npt.NDArray[np.int64], site: npt.NDArray[np.int64], value: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Sort the rows by minute, and average those of the same minute and site without the NaN."""
    several = site.max(initial=0) + 1
    moment, row = np.unique(minute * several + site, return_inverse=True)
    readings = np.bincount(row, weights=np.isfinite(value))
    sums = np.bincount(row, weights=np.nan_to_num(value))
    with np.errstate(invalid="ignore"):
        return moment // several, moment % several, sums / readings  # 0 / 0 is NaN: no reading


def _encode(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return the codes of a column of words, and the words; the word of an empty cell is ``""``."""
    encoded = column.unify_dictionaries().combine_chunks()
    words = encoded.dictionary.to_pylist()
    return encoded.indices.fill_null(len(words)).to_numpy(), [*words, ""]


def _split(flag: str) -> list[str]:
    return [token for token in (token.strip() for token in flag.split(",")) if token]


def _count(
    codes: npt.NDArray[np.int32], words: list[str], split: Callable[[str], list[str]]
) -> dict[str, int]:
    """Count the rows in which each part of a word occurs."""
    counts: Counter[str] = Counter()
    for word, count in zip(words, np.bincount(codes, minlength=len(words)).tolist(), strict=True):
        if count:
            counts.update(dict.fromkeys(split(word), count))
    return dict(counts.most_common())
