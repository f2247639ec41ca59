"""The data sources by name, the formats of files, and `load_city`, which reads either."""

import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from data_prep.city import CityData, DataError
from data_prep.grid import checked_grid
from data_prep.senseurcity import read_archive, read_hourly
from data_prep.senseurcity.download import DOI
from data_prep.sources import IMPORTERS
from data_prep.synthetic import synthetic_city
from data_prep.tidy import read_tidy, readings_in

_SENSEURCITY = f"CC BY 4.0, Van Poppel et al. (2023), SensEURCity, doi:{DOI}"

_QUICK_BYTES = 30_000_000


@dataclass(frozen=True)
class Source:
    """A data source that has a name.

    Attributes
    ----------
    help : str
        What it is, in one line.
    licence : str
        Its licence and whom to credit.
    read : callable
        Returns the city. Its keyword arguments are the options of `load_city`.
    """

    help: str
    licence: str
    read: Callable[..., CityData]


SOURCES = {
    "synthetic": Source(
        help="synthetic data modelled on Antwerp, one reading a minute",
        licence="Apache-2.0, part of this package",
        read=synthetic_city,
    ),
    "senseurcity": Source(
        help="one-minute readings of the SensEURCity archive, downloaded from Zenodo",
        licence=_SENSEURCITY,
        read=read_archive,
    ),
    "senseurcity-hourly": Source(
        help="hourly means of the SensEURCity readings in Antwerp, downloaded from GitHub (4 MB)",
        licence=f"{_SENSEURCITY}; hourly means by INERIS, github.com/LaurentSpi/SensEURCity_Ineris",
        read=read_hourly,
    ),
}
"""The data sources that `load_city` knows by name."""


@dataclass(frozen=True)
class Format:
    """A format of files that `load_city` recognizes.

    Attributes
    ----------
    help : str
        What it is, in a few words.
    matches : callable
        Whether the file or folder at a path, which exists, has this format.
    read : callable
        Reads it. Its keyword arguments are the options of `load_city`.
    quick : callable
        Whether reading a path takes a second at most. Default: never.
    """

    help: str
    matches: Callable[[Path], bool]
    read: Callable[..., CityData]
    quick: Callable[[Path], bool] = lambda path: False


def _load_prepared(path: Path, grid: tuple[int, int] | None = None) -> CityData:
    city = CityData.load(path)
    if grid not in (None, city.grid):
        raise DataError(f"the city in {path} was prepared for the grid {city.grid}, not {grid}")
    return city


def _is_small_tidy_city(path: Path) -> bool:
    table = readings_in(path)
    return not table.exists() or (table.is_file() and table.stat().st_size < _QUICK_BYTES)


def _is_senseurcity(path: Path) -> bool:
    if path.is_file():
        return path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)
    below = ("dataset/*.csv", "*/dataset/*.csv")
    devices = (f"{city}_*.csv" for city in ("Antwerp", "Oslo", "Zagreb"))
    return any(any(path.glob(pattern)) for pattern in (*below, *devices))


FORMATS = (
    Format(
        "a prepared city (city.json)",
        lambda path: (path / "city.json").exists(),
        _load_prepared,
        quick=lambda path: True,
    ),
    Format(
        "a tidy city (stations.csv and readings.parquet, readings.csv or a folder readings)",
        lambda path: (path / "stations.csv").exists(),
        read_tidy,
        quick=_is_small_tidy_city,
    ),
    Format(
        "the hourly means of SensEURCity (.Rda)",
        lambda path: path.suffix.lower() == ".rda",
        read_hourly,
    ),
    Format("a SensEURCity zip or folder", _is_senseurcity, read_archive),
)
"""The formats of files. The first that matches is the format of a path."""


