"""Download of the archive of OpenAQ from its public bucket."""

import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote
from xml.etree import ElementTree

import pandas as pd
import requests
from requests.adapters import HTTPAdapter, Retry

from data_prep.city import DataError
from data_prep.download import RETRIES, cache_folder, fetch, open_cache, transfer_error
from data_prep.progress import progress_bar
from data_prep.sources.files import File
from data_prep.sources.gather import Gatherer
from data_prep.sources.table import numbers, read_csv

BUCKET = "https://openaq-data-archive.s3.amazonaws.com"

WORKERS = 8
"""How many files are transferred at once; they are so small that most of the time is waiting."""

_ROOT = "records/csv.gz/"
_NAME = r"month=\d\d/(?:location|loc)-\d+-(\d{8})\.csv\.gz"
_RETRY = Retry(RETRIES, backoff_factor=1, status_forcelist=(500, 502, 503, 504))
_MD5 = re.compile(r'"([0-9a-f]{32})"')


@dataclass(frozen=True)
class _Object:
    """A file of the bucket: its path below the root, its day as YYYYMMDD, and its MD5 if known."""

    path: str
    day: str
    md5: str | None


def download_openaq(
    locations: int | str | Iterable[int | str],
    start: str | date,
    end: str | date,
    directory: str | Path | None = None,
    *,
    bounds: tuple[float, float, float, float] | None = None,
    progress: bool = True,
    url: str = BUCKET,
) -> Path:
    """Download the files of locations and days from the archive of OpenAQ.

    Files that are there with the right checksum are not downloaded again, so an interrupted
    download continues. A failed transfer is repeated up to 3 times. A file appears only when it is
    complete.

    Parameters
    ----------
    locations : int, str, or iterable of them
        Numbers of locations, as explore.openaq.org shows them in its addresses.
    start, end : str or date
        First and last day, such as ``"2022-05-02"``, in the local time of the locations.
    directory : str or Path, optional
        Where to put the files. All of its files are read later. Default: a folder of its own for
        each request, in the cache (the environment variable ``TRITONBN_DATA``, otherwise the cache
        folder of the operating system).
    bounds : (float, float, float, float), optional
        West, south, east and north in degrees. Of locations whose first file has no position
        inside, nothing else is downloaded. Default: all locations.
    progress : bool
        Whether to show a progress bar on stderr. Default True.
    url : str
        Address of the bucket. Default: that of OpenAQ.

    Returns
    -------
    Path
        The folder, for ``load_city(f"openaq:{folder}")``.

    Raises
    ------
    DataError
        If a parameter is not as described, a location has no files in that time, no location is
        inside the bounds, or a file cannot be downloaded.

    Examples
    --------
    >>> from data_prep import download_openaq, load_city
    >>> folder = download_openaq([2178, 2179], "2022-05-02", "2022-05-31")  # doctest: +SKIP
    >>> city = load_city(f"openaq:{folder}")  # doctest: +SKIP
    """
    ids = _check_locations(locations)
    days = _check_days(start, end)
    Gatherer(bounds)  # checks them
    folder = Path(directory) if directory else _default_folder(ids, days, bounds)
    with requests.Session() as session, progress_bar(progress) as bar:
        session.mount(url, HTTPAdapter(max_retries=_RETRY))
        wanted = []
        for location in bar.track(ids, description="finding files"):
            found = [*_find(session, url, location, days)]
            if not found:
                raise DataError(
                    f"the archive of OpenAQ has no files of location {location} from "
                    f"{days[0]} to {days[1]}"
                )
            if bounds is None or _is_inside(found[0], bounds, url):
                wanted += found
        if not wanted:
            raise DataError(f"none of the locations is inside the bounds {bounds}")
        task = bar.add_task("downloading files", total=len(wanted))
        for _ in _download(wanted, folder, url):
            bar.advance(task)
    return folder


