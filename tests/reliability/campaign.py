"""The whole campaign: ``python tests/reliability/campaign.py docs/results/reliability``.

Writes one table for each part, and one about the machine. The parts can be named after the folder.
"""

import argparse
import json
import os
import platform
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from reliability.commands import ARGUMENTS
from reliability.kills import killed, undisturbed
from reliability.pairs import at_once
from reliability.readers import READERS
from small_city import write_city

from tritonbn.bench.machine import cpu_name

HERE = Path(__file__).parent
EXAMPLES = 500
KILLED_FOLDERS = {"prepare": 8, "train": 9, "compare": 8}
KILLS = 2
"""Of each folder: 50 kills in all."""
PAIRS = 5
LIBRARIES = ("torch", "numpy", "pandas", "pyarrow", "hypothesis")

Row = dict[str, object]


def inputs() -> Iterator[Row]:
    """Read mutated inputs."""
    for reader in READERS:
        found = _json_of("inputs.py", reader, EXAMPLES)
        yield {
            "reader": reader,
            "mutated inputs": found["mutations"],
            "bombs": found["bombs"],
            "a city": found["cities"],
            "one DataError": found["errors"],
            "anything else": _count(found["faults"]),
            "longest (s)": round(found["longest"], 2),
        }


def kills() -> Iterator[Row]:
    """Kill commands at random moments."""
    for command, folders in KILLED_FOLDERS.items():
        draw = random.Random(command)
        with TemporaryDirectory() as folder:
            city = write_city(Path(folder, "city"))
            seconds, expected = undisturbed(command, city, Path(folder, "undisturbed", "out"))
            outs = [Path(folder, str(number), "out") for number in range(folders)]
            same = [killed(command, city, out, seconds, KILLS, draw) == expected for out in outs]
        yield {
            "command": command,
            "kills": KILLS * folders,
            "results": folders,
            "with identical numbers": sum(same),
            "files compared": len(expected),
        }


def disk() -> Iterator[Row]:
    """Let the disk be full at each write."""
    for command in ARGUMENTS:
        found = _json_of("disk.py", command)
        yield {
            "command": command,
            "writes": found["writes"],
            "disk full at": found["full"],
            "faults": _count(found["faults"]),
        }


def pairs() -> Iterator[Row]:
    """Start commands twice at once."""
    for command in ARGUMENTS:
        with TemporaryDirectory() as folder:
            city = write_city(Path(folder, "city"))
            _, expected = undisturbed(command, city, Path(folder, "undisturbed", "out"))
            found = [at_once(command, city, Path(folder, str(n), "out")) for n in range(PAIRS)]
        ends = [end for pair, _ in found for end in pair]
        yield {
            "command": command,
            "pairs": PAIRS,
            "done": ends.count("done"),
            "refused": ends.count("refused"),
            "anything else": len(ends) - ends.count("done") - ends.count("refused"),
            "with identical numbers": sum(there == expected for _, there in found),
        }


def machine() -> Iterator[Row]:
    """Describe the machine."""
    versions = [f"Python {platform.python_version()}", *(f"{n} {version(n)}" for n in LIBRARIES)]
    yield {
        "processor": f"{cpu_name()}, {os.cpu_count()} cores",
        "versions": ", ".join(versions),
        "date": datetime.now(UTC).date().isoformat(),
    }


PARTS: dict[str, Callable[[], Iterator[Row]]] = {
    part.__name__: part for part in (machine, inputs, pairs, disk, kills)
}


def _json_of(program: str, *arguments: object) -> dict[str, object]:
    command = [sys.executable, str(HERE / program), *map(str, arguments)]
    return json.loads(subprocess.check_output(command, text=True))


def _count(faults: list[str]) -> int:
    for fault in faults:
        print(fault, file=sys.stderr)
    return len(faults)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write the tables")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"default: {', '.join(PARTS)}")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for part in options.parts or PARTS:
        rows = []
        for row in PARTS[part]():
            print(row, flush=True)
            rows.append(row)
        pd.DataFrame(rows).to_csv(options.folder / f"{part}.csv", index=False)


if __name__ == "__main__":
    main()
