"""Atomic writing: a file is written completely or not at all, and a folder by one process."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

try:
    import fcntl
except ImportError:  # on Windows, where a file in use cannot be removed
    fcntl = None  # type: ignore[assignment]

_MARK = ".partial"
_LOCK = ".lock"


class FolderInUseError(OSError):
    """Another process writes to the folder."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path, which replaces `path` if the block ends without an error.

    Parameters
    ----------
    path : Path
        The file to write. Its folder is created if necessary.

    Yields
    ------
    Path
        Where to write, in the folder of `path` and with its suffix. After an error this file is
        removed and `path` is unchanged. If the process is killed, it is removed when `path` is
        written the next time.

    Raises
    ------
    OSError
        If the file cannot be written; it names `path`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from data_prep.files import atomic_path
    >>> with TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder, "a.txt")) as path:
    ...         _ = path.write_text("complete")
    ...     Path(folder, "a.txt").read_text()
    'complete'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    handle, temporary = _new_file(path)
    try:
        yield temporary
        temporary.chmod(0o644)
        os.close(handle)  # before it is renamed, for Windows
        handle = -1
        temporary.replace(path)
    except BaseException as error:
        if handle >= 0:
            os.close(handle)
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename in (None, str(temporary)):
            raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
        raise


@contextmanager
def only_writer(directory: Path) -> Iterator[None]:
    """Let no other process write to a folder during the block, if all of them use this function.

    Parameters
    ----------
    directory : Path
        Is created if necessary, and removed again if it is empty in the end.

    Raises
    ------
    FolderInUseError
        If another process is in such a block. A process that was killed is in none.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from data_prep.files import only_writer
    >>> with TemporaryDirectory() as folder, only_writer(Path(folder)):  # doctest: +ELLIPSIS
    ...     with only_writer(Path(folder)):
    ...         pass
    Traceback (most recent call last):
    data_prep.files.FolderInUseError: ... is in use by another process; ...
    """
    directory = Path(directory)
    created = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(parents=True, exist_ok=True)
    lock = FileLock(directory / _LOCK, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise FolderInUseError(
            f"{directory} is in use by another process; wait until it has ended, or choose "
            "another folder with --out"
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):
            (directory / _LOCK).unlink()
        lock.release()
        with suppress(OSError):  # not empty
            for path in created:
                path.rmdir()


def _new_file(path: Path) -> tuple[int, Path]:
    """Make a temporary file that is locked, since it is in use."""
    while True:
        try:
            handle, name = tempfile.mkstemp(
                prefix=f".{path.name}.", suffix=f"{_MARK}{path.suffix}", dir=path.parent
            )
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(path)) from error
        _lock(handle)
        if os.fstat(handle).st_nlink:
            return handle, Path(name)
        os.close(handle)  # another process has removed it before it was locked


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of `path` that processes left which were killed."""
    mark = f"{_MARK}{path.suffix}"
    for leftover in path.parent.iterdir():
        if leftover.name.startswith(f".{path.name}.") and leftover.name.endswith(mark):
            with suppress(OSError):
                handle = os.open(leftover, os.O_RDWR)
                try:
                    if _lock(handle):
                        leftover.unlink()
                finally:
                    os.close(handle)


def _lock(handle: int) -> bool:
    """Lock an open file until it is closed; return False if it is in use or cannot be locked."""
    if fcntl is None:
        return False
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
