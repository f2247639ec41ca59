"""A process that keeps one core busy."""

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context, parent_process

_TURNS = 1_000_000


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy with a child process, which is ended with the block.

    The child also ends by itself within a second if this process was killed.
    """
    context = get_context("spawn")
    ready = context.Event()
    child = context.Process(target=_burn, args=(ready,), daemon=True)
    child.start()
    try:
        ready.wait()
        yield
    finally:
        child.kill()
        child.join()


def _burn(ready: object) -> None:
    ready.set()  # type: ignore[attr-defined]
    parent = parent_process()
    assert parent is not None
    while parent.is_alive():
        for _ in range(_TURNS):
            pass
