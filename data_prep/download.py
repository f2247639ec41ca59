"""Downloads into a cache: whole files with the right checksum, or an error."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests

from data_prep.city import DataError
from data_prep.files import atomic_path

if TYPE_CHECKING:
    import pooch  # needed for downloads only, so it is imported there

RETRIES = 3
"""How often a failed transfer is repeated, unless the server refuses it."""

_TEMPORARY = (408, 425, 429)  # of the errors of a client, those that time mends


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
    from pooch.hashes import hash_matches

    path, checksum = Path(files.abspath, name), files.registry[name]
    if path.exists() and hash_matches(path, checksum):
        return path
    for retries_left in reversed(range(1 + RETRIES)):
        try:
            with atomic_path(path) as temporary:
                _transfer(files.get_url(name), temporary, bar)
                hash_matches(temporary, checksum, strict=True, source=name)
            break
        except (ValueError, requests.RequestException) as error:
            if not retries_left or _is_refused(error):
                message = f"{name} could not be downloaded: {error}"
                raise transfer_error(files.get_url(name), error, message) from error
            time.sleep(1 + RETRIES - retries_left)
    return path


def transfer_error(url: str, error: Exception, message: str) -> DataError:
    """Return the error of a failed transfer, which says so if the server was not reached.

    Parameters
    ----------
    url : str
    error : Exception
        What was raised.
    message : str
        What to say if the server was reached.
    """
    if not isinstance(error, requests.ConnectionError):
        return DataError(message)
    cause: BaseException = error
    while before := cause.__cause__ or cause.__context__:
        cause = before
    return DataError(
        f"{urlsplit(url).netloc} cannot be reached ({getattr(cause, 'strerror', None) or cause}). "
        "If you have the data, give their path in place of the name: PATH, or NAME:PATH"
    )


def _is_refused(error: Exception) -> bool:
    """Return whether the server would give the same answer again, such as 404 (not found)."""
    if not isinstance(error, requests.HTTPError) or error.response is None:
        return False
    status = error.response.status_code
    return 400 <= status < 500 and status not in _TEMPORARY


def _transfer(url: str, path: Path, bar: Any) -> None:
    import pooch

    pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 20)(url, path, None)
