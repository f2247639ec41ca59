"""Kill a command at random moments, and repeat it."""

import random
import shutil
import signal
from pathlib import Path
from time import monotonic, sleep

from reliability.commands import alive, finish, numbers, start

MOST_SECONDS = 10
"""After which the processes that a killed command has started must have ended."""


def undisturbed(command: str, city: Path, out: Path) -> tuple[float, dict[str, str]]:
    """Run a command; return how long it worked, and the numbers."""
    process = start(command, city, out)
    started = monotonic()
    assert finish(process) == (0, [])
    return monotonic() - started, numbers(out)


def killed(
    command: str, city: Path, out: Path, seconds: float, kills: int, draw: random.Random
) -> dict[str, str]:
    """Kill a command some times, then let it end; return the numbers.

    A kill is a SIGKILL at a random moment within the `seconds` of the whole work. Where a command
    has ended before it, all begins anew in an empty folder.
    """
    done = 0
    while done < kills:
        process = start(command, city, out)
        sleep(draw.uniform(0, seconds))
        process.kill()
        status, _ = finish(process)
        assert status in (0, -signal.SIGKILL)
        wait_for_end(process.pid)
        if status == 0:
            shutil.rmtree(out)
        done = done + 1 if status else 0
    assert finish(start(command, city, out)) == (0, [])
    return numbers(out)


def wait_for_end(session: int) -> None:
    """Wait until no process of a session runs."""
    started = monotonic()
    while running := alive([session]):
        assert monotonic() - started < MOST_SECONDS, f"{running} still run"
        sleep(0.05)
