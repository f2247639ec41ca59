"""Downloads into a cache: whole files with the right checksum, or an error."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from data_prep.city import DataError

if TYPE_CHECKING:
    import pooch  # needed for downloads only, so it is imported there

RETRIES = 3
"""How often a failed transfer is repeated."""


def cache_folder() -> Path:
    """Return the folder in which downloads are kept where no other is named.

    Returns
    -------
    Path
        The environment variable ``TRITONBN_DATA``, else the cache folder of the operating system.
    """
    return Path(open_cache(None).abspath)


def open_cache(folder: Path | None) -> "pooch.Pooch":
    """Return the cache for a folder, without any files registered.

    Parameters
    ----------
    folder : Path, optional
        Default: `cache_folder`.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    return pooch.create(
        path=folder or pooch.os_cache("tritonbn"),
        base_url="",  # each file has its own address
        env=None if folder else "TRITONBN_DATA",
        retry_if_failed=RETRIES,
    )


def fetch(files: "pooch.Pooch", name: str, bar: Any = False) -> Path:
    """Return the path of a file, which is downloaded if it is missing or has another checksum.

    Parameters
    ----------
    files : Pooch
        A cache with the checksum and the address of the file.
    name : str
    bar : object, optional
        A progress bar with the methods of tqdm. Default: none.

    Raises
    ------
    DataError
        If the file cannot be downloaded.
    """
    import pooch

    downloader = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 20)
    try:
        return Path(files.fetch(name, downloader=downloader))
    except (ValueError, requests.RequestException) as error:
        raise DataError(f"{name} could not be downloaded: {error}") from error
