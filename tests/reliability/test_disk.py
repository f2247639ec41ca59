"""A command on a full disk ends with one line, leaves nothing behind, and can be repeated."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("disk.py")


@pytest.mark.parametrize(
    ("command", "every"),
    [
        ("prepare", 1),
        pytest.param("train", 5, marks=pytest.mark.slow),
        pytest.param("compare", 20, marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_one_line_and_the_command_can_be_repeated(command: str, every: int) -> None:
    arguments = [sys.executable, str(PROGRAM), command, str(every)]
    found = json.loads(subprocess.check_output(arguments, text=True))
    assert found["faults"] == []
    assert found["full"] > 2
