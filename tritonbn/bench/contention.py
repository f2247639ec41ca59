"""A process that keeps one core busy."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PROGRAM = "import os, sys; parent = int(sys.argv[1])\nwhile os.getppid() == parent: pass"


@contextmanager
def busy_core() -> Iterator[int]:
    """Keep one core busy with another process.

    Yields
    ------
    int
        The id of the process, which ends with the block, and by itself if this one was killed.
    """
    process = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(os.getpid())])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()
