"""Download of the SensEURCity archive from Zenodo and of its hourly means from GitHub."""

from pathlib import Path
from typing import TYPE_CHECKING

import requests
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from data_prep.download import fetch, open_cache, transfer_error
from data_prep.files import atomic_path
from data_prep.progress import progress_bar

if TYPE_CHECKING:
    import pooch

_RECORD = 7669644
DOI = f"10.5281/zenodo.{_RECORD}"
RECORD_URL = f"https://zenodo.org/api/records/{_RECORD}"
FILE = "senseurcity_data_v02.zip"
HOURLY_URL = (
    "https://raw.githubusercontent.com/LaurentSpi/SensEURCity_Ineris/"
    "235bb3391171bb23b1cc590fbe17a4a050a6caaa/INPUTS/LCS_df_all.Rda"
)
HOURLY_FILE = "LCS_df_all.Rda"
HOURLY_SHA256 = "994873daf39ff87385f2c0d9cf67e15845e34aec284276e1970288dce1919384"


def download(
    cache: Path | None = None, *, progress: bool = True, record_url: str = RECORD_URL
) -> Path:
    """Download the SensEURCity archive, unless it is in the cache with the correct checksum.

    The checksum is that of the Zenodo record. It is kept in the cache, so that a cached archive
    needs no network. A failed transfer is repeated up to 3 times. The file appears only after its
    checksum was verified.

    Parameters
    ----------
    cache : Path, optional
        Folder of the cache. Default: the environment variable ``TRITONBN_DATA``, otherwise the
        cache folder of the operating system.
    progress : bool
        Whether to show a progress bar on stderr. Default True.
    record_url : str
        Address of the record. Default: Zenodo.

    Returns
    -------
    Path
        The zip file.

    Raises
    ------
    DataError
        If the record or the file cannot be downloaded, or its checksum is wrong.
    """
    files = open_cache(cache)
    registry = files.abspath / "senseurcity_registry.txt"
    known = registry.is_file() and (files.abspath / FILE).is_file()
    if known:
        files.load_registry(registry)
    else:
        files.registry[FILE], files.urls[FILE] = _look_up(record_url)
    path = _fetch(files, FILE, progress)
    if not known:
        with atomic_path(registry) as temporary:
            line = f"{FILE} {files.registry[FILE]} {files.urls[FILE]}\n"
            temporary.write_text(line, encoding="utf-8")
    return path


def download_hourly(
    cache: Path | None = None, *, progress: bool = True, url: str = HOURLY_URL
) -> Path:
    """Download the hourly means of Antwerp (4 MB), unless the cache has them.

    The file is taken from a fixed commit of the repository LaurentSpi/SensEURCity_Ineris and has a
    known checksum. A failed transfer is repeated up to 3 times. The file appears only after its
    checksum was verified.

    Parameters
    ----------
    cache : Path, optional
        Folder of the cache. Default: the environment variable ``TRITONBN_DATA``, otherwise the
        cache folder of the operating system.
    progress : bool
        Whether to show a progress bar on stderr. Default True.
    url : str
        Address of the file. Default: GitHub.

    Returns
    -------
    Path
        The file, for `read_hourly`.

    Raises
    ------
    DataError
        If the file cannot be downloaded, or its checksum is wrong.
    """
    files = open_cache(cache)
    files.registry[HOURLY_FILE], files.urls[HOURLY_FILE] = f"sha256:{HOURLY_SHA256}", url
    return _fetch(files, HOURLY_FILE, progress)


def _fetch(files: "pooch.Pooch", name: str, progress: bool) -> Path:
    """Return the path of a file, which is downloaded if it is missing or has another checksum."""
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with progress_bar(progress, *columns) as bar:
        return fetch(files, name, _Bar(bar, name))


def _look_up(record_url: str) -> tuple[str, str]:
    """Return the checksum and the address of the archive from its record."""
    try:
        response = requests.get(record_url, timeout=30)
        response.raise_for_status()
        files = {file["key"]: file for file in response.json()["files"]}
        return files[FILE]["checksum"], files[FILE]["links"]["self"]
    except (requests.RequestException, KeyError, TypeError) as error:
        message = f"{record_url} does not describe {FILE}: {error!r}"
        raise transfer_error(record_url, error, message) from error


class _Bar:
    """A rich progress bar with the few methods of tqdm that pooch calls."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=None)

    @property
    def total(self) -> float | None:
        """Size of the file in bytes. Pooch sets it at the start of every attempt."""
        return self._progress.tasks[self._task].total

    @total.setter
    def total(self, size: int) -> None:
        self._progress.reset(self._task, total=size)

    def update(self, size: int) -> None:
        self._progress.advance(self._task, size)

    def reset(self) -> None:
        self._progress.reset(self._task)

    def close(self) -> None:
        """Nothing to do: the progress bar closes itself."""
