"""Whatever is in the files, reading them ends in a city or in one `DataError`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rdata", reason="one of the readers needs rdata")
readers = pytest.importorskip("reliability.readers")

PROGRAM = Path(__file__).with_name("inputs.py")


@pytest.mark.parametrize("reader", readers.READERS)
def test_a_mutated_input_is_a_city_or_one_error(reader: str) -> None:
    command = [sys.executable, str(PROGRAM), reader, "25"]
    found = json.loads(subprocess.check_output(command, text=True))
    assert found["faults"] == []
    assert found["mutations"] > 20
    assert found["errors"] > 0
