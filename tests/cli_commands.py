"""What the tests of the commands share."""

from collections.abc import Sequence

import pytest

from tritonbn.cli import main

TRAIN = ["train", "--backbone", "cnn"]


def error_of(arguments: Sequence[object], capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must fail with status 2, and return its one line of complaint."""
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as exit_:
        status = exit_.code
    assert status == 2
    line = capsys.readouterr().err
    assert line.startswith("tritonbn: error: ")
    assert line.endswith("\n")
    assert line.count("\n") == 1
    return line
