"""What is downloaded: the SensEURCity archive from Zenodo, and the hourly means made from it."""

from pathlib import Path

import pooch
import requests
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from data_prep.city import DataError
from data_prep.files import atomic_path

DOI = "10.5281/zenodo.7669644"
RECORD_URL = "https://zenodo.org/api/records/7669644"
FILE = "senseurcity_data_v02.zip"
HOURLY_URL = (
    "https://raw.githubusercontent.com/LaurentSpi/SensEURCity_Ineris/"
    "235bb3391171bb23b1cc590fbe17a4a050a6caaa/INPUTS/LCS_df_all.Rda"
)
HOURLY_FILE = "LCS_df_all.Rda"
HOURLY_SHA256 = "994873daf39ff87385f2c0d9cf67e15845e34aec284276e1970288dce1919384"
RETRIES = 3


def download(
    cache: Path | None = None, *, record_url: str = RECORD_URL, progress: bool = True
) -> Path:
    """Download the SensEURCity archive, unless it is already there and right.

    The checksum is the one that the Zenodo record states. It is kept beside the archive, so that
    an archive that is there needs no network. A broken transfer starts again, up to 3 times; a
    file appears only once its checksum is right.

    Parameters
    ----------
    cache : Path, optional
        The folder to keep it in. Default: the environment variable ``TRITONBN_DATA``, else the
        cache folder of the operating system.
    record_url : str
        Where the record is described. Default: Zenodo.
    progress : bool
        Whether to show a progress bar on stderr. Default True.

    Returns
    -------
    Path
        The zip.

    Raises
    ------
    DataError
        If the record or the file cannot be had, or its checksum is wrong.
    """
    files = _cache(cache)
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
    """Download the hourly means of Antwerp (4 MB), unless they are already there and right.

    They are a file of the repository LaurentSpi/SensEURCity_Ineris at a fixed commit, with a fixed
    checksum. A broken transfer starts again, up to 3 times; a file appears only once its checksum
    is right.

    Parameters
    ----------
    cache : Path, optional
        The folder to keep it in. Default: the environment variable ``TRITONBN_DATA``, else the
        cache folder of the operating system.
    progress : bool
        Whether to show a progress bar on stderr. Default True.
    url : str
        Where the file is. Default: GitHub.

    Returns
    -------
    Path
        The file, for `read_hourly`.

    Raises
    ------
    DataError
        If the file cannot be had, or its checksum is wrong.
    """
    files = _cache(cache)
    files.registry[HOURLY_FILE], files.urls[HOURLY_FILE] = f"sha256:{HOURLY_SHA256}", url
    return _fetch(files, HOURLY_FILE, progress)


def _cache(folder: Path | None) -> pooch.Pooch:
    """Return the folder in which downloads are kept; it knows of no file yet."""
    pooch.get_logger().setLevel("WARNING")
    return pooch.create(
        path=folder or pooch.os_cache("tritonbn"),
        base_url="",  # every file has an address of its own
        env=None if folder else "TRITONBN_DATA",
        retry_if_failed=RETRIES,
    )


def _fetch(files: pooch.Pooch, name: str, progress: bool) -> Path:
    """Return the path of a file, downloaded if it is not there or wrong."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not progress,
    ) as bar:
        downloader = pooch.HTTPDownloader(progressbar=_Bar(bar, name), chunk_size=1 << 20)
        try:
            return Path(files.fetch(name, downloader=downloader))
        except (ValueError, requests.RequestException) as error:
            raise DataError(f"{name} could not be downloaded: {error}") from error


def _look_up(record_url: str) -> tuple[str, str]:
    """Return the checksum and the address that the record states for the archive."""
    try:
        response = requests.get(record_url, timeout=30)
        response.raise_for_status()
        files = {file["key"]: file for file in response.json()["files"]}
        return files[FILE]["checksum"], files[FILE]["links"]["self"]
    except (requests.RequestException, KeyError, TypeError) as error:
        raise DataError(f"{record_url} does not describe {FILE}: {error!r}") from error


class _Bar:
    """One line of a rich progress bar, as pooch wants it: the few methods of tqdm it calls."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self._task = progress.add_task(name, total=None)

    @property
    def total(self) -> float | None:
        """Bytes expected. Pooch sets it at the start of every attempt."""
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
