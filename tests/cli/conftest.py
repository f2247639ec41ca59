from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_commands import TRAIN

from tritonbn.cli import main
from tritonbn.experiment.networks.presets import PRESETS, RESIDUAL

TINY = {"steps": 4, "batch_size": 8, "validate_every": 2, "test_times": 28, "validation_times": 2}


@pytest.fixture(scope="module", autouse=True)
def _tiny_preset() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "quick", TINY)
        patch.setitem(RESIDUAL, "steps", 4)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tidy city of four stations and 300 hours."""
    directory = tmp_path_factory.mktemp("tidy")
    rng = np.random.default_rng(0)
    names = ["North", "East", "South", "West"]
    pd.DataFrame(
        {"station": names, "latitude": [1.2, 1.1, 1.0, 1.1], "longitude": [2.1, 2.2, 2.1, 2.0]}
    ).to_csv(directory / "stations.csv", index=False)
    times = pd.date_range("2024-01-01", periods=300, freq="h")
    index = pd.MultiIndex.from_product([times, names], names=["time", "station"])
    readings = pd.DataFrame({"value": rng.uniform(5, 40, len(index))}, index=index)
    readings.reset_index().to_csv(directory / "readings.csv", index=False)
    return directory


@pytest.fixture(scope="module")
def out(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one run."""
    directory = tmp_path_factory.mktemp("results")
    assert main([*TRAIN, "--data", str(data), "--grid", "6x7", "--out", str(directory)]) == 0
    return directory


@pytest.fixture(scope="module")
def run(out: Path) -> Path:
    return out / "runs" / "cnn-dense-local-paper-0"
