"""The files of a source: single, in folders, compressed with gzip, or in zip archives."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

from data_prep.city import DataError
from data_prep.folders import files_below, is_hidden

LARGEST_RATIO = 200
"""How many times its size a compressed file may have when it is read."""

_SMALLEST_LIMIT = 1 << 26


@dataclass(frozen=True)
class File:
    """A file, or a member of a zip archive. Members are read in place, never extracted.

    Parameters
    ----------
    path : Path
    member : str, optional
        The name of the member, if `path` is a zip archive. Default: none.
    """

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        return str(self.path) if self.member is None else f"{self.path}: {self.member}"

    @property
    def name(self) -> str:
        """The name, without folders and ``.gz``."""
        name = Path(self.member or self.path).name
        return name[:-3] if _is_gzip(name) else name

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the file for reading, uncompressed.

        Raises
        ------
        DataError
            If the file cannot be read, or expands to more than `LARGEST_RATIO` times its size.
        """
        try:
            with ExitStack() as stack:
                stream: IO[bytes] = stack.enter_context(self.path.open("rb"))
                if self.member is not None:
                    archive = stack.enter_context(zipfile.ZipFile(stream))
                    stream = self._bounded(stack.enter_context(archive.open(self.member)))
                if _is_gzip(self.member or self.path.name):
                    stream = self._bounded(stack.enter_context(gzip.GzipFile(fileobj=stream)))
                yield stream
        except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
            raise DataError(f"{self} cannot be read: {error}") from error

    def read(self) -> bytes:
        """Return the whole content, uncompressed."""
        with self.open() as stream:
            return stream.read()

    def _bounded(self, stream: IO[bytes] | gzip.GzipFile) -> IO[bytes]:
        limit = max(LARGEST_RATIO * self.path.stat().st_size, _SMALLEST_LIMIT)
        return io.BufferedReader(_Bounded(stream, limit, str(self)))


def _is_gzip(name: str) -> bool:
    return name.lower().endswith(".gz")


class _Bounded(io.RawIOBase):
    """A stream that may not be longer than its limit."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, limit: int, name: str) -> None:
        self._stream, self._left, self._name = stream, limit, name

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        self._left -= len(data)
        if self._left < 0:
            raise DataError(
                f"{self._name} expands to more than {LARGEST_RATIO} times its size, which is not "
                "what data do"
            )
        return len(data)


def files_of(path: Path, patterns: Sequence[str]) -> list[File]:
    """Return the files of a source in the order of their names.

    Parameters
    ----------
    path : Path
        A file, a zip archive, or a folder with files, archives and subfolders.
    patterns : sequence of str
        Patterns of the names, such as ``"*.csv"``; ``.gz`` may follow. In folders and archives
        other files are left out.

    Raises
    ------
    DataError
        If there is no such file, or an archive is damaged.
    """
    if not path.exists():
        raise DataError(f"there is no file or folder {str(path)!r}")
    if path.is_dir():
        inside = [file for entry in files_below(path) for file in _unpacked(entry)]
    else:
        inside = [*_unpacked(path)]
    single = len(inside) == 1 and inside[0].path == path and inside[0].member is None
    found = [file for file in inside if _matches(file.name, patterns)]
    if not found and not single:
        raise DataError(f"{path} has no file with a name such as {', '.join(patterns)}")
    return inside if single else found


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a name has one of the patterns, whatever its case."""
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def _unpacked(path: Path) -> Iterator[File]:
    """Yield the members of a zip archive, or the file itself."""
    if path.suffix.lower() != ".zip":
        if path.is_file():
            yield File(path)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = [
                member.filename
                for member in archive.infolist()
                if not (member.is_dir() or any(map(is_hidden, Path(member.filename).parts)))
            ]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    yield from (File(path, name) for name in sorted(names))
