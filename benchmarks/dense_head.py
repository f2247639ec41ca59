"""Find out why a network with the dense head does not learn.

The published setting is trained again and again, each time with one change:

    python benchmarks/dense_head.py DATA OUT.csv

DATA is the same as for `tritonbn train --data`. OUT.csv has one row per change, written as soon as
it is measured:

- "standard deviation": that over samples of the inputs of the dense layers, averaged over
  cells, before training;
- "active units": how many of the 1,000 hidden units of the dense layers are positive for any sample
  of the batch at step 100; with a ReLU, all others have no gradient there;
- "best spRMSE": the lowest spRMSE of training stations at some validation times;
- "learns at step": the first step at which this spRMSE is at least a fifth below that of a constant
  estimate, the mean of all training readings (`-`: never).
"""

import argparse
import csv
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from data_prep.city import CityData, DataError
from data_prep.load import load_city
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.recipes import recipe_of
from tritonbn.experiment.networks.scaling import Scaler
from tritonbn.experiment.networks.train import train_network
from tritonbn.experiment.task.scores import city_sprmse, estimates_table
from tritonbn.models.head import DenseHead

PUBLISHED = RunConfig("cnn", "none", "masked", steps=500, batch_size=32, validation_times=8)


class Centred(nn.Module):
    """The sigmoid minus one half."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return values between -0.5 and 0.5."""
        return torch.sigmoid(x) - 0.5


NAMES = ["changed", "standard deviation", "active units", "best spRMSE", "learns at step"]
AT_STEP = 100
"""The step at which the active units are counted."""

SCALED = {"model": "convlstm", "norm": "scaled"}
CHANGES: dict[str, Mapping[str, Any]] = {
    "nothing, as published": {},
    "the 99th percentile in place of the maximum": {"scaling": "percentile"},
    "readings scaled by the station's own mean and standard deviation": {"norm": "scaled"},
    "a half subtracted from the sigmoid": {"Sigmoid": Centred},
    "no sigmoid": {"Sigmoid": nn.Identity},
    "a leaky ReLU in place of the ReLU": {"ReLU": nn.LeakyReLU},
    "no dropout": {"dropout": 0.0},
    "learning rate 0.0001": {"learning_rate": 1e-4},
    "learning rate 0.003": {"learning_rate": 3e-3},
    "2,000 steps": {"steps": 2000},
    "global normalization": {"norm": "global"},
    "local normalization": {"norm": "local"},
    "the ConvLSTM": {"model": "convlstm"},
    "the ConvLSTM, readings scaled by station": SCALED,
    "that, and a leaky ReLU in place of the ReLU": {**SCALED, "ReLU": nn.LeakyReLU},
    "that, and a half subtracted from the sigmoid": {**SCALED, "Sigmoid": Centred},
    "that, and learning rate 0.0001": {**SCALED, "learning_rate": 1e-4},
}
"""Arguments of `RunConfig`, and replacements of layers of the head by the replaced class."""

CPU = torch.device("cpu")


def counting(layer: type[nn.Module], active: list[int]) -> type[nn.Module]:
    """Return a subclass of `layer` that appends its active units in each training step."""

    class Counting(layer):  # type: ignore[misc, valid-type]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = super().forward(x)
            if self.training:
                active.append(int((y > 0).any(0).sum()))
            return y

    return Counting


def input_deviation(city: CityData, config: RunConfig) -> float:
    """Return the standard deviation of the inputs of the untrained dense layers over 64 samples."""
    fold = config.fold_of(city)
    recipe = recipe_of(config)
    scaler = Scaler.fit(fold.windows.city, config.scaling)
    encoding = recipe.encoding(fold, scaler, CPU)
    times = fold.windows.times("train", 64)
    hidden = recipe.hide(np.random.default_rng(0), len(times), len(city.stations))
    model = recipe.network(fold, CPU).train()
    assert isinstance(model.head, DenseHead)
    read: list[torch.Tensor] = []
    model.head.dense.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    with torch.no_grad():
        model(encoding.encode(times, hidden)[0])
    return float(read[0].std(0).mean())


def score_of_constant(city: CityData) -> float:
    """Return the validation spRMSE of a constant estimate, the mean of all training readings."""
    fold = PUBLISHED.fold_of(city)
    mean = np.nanmean(city.values[fold.windows.parts["train"]])
    times, stations = fold.scored("validation", fold.learned, PUBLISHED.validation_times)
    estimates = estimates_table(city, times, stations, np.full(len(times), mean))
    return city_sprmse(estimates, city, min_readings=1)


def measure(city: CityData, out: Path) -> None:
    """Measure every change with one city, and write the table."""
    constant = score_of_constant(city)
    print(f"the mean of all training readings: {constant:.2f}")
    rows = [NAMES]
    for name, change in CHANGES.items():
        options = dict(change)
        sigmoid, relu = options.pop("Sigmoid", nn.Sigmoid), options.pop("ReLU", nn.ReLU)
        config = replace(PUBLISHED, **options)
        active: list[int] = []
        with patch("tritonbn.models.head.nn.Sigmoid", sigmoid):
            before = input_deviation(city, config)
            with (
                patch("tritonbn.models.head.nn.ReLU", counting(relu, active)),
                tempfile.TemporaryDirectory() as folder,
            ):
                history = train_network(city, config, Path(folder), device=CPU).history
        scores = [entry["stopping_sprmse"] for entry in history]
        left = [entry["step"] for entry in history if entry["stopping_sprmse"] < 0.8 * constant]
        learns = str(left[0] if left else "-")
        row = [name, f"{before:.2g}", str(active[AT_STEP - 1]), f"{min(scores):.2f}", learns]
        print(*row, sep="  ", flush=True)
        rows.append(row)
        with out.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def main() -> None:
    """Measure one city."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", help="as for tritonbn train --data")
    parser.add_argument("out", type=Path, help="CSV file to write")
    options = parser.parse_args()
    try:
        measure(load_city(options.data), options.out)
    except (DataError, OSError) as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
