"""SIGTERM as an exception, so that a process that is asked to end removes its temporary files."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

STATUS = 128 + signal.SIGTERM
"""The exit status of a process that SIGTERM has ended."""


class TerminatedError(KeyboardInterrupt):
    """SIGTERM asks the process to end. Whatever handles Ctrl-C handles it in the same way."""


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Raise `TerminatedError` in the block when SIGTERM arrives.

    Only the main thread receives signals; in another one this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _raise)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _raise(number: int, frame: FrameType | None) -> NoReturn:
    raise TerminatedError
