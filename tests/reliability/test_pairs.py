"""Of two processes with one folder, the second is refused, or both write the same numbers."""

import os
import signal
from pathlib import Path

import pytest
from reliability.commands import finish, numbers, start
from reliability.pairs import at_once, end_of
from small_city import write_city


@pytest.fixture(scope="module")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_city(tmp_path_factory.mktemp("tidy") / "city")


@pytest.mark.slow
def test_while_a_process_writes_to_a_results_folder_others_are_refused(
    city: Path, tmp_path: Path
) -> None:
    assert finish(start("train", city, tmp_path / "undisturbed" / "out")) == (0, [])
    out = tmp_path / "disturbed" / "out"
    first = start("train", city, out)
    while not (out / "config.json").exists():
        assert first.poll() is None
    os.kill(first.pid, signal.SIGSTOP)
    for command in ("train", "compare"):
        assert end_of(*finish(start(command, city, out))) == "refused"
    os.kill(first.pid, signal.SIGCONT)
    assert finish(first) == (0, [])
    assert numbers(out) == numbers(tmp_path / "undisturbed" / "out")


def test_of_two_preparations_at_once_one_is_refused_or_both_are_safe(
    city: Path, tmp_path: Path
) -> None:
    assert finish(start("prepare", city, tmp_path / "undisturbed" / "out")) == (0, [])
    ends, there = at_once("prepare", city, tmp_path / "pair" / "out")
    assert ends in (["done", "done"], ["done", "refused"])
    assert there == numbers(tmp_path / "undisturbed" / "out")
