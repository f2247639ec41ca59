"""A command that is killed resumes to the numbers of an undisturbed one."""

import os
import random
import signal
from pathlib import Path

import pytest
from reliability.commands import ARGUMENTS, finish, numbers, start
from reliability.kills import killed, undisturbed
from small_city import write_city

COMMANDS = [
    name if name == "prepare" else pytest.param(name, marks=pytest.mark.slow) for name in ARGUMENTS
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_killed_command_resumes_to_the_same_numbers(command: str, tmp_path: Path) -> None:
    city = write_city(tmp_path / "city")
    seconds, expected = undisturbed(command, city, tmp_path / "undisturbed" / "out")
    draw = random.Random(command)
    assert killed(command, city, tmp_path / "killed" / "out", seconds, 2, draw) == expected


def test_a_terminated_training_says_so_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    city, out = write_city(tmp_path / "city"), tmp_path / "out"
    process = start("train", city, out)
    while not (out / "config.json").exists():
        assert process.poll() is None
    os.kill(process.pid, signal.SIGTERM)
    assert finish(process) == (143, ["tritonbn: terminated; the same command resumes the work"])
    assert not [name for name in numbers(out) if Path(name).name.startswith(".")]


@pytest.mark.slow
def test_a_comparison_whose_processes_are_all_terminated_says_so(tmp_path: Path) -> None:
    city, out = write_city(tmp_path / "city"), tmp_path / "out"
    process = start("compare", city, out)
    while not [*out.glob("runs/*/checkpoint*")]:
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGTERM)
    assert finish(process) == (143, ["tritonbn: terminated; the same command resumes the work"])
