"""A process that keeps one core busy."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PROGRAM = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


@contextmanager
def busy_core() -> Iterator[int]:
    """Keep one core busy with another process.

    Yields
    ------
    int
        The id of the process, which ends with the block, and by itself if this one was killed.
    """
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()
