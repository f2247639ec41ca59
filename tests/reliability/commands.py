"""The commands of the campaign on a tiny city, as processes, and the numbers they write."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from safetensors import safe_open
from small_city import TINY

SIZES = TINY | {"steps": 60, "batch_size": 8, "validate_every": 5}

PROGRAM = f"""
import sys
from tritonbn.cli import main
from tritonbn.experiment.networks.presets import PRESETS
PRESETS["quick"] = PRESETS["thorough"] = {SIZES}
print("ready", flush=True)
sys.exit(main(sys.argv[1:]))
"""

ARGUMENTS = {
    "prepare": ["data", "prepare"],
    "train": ["train", "--backbone", "cnn", "--protocol", "masked", "--grid", "6x7", "--data"],
    "compare": [
        *("compare", "--backbones", "cnn", "--designs", "published", "--norms", "none", "local"),
        *("--baselines", "mean", "idw", "--protocols", "masked", "--seeds", "1", "--jobs", "2"),
        *("--grid", "6x7", "--data"),
    ],
}

NOT_NUMBERS = (".png", ".html")
"""Endings of files that show the time, or numbers that are in other files too."""


def launch(command: str, city: Path, out: Path) -> "subprocess.Popen[str]":
    """Start a command in a session of its own."""
    arguments = [sys.executable, "-c", PROGRAM, *ARGUMENTS[command], str(city), "--out", str(out)]
    return subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def start(command: str, city: Path, out: Path) -> "subprocess.Popen[str]":
    """Start a command, and return when it begins to work."""
    process = launch(command, city, out)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()
    return process


def finish(process: "subprocess.Popen[str]") -> tuple[int, list[str]]:
    """Wait for the end of a command; return its status and the lines on stderr."""
    _, errors = process.communicate()
    return process.returncode, errors.splitlines()


def numbers(out: Path) -> dict[str, str]:
    """Return a hash of the numbers in each file of a folder, without the duration of training."""
    files = sorted(path for path in out.rglob("*") if path.is_file())
    return {path.relative_to(out).as_posix(): _hash(path) for path in files}


def _hash(path: Path) -> str:
    if path.suffix in NOT_NUMBERS:
        return ""
    content: Any = path.read_bytes()
    if path.suffix == ".json":
        content = _without_seconds(json.loads(content))
    elif path.suffix == ".csv":
        content = pd.read_csv(path).drop(columns="seconds", errors="ignore").to_csv()
    elif path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            facts = _without_seconds(json.loads(file.metadata()["tritonbn"]))
            content = facts, [(key, file.get_tensor(key).tobytes()) for key in sorted(file.keys())]
    return hashlib.sha256(
        content if isinstance(content, bytes) else repr(content).encode()
    ).hexdigest()


def _without_seconds(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != "seconds"}


def alive(sessions: Sequence[int]) -> list[int]:
    """Return the processes of sessions that run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, *fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) in sessions and state != "Z":
            found.append(int(path.parent.name))
    return found
