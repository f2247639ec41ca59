"""The files in a folder and all its subfolders."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(folder: Path) -> list[Path]:
    """Return the files of a folder and of its subfolders, sorted, also those that are links.

    Hidden files and folders, whose names begin with a dot, and ``__MACOSX`` are left out.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from data_prep.folders import files_below
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "a.csv").touch()
    ...     [path.name for path in files_below(Path(folder))]
    ['a.csv']
    """
    return sorted(path for path in _entries(folder) if path.is_file())


def _entries(folder: Path) -> Iterator[Path]:
    """Yield what is not a folder; each folder is entered once, so that links may be circular."""
    entered = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in entered:
            folders.clear()
            continue
        entered.add(real)
        folders[:] = [name for name in folders if not is_hidden(name)]
        yield from (Path(place, name) for name in names if not is_hidden(name))


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is one that users do not see."""
    return name == "__MACOSX" or (name.startswith(".") and name not in (".", ".."))
