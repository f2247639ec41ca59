from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_commands import TRAIN
from small_city import TINY, write_city

from tritonbn.cli import main
from tritonbn.experiment.networks.presets import PRESETS, RESIDUAL


@pytest.fixture(scope="module", autouse=True)
def _tiny_preset() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "quick", TINY)
        patch.setitem(RESIDUAL, "steps", 4)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_city(tmp_path_factory.mktemp("tidy") / "city")


@pytest.fixture(scope="module")
def out(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one run."""
    directory = tmp_path_factory.mktemp("results")
    assert main([*TRAIN, "--data", str(data), "--grid", "6x7", "--out", str(directory)]) == 0
    return directory


@pytest.fixture(scope="module")
def run(out: Path) -> Path:
    return out / "runs" / "cnn-dense-local-paper-0"
