"""Atomic writing: a file is written completely or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
        removed and `path` is unchanged.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_path(Path(folder, "a.txt")) as path:
    ...         _ = path.write_text("complete")
    ...     Path(folder, "a.txt").read_text()
    'complete'
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
