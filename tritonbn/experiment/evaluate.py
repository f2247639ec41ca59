"""The test: estimate the readings of stations that a model does not see."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from data_prep.city import CityData
from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.dataset import (
    BoolArray,
    FloatArray,
    IntArray,
    Part,
    Scaler,
)
from tritonbn.experiment.encoding import Encoding, Published, Wide
from tritonbn.experiment.folds import Fold
from tritonbn.experiment.scores import estimates_table
from tritonbn.models import CNN, ConvLSTM

CPU_BATCH, GPU_BATCH = 16, 1024
"""Samples per pass: what stays in the caches of the one and fills the other."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TrainedRun:
    """What training leaves.

    Parameters
    ----------
    model : ConvLSTM or CNN
        With the weights of the best validation.
    config : RunConfig
        How it was trained.
    scaler : Scaler
        From ug/m3 to what the model reads and writes.
    history : list of dict
        ``step``, ``loss`` (mean since the one before) and ``validation_sprmse`` (ug/m3) of every
        validation; that of step 0, which only wide networks have, is without a loss.
    steps : int
        Steps taken; fewer than `config.steps` after early stopping.
    seconds : float
        Time spent in training, summed over resumptions.
    """

    model: ConvLSTM | CNN
    config: RunConfig
    scaler: Scaler
    history: list[dict[str, float]]
    steps: int
    seconds: float

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self.model.parameters()).device

    def encoding(self, city: CityData) -> Encoding:
        """Return what the model reads of a city."""
        return encoding_of(self.config, Fold.of(city, self.config), self.scaler, self.device)


def encoding_of(config: RunConfig, fold: Fold, scaler: Scaler, device: torch.device) -> Encoding:
    """Return what the models of a configuration read."""
    return (Wide if config.wide else Published)(fold, scaler, device)


def evaluate(
    run: TrainedRun, city: CityData, *, on_progress: Progress | None = None
) -> pd.DataFrame:
    """Test a run on the test part of a city.

    Parameters
    ----------
    run : TrainedRun
        From `train` or `load_run`.
    city : CityData
        The city it was trained on.
    on_progress : callable, optional
        Called with the number of estimates made and to be made.

    Returns
    -------
    DataFrame, one row per scored reading
        The table of `tritonbn.experiment.scores`.
    """
    encoding = run.encoding(city)
    return estimate(run.model, encoding, "test", run.config.test_times, on_progress)


def predict_field(
    run: TrainedRun, city: CityData, time_index: int, hidden: int | None
) -> FloatArray:
    """Estimate the whole city at one time with one station hidden, or none.

    Parameters
    ----------
    run : TrainedRun
        From `train` or `load_run`.
    city : CityData
        The city it was trained on.
    time_index : int
        The predicted time, an index of `city.times`.
    hidden : int or None
        Row of the hidden station in `city.stations`.

    Returns
    -------
    array of float32, shape (H, W)
        In the unit of the readings; row 0 in the south.

    Raises
    ------
    DataError
        If there is no such time, or no reading at the end of its window.
    """
    encoding = run.encoding(city)
    encoding.windows.require(time_index)
    hide = encoding.fold.hidden(np.array([-1 if hidden is None else hidden]))
    field = predict(run.model, encoding, np.array([time_index]), hide)
    return np.asarray(field[0, 0].cpu().numpy(), np.float32)


@torch.inference_mode()
def predict(
    model: ConvLSTM | CNN, encoding: Encoding, times: IntArray, hidden: BoolArray
) -> Tensor:
    """Fields, (B, 1, H, W) in the unit of the readings, at `times` (B,) with `hidden` (B, S)."""
    x, scale = encoding.encode(times, hidden)
    field: Tensor = model.eval()(x)
    return scale.unscale(field)


def estimate(
    model: ConvLSTM | CNN,
    encoding: Encoding,
    part: Part,
    count: int | None = None,
    on_progress: Progress | None = None,
) -> pd.DataFrame:
    """Estimate the scored readings of a part, at `count` times of it; the table of `evaluate`."""
    fold = encoding.fold
    times, stations = fold.scored(part, count)
    hidden = np.where(fold.absent[stations], -1, stations)  # one field tells of all absent ones
    samples, sample = np.unique(np.stack([times, hidden]), axis=1, return_inverse=True)
    estimates = np.empty(len(times), np.float32)
    size = CPU_BATCH if encoding.device.type == "cpu" else GPU_BATCH
    for start in range(0, samples.shape[1], size):
        batch = samples[:, start : start + size]
        fields = predict(model, encoding, batch[0], fold.hidden(batch[1]))
        pairs = np.flatnonzero((sample >= start) & (sample < start + size))
        cells = fold.city.cells[stations[pairs]]
        estimates[pairs] = fields.flatten(1).cpu().numpy()[sample[pairs] - start, cells]
        if on_progress is not None:
            on_progress(min(start + size, samples.shape[1]), samples.shape[1])
    return estimates_table(fold.city, times, stations, estimates)