def _check_locations(locations: int | str | Iterable[int | str]) -> list[str]:
    if not isinstance(locations, Iterable) or isinstance(locations, str):
        locations = [locations]
    given = [str(location) for location in locations]
    if not given or not all(re.fullmatch(r"[0-9]+", location) for location in given):
        raise DataError(f"locations must be numbers of locations of OpenAQ, got {given}")
    return [*dict.fromkeys(given)]


def _check_days(start: str | date, end: str | date) -> tuple[date, date]:
    try:
        days = date.fromisoformat(str(start)), date.fromisoformat(str(end))
    except ValueError as error:
        raise DataError(
            f"start and end must be days such as 2022-05-02, got {start} and {end}"
        ) from error
    if days[0] > days[1]:
        raise DataError(f"start must not be after end, got {start} and {end}")
    return days


def _default_folder(
    locations: list[str], days: tuple[date, date], bounds: tuple[float, ...] | None
) -> Path:
    """Return a folder of the cache that no other request has."""
    digest = sha256(repr((sorted(locations), bounds)).encode()).hexdigest()[:8]
    return cache_folder() / "openaq" / f"{days[0]}_{days[1]}_{digest}"


def _find(
    session: requests.Session, url: str, location: str, days: tuple[date, date]
) -> Iterator[_Object]:
    """Yield the files of a location and a period, sorted by day."""
    first, last = (f"{day:%Y%m%d}" for day in days)
    for year in range(days[0].year, days[1].year + 1):
        for object_ in _list(session, url, f"locationid={location}/year={year}/"):
            if first <= object_.day <= last:
                yield object_


def _list(session: requests.Session, url: str, prefix: str) -> Iterator[_Object]:
    """Yield the files below a prefix in the order of their names.

    Other keys, above all those that would leave the folder, are left out.
    """
    query = {"list-type": "2", "prefix": _ROOT + prefix}
    while True:
        page = _get_xml(session, url, query)
        for entry in page.iterfind("{*}Contents"):
            path = entry.findtext("{*}Key", "").removeprefix(_ROOT)
            if match := re.fullmatch(prefix + _NAME, path):
                md5 = _MD5.fullmatch(entry.findtext("{*}ETag", ""))
                yield _Object(path, match[1], md5[1] if md5 else None)
        token = page.findtext("{*}NextContinuationToken")
        if not token:
            return
        query["continuation-token"] = token


def _get_xml(session: requests.Session, url: str, query: dict[str, str]) -> ElementTree.Element:
    """Return a page of the list of files."""
    try:
        response = session.get(f"{url}/", params=query, timeout=30)
        response.raise_for_status()
        text = response.content.decode("utf-8")
        if "<!DOCTYPE" in text:  # may declare entities that expand without end
            raise ValueError("the list has a document type declaration")
        return ElementTree.fromstring(text)
    except (requests.RequestException, ValueError, ElementTree.ParseError) as error:
        message = f"{url} does not list {query['prefix']}: {error}"
        raise transfer_error(url, error, message) from error


def _is_inside(first: _Object, bounds: tuple[float, float, float, float], url: str) -> bool:
    """Return whether the positions in a file are inside the bounds."""
    gatherer = Gatherer(bounds)
    with TemporaryDirectory() as folder:
        (path,) = _download([first], Path(folder), url)
        file = File(path)
        for table in read_csv(file, ("lat", "lon")):
            places = {
                "latitude": numbers(table["lat"], file),
                "longitude": numbers(table["lon"], file),
            }
            gatherer.add(pd.DataFrame(places).assign(station="any", time=0, value=0.0))
    return not gatherer.finish()[0].empty


def _download(objects: list[_Object], folder: Path, url: str) -> Iterator[Path]:
    """Yield the paths of files in a folder, where they are downloaded if need be."""
    files = open_cache(folder)
    for object_ in objects:
        files.registry[object_.path] = object_.md5 and f"md5:{object_.md5}"
        files.urls[object_.path] = f"{url}/{quote(_ROOT + object_.path)}"
        Path(folder, object_.path).parent.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(WORKERS) as pool:
        yield from pool.map(lambda object_: fetch(files, object_.path), objects)