def load_city(data: str | Path, *, grid: tuple[int, int] | None = None, **options: Any) -> CityData:
    """Load a city from a data source or from files.

    Parameters
    ----------
    data : str or Path
        One of:

        - The name of a data source: ``"synthetic"``, ``"senseurcity"`` or
          ``"senseurcity-hourly"``; the last two are downloaded once and then read from the cache.
        - The path of a prepared city (`CityData.save`), of a tidy city (`read_tidy`), of a
          SensEURCity zip or folder (`read_archive`), of its hourly means (`read_hourly`), or of a
          CSV table with coordinates in every row.
        - ``"NAME:PATH"``, such as ``"openaq:records"``: the files of a source. NAME is airnow, aqs,
          csv, eea, openaq, purpleair or sensor-community. PATH is a file, a zip archive, or a
          folder with files, archives and subfolders; files may be compressed with gzip.
    grid : (int, int), optional
        Height and width of the grid in cells. Default: ``(32, 32)``; for a prepared city, its own.
    **options
        Further keyword arguments of the function that reads the data: ``seed`` and ``days`` of
        `synthetic_city`; ``city``, ``quantity``, ``start``, ``end`` and ``progress`` of
        `read_archive`; ``progress`` of `read_hourly`; ``name``, ``progress``, ``every``, ``least``
        and ``valid`` of `read_tidy`.
        ``"NAME:PATH"`` takes the same options as `read_tidy`, ``bounds`` (west, south, east and
        north in degrees: other stations are left out), and those of its source:

        - sensor-community: ``every`` is ``"1h"`` by default, and ``"none"`` keeps all readings.
        - csv: ``stations`` (a table with the positions; default: ``stations.csv`` beside the
          readings), ``columns`` (such as ``{"value": "Feinstaub"}``, where names are not
          recognized), ``time_zone`` (of times without an offset, which are otherwise kept as they
          are), ``time_format`` (default ISO 8601), ``decimal`` and ``thousands`` (marks in
          numbers), ``text="missing"`` (for cells such as ``<2``) and ``encoding``.
        - eea: ``metadata`` (the table of sampling points) and ``time_zone``, both needed.
        - purpleair: ``sensors`` (the table of sensors), needed, and ``correction="epa"``.
        - airnow: ``sites`` (default: ``monitoring_site_locations.dat``, or the newer
          ``Monitoring_Site_Locations_V2.dat``, in the folder of the files or the next one above).

    Returns
    -------
    CityData

    Raises
    ------
    DataError
        If `data` is neither a name nor the path of such data, the data cannot be read, or a
        prepared city has another grid.
    TypeError
        If the data has no such option.

    Examples
    --------
    >>> from data_prep import load_city
    >>> city = load_city("synthetic", days=1, grid=(16, 16))
    >>> city.grid, len(city.stations)
    ((16, 16), 31)
    >>> load_city("synthetic", hours=1)
    Traceback (most recent call last):
    TypeError: the options of 'synthetic' are seed, days, got hours
    """
    read = _reader_of(data)
    allowed = options_of(data)
    if unknown := [name for name in options if name not in allowed]:
        raise TypeError(
            f"the options of {str(data)!r} are {', '.join(allowed) or 'none'}, "
            f"got {', '.join(unknown)}"
        )
    return read(**options | ({} if grid is None else {"grid": checked_grid(grid)}))


def options_of(data: str | Path) -> list[str]:
    """Return the names of the options that `load_city` takes for `data`, besides the grid.

    Raises
    ------
    DataError
        If `data` is neither a name nor the path of data.
    """
    read = _reader_of(data)
    parameters = signature(read).parameters.values()
    names = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD]
    source, _ = split_source(data)
    own = IMPORTERS[source].options if source in IMPORTERS else ()
    return [name for name in (*names, *own) if name not in ("path", "grid")]


def split_source(data: str | Path) -> tuple[str | None, Path | None]:
    """Return the name of a source and the path, of which one may be None.

    Examples
    --------
    >>> from data_prep.load import split_source
    >>> split_source("openaq:records")
    ('openaq', PosixPath('records'))
    >>> split_source("synthetic"), split_source("my-city")
    (('synthetic', None), (None, PosixPath('my-city')))
    >>> split_source("readings.csv")
    ('csv', PosixPath('readings.csv'))
    """
    if isinstance(data, str):
        name, colon, rest = data.partition(":")
        if colon and rest and name in {*SOURCES, *IMPORTERS}:
            return name, Path(rest)
        if data in SOURCES:
            return data, None
    path = Path(data)
    return "csv" if path.name.lower().endswith((".csv", ".csv.gz")) else None, path


def _reader_of(data: str | Path) -> Callable[..., CityData]:
    name, path = split_source(data)
    if name is not None and path is not None:
        source = IMPORTERS.get(name) or SOURCES[name]
        if "path" not in signature(source.read).parameters:
            raise DataError(f"{name} is not read from files, got {str(data)!r}")
        return partial(source.read, path)
    if name is not None:
        return SOURCES[name].read
    assert path is not None
    if data == "" or not path.exists():  # an empty path would be the current folder
        names = ", ".join(map(repr, SOURCES))
        with_path = ", ".join(f"{name}:PATH" for name in IMPORTERS)
        raise DataError(
            f"{str(data)!r} does not exist; expected {names}, {with_path} or the path of a file or "
            "folder"
        )
    for format_ in FORMATS:
        if format_.matches(path):
            return partial(format_.read, path)
    expected = ", ".join(format_.help for format_ in FORMATS)
    names = ", ".join(IMPORTERS)
    raise DataError(
        f"{path} has no known format; expected one of: {expected}; or NAME:PATH with one of the "
        f"names {names}"
    )


def is_quickly_read(data: str | Path) -> bool:
    """Return whether `data` is the path of a city that takes no time to load again."""
    path = Path(data)
    return any(format_.matches(path) and format_.quick(path) for format_ in FORMATS)
