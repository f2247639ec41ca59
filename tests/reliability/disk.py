"""Let the disk be full at each write of a command: ``python disk.py COMMAND [EVERY]``.

Prints as JSON how often the command writes, at how many of these the disk was full (one of `EVERY`,
default all), and the faults: any end but one line that names a file in the folder, a temporary file
that remains, and other numbers when the command is repeated with space on the disk.
"""

import json
import os
import resource
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parents[1]))
from reliability.commands import ARGUMENTS, SIZES, numbers
from small_city import write_city

from data_prep import files
from tritonbn.cli import main
from tritonbn.experiment.networks.presets import PRESETS

ROOM_BYTES = 20
"""What fits into a file on a disk that is full."""

_fork = get_context("fork")


class Command:
    """A command, as a child of this process, which has loaded what it needs."""

    def __init__(self, name: str, city: Path) -> None:
        self.arguments = [*ARGUMENTS[name], str(city)]
        if "--jobs" in self.arguments:
            self.arguments[self.arguments.index("--jobs") + 1] = "1"
        self.writes = 0

    def __call__(self, out: Path, full_at: int | None = None) -> tuple[int | None, list[str]]:
        """Run the command; return its status and the lines on stderr."""
        counter = _fork.Value("i", 0)
        receiver, sender = os.pipe()
        arguments = [*self.arguments, "--out", str(out)]
        child = _fork.Process(target=_run, args=(arguments, full_at, counter, sender))
        child.start()
        os.close(sender)
        with os.fdopen(receiver, encoding="utf-8") as errors:
            lines = errors.read().splitlines()
        child.join()
        self.writes = counter.value
        return child.exitcode, lines


def _run(arguments: list[str], full_at: int | None, counter, sender: int) -> None:
    os.dup2(sender, 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    new_file = files._new_file

    def counted(path: Path) -> tuple[int, Path]:
        counter.value += 1
        if counter.value == full_at:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM_BYTES, hard))
        return new_file(path)

    files._new_file = counted
    sys.exit(main(arguments))


def faults_of(command: Command, out: Path, full_at: int, expected: dict[str, str]) -> Iterator[str]:
    """Run a command while the disk is full from one write on, repeat it, and yield the faults."""
    status, lines = command(out, full_at)
    if status != 2 or len(lines) != 1 or str(out) not in lines[0]:
        yield f"status {status}: {lines}"
    remains = [path.name for path in out.rglob("*") if path.name.startswith(".")]
    if remains:
        yield f"{remains} remain"
    if (ended := command(out)) != (0, []):
        yield f"repeated: {ended}"
    if (there := numbers(out)) != expected:
        differ = {name for name in {*there, *expected} if there.get(name) != expected.get(name)}
        yield f"repeated: {differ} differ"


def fill_disk(name: str, every: int) -> dict[str, object]:
    """Let the disk be full at every so many writes of a command."""
    PRESETS["quick"] = PRESETS["thorough"] = SIZES | {"steps": 15}
    with TemporaryDirectory() as folder:
        command = Command(name, write_city(Path(folder, "city")))
        assert command(Path(folder, "undisturbed", "out")) == (0, [])
        expected, writes = numbers(Path(folder, "undisturbed", "out")), command.writes
        moments = range(1, writes + 1, every)
        faults = [
            f"write {moment}: {fault}"
            for moment in moments
            for fault in faults_of(command, Path(folder, str(moment), "out"), moment, expected)
        ]
    return {"writes": writes, "full": len(moments), "faults": faults}


if __name__ == "__main__":
    json.dump(fill_disk(sys.argv[1], int(sys.argv[2]) if sys.argv[2:] else 1), sys.stdout)
