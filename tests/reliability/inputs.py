"""Read mutated inputs in a process with little memory: ``python inputs.py READER EXAMPLES``.

Prints what came of them as JSON: the number of cities and of errors, and every fault, which is any
end but a city or one `DataError`.
"""

import io
import json
import random
import resource
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from types import FrameType

import numpy as np
import pyarrow as pa
from hypothesis import HealthCheck, Phase, assume, given, settings
from rich.console import Console

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
from bombs import bombs  # noqa: E402
from mutations import Files, mutated  # noqa: E402
from readers import READERS, Reader  # noqa: E402

from data_prep import CityData, DataError, DataWarning  # noqa: E402
from data_prep.describe import describe  # noqa: E402

MEMORY_BYTES = 1 << 29
"""What a reader may use, besides the memory of the process before."""

SECONDS = 60
HIDDEN = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""Warnings that users do not see."""

ALLOWED = (*HIDDEN, DataWarning)
"""The last one is about the readings, and meant for the user."""


class Campaign:
    """The inputs of one reader, and what came of them.

    Parameters
    ----------
    reader : Reader
    root : Path
        An empty folder.
    """

    def __init__(self, reader: Reader, root: Path) -> None:
        self.reader, self.root = reader, root
        self.place = root / "the" / "input"
        self.counts = {"cities": 0, "errors": 0}
        self.faults: list[str] = []
        self.longest = 0.0

    def write_valid(self) -> Path:
        """Write the valid input, and return what is to be read."""
        shutil.rmtree(self.place, ignore_errors=True)
        self.place.mkdir(parents=True)
        return self.reader.write(self.place)

    def write(self, files: Files) -> None:
        """Write mutated files."""
        shutil.rmtree(self.place)
        for file, content in files.items():
            (self.place / file).parent.mkdir(parents=True, exist_ok=True)
            (self.place / file).write_bytes(content)

    def read(self, path: Path, what: str) -> None:
        """Read an input, and note what comes of it."""
        started, before = perf_counter(), {*self.root.rglob("*")}
        out = self.root / "out"
        signal.alarm(SECONDS)
        try:
            with warnings.catch_warnings(record=True) as shown, limited_memory():
                warnings.simplefilter("always")
                self.counts[outcome(self.reader, path, out)] += 1
            seen = [
                f"{w.category.__name__}: {w.message}" for w in shown if w.category not in ALLOWED
            ]
            if seen:
                self.faults.append(f"{what}: {seen[0]}")
        except BaseException:
            self.faults.append(f"{what}: {traceback.format_exc()}")
        signal.alarm(0)
        shutil.rmtree(out, ignore_errors=True)
        if written := {*self.root.rglob("*")} - before:
            self.faults.append(f"{what}: {written} were written")
        self.longest = max(self.longest, perf_counter() - started)


def outcome(reader: Reader, path: Path, out: Path) -> str:
    """Read a city, save, load and describe it; return whether it is one of the cities or errors."""
    try:
        city = reader.read(path)
    except DataError as error:
        require_one_line(str(error))
        return "errors"
    city.save(out)
    np.testing.assert_array_equal(CityData.load(out).values, city.values)
    Console(file=io.StringIO(), markup=False, emoji=False).print(describe(city))
    return "cities"


def require_one_line(message: str) -> None:
    assert message == " ".join(message.split())
    assert message.isprintable()


def read_mutated(name: str, examples: int) -> dict[str, object]:
    """Read a number of mutated inputs, which are the same each time, and the bombs."""
    with TemporaryDirectory() as folder:
        campaign = Campaign(READERS[name], Path(folder))
        path = campaign.write_valid()
        campaign.read(path, "the valid input")
        assert campaign.counts["cities"] == 1, campaign.faults
        campaign.counts["cities"] = 0
        valid = {
            file.relative_to(campaign.place).as_posix(): file.read_bytes()
            for file in campaign.place.rglob("*")
            if file.is_file()
        }

        @given(mutated(valid))
        @settings(
            max_examples=examples,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
        def read(files: Files) -> None:
            campaign.write(files)
            assume(path.exists())
            campaign.read(path, shown(files, valid))

        read()
        mutations = sum(campaign.counts.values())
        for what, bomb in bombs(campaign.write_valid()):
            campaign.read(bomb, what)
    unpacked = sum(campaign.counts.values()) - mutations
    return {
        "mutations": mutations,
        "bombs": unpacked,
        **campaign.counts,
        "longest": campaign.longest,
        "faults": campaign.faults,
    }


def shown(files: Files, valid: Files) -> str:
    """Return what differs from the valid input."""
    changed = {
        name: files.get(name) for name in {*files, *valid} if files.get(name) != valid.get(name)
    }
    return str({name: content and content[:3000] for name, content in changed.items()})


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"took more than {SECONDS} s")


@contextmanager
def limited_memory() -> Iterator[None]:
    """Let the process use little more memory than it does now."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    limit = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


if __name__ == "__main__":
    random.seed(0)
    signal.signal(signal.SIGALRM, _too_long)
    pa.set_cpu_count(2)  # the stack of each thread counts as memory
    json.dump(read_mutated(sys.argv[1], int(sys.argv[2])), sys.stdout)
