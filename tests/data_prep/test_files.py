import errno
import signal
import subprocess
import sys

import pytest

from data_prep.files import FolderInUseError, atomic_path, only_writer

HOLD = """
import sys, time
from pathlib import Path
from data_prep.files import atomic_path, only_writer
with {block} as path:
    print("ready", flush=True)
    time.sleep(60)
"""


def hold(block):
    """Start a process that stays in a block."""
    program = [sys.executable, "-c", HOLD.format(block=block)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process):
    with process:
        process.send_signal(signal.SIGKILL)


def test_the_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "new" / "folder" / "table.csv"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".csv"
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert [*path.parent.iterdir()] == [path]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_after_an_error_the_old_file_is_still_there_and_nothing_else(tmp_path, error):
    path = tmp_path / "table.csv"
    path.write_text("old")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write_half()
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("name", ["table.csv", "table"])
def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path, name):
    path = tmp_path / name
    kill(hold(f"atomic_path(Path({str(path)!r}))"))
    mine = tmp_path / f".{name}.mine"
    mine.write_text("of the user")
    assert len([*tmp_path.iterdir()]) == 2
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
    assert {*tmp_path.iterdir()} == {path, mine}


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    path = tmp_path / "table.csv"
    process = hold(f"atomic_path(Path({str(path)!r}))")
    (in_use,) = tmp_path.iterdir()
    with atomic_path(path) as temporary:
        temporary.write_text("whole")
    assert {*tmp_path.iterdir()} == {path, in_use}
    kill(process)


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "table.csv"
    with pytest.raises(OSError, match="No space left on device") as raised, atomic_path(path):
        raise OSError(errno.ENOSPC, "Error writing bytes to file")
    assert raised.value.filename == str(path)


def test_a_folder_that_cannot_be_written_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    def refuse(**options):
        name = f"{tmp_path}/.table.csv.x.partial.csv"
        raise PermissionError(errno.EACCES, "Permission denied", name)

    monkeypatch.setattr("tempfile.mkstemp", refuse)
    with pytest.raises(PermissionError) as raised, atomic_path(tmp_path / "table.csv"):
        pass
    assert raised.value.filename == str(tmp_path / "table.csv")


def test_a_folder_has_one_writer_until_it_ends_or_is_killed(tmp_path):
    folder = tmp_path / "results"
    process = hold(f"only_writer(Path({str(folder)!r}))")
    with (
        pytest.raises(
            FolderInUseError,
            match=r"results is in use by another process; .* another folder with --out",
        ),
        only_writer(folder),
    ):
        pass
    kill(process)
    with only_writer(folder):
        (folder / "mine").write_text("whole")
    assert [*folder.iterdir()] == [folder / "mine"]


def test_a_folder_in_which_nothing_was_written_is_removed_again(tmp_path):
    with pytest.raises(ZeroDivisionError), only_writer(tmp_path / "new" / "folder"):
        raise ZeroDivisionError
    assert [*tmp_path.iterdir()] == []
