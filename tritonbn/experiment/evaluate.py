"""The test: estimate the readings of stations that a model does not see."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from data_prep.city import CityData, DataError
from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.dataset import (
    BoolArray,
    FloatArray,
    IntArray,
    Part,
    Scaler,
)
from tritonbn.experiment.encoding import Encoding
from tritonbn.experiment.folds import Fold
from tritonbn.experiment.recipe import recipe_of
from tritonbn.experiment.scores import estimates_table
from tritonbn.models import InterpolationNetwork
from tritonbn.module import LocalBN

CPU_BATCH, GPU_BATCH = 16, 1024
"""Samples per pass: what stays in the caches of the one and fills the other."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class TrainedRun:
    """What training leaves.

    Parameters
    ----------
    model : InterpolationNetwork
        With the weights of the best validation.
    config : RunConfig
        How it was trained.
    scaler : Scaler
        From ug/m3 to what the model reads and writes.
    history : list of dict
        ``step``, ``loss`` (mean since the one before) and ``stopping_sprmse`` (ug/m3, of stations
        that training knows) of every validation; that of step 0, which only wide networks have, is
        without a loss.
    steps : int
        Steps taken; fewer than `config.steps` after early stopping.
    seconds : float
        Time spent in training, summed over resumptions.
    """

    model: InterpolationNetwork
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
        fold = Fold.of(city, self.config)
        return recipe_of(self.config).encoding(fold, self.scaler, self.device)


def evaluate(
    run: TrainedRun,
    city: CityData,
    part: Part = "test",
    *,
    on_progress: Progress | None = None,
) -> pd.DataFrame:
    """Test a run.

    Parameters
    ----------
    run : TrainedRun
        From `train` or `load_run`.
    city : CityData
        The city it was trained on.
    part : {"validation", "test"}
        Where the estimated times lie. Default ``"test"``.
    on_progress : callable, optional
        Called with the number of estimates made and to be made.

    Returns
    -------
    DataFrame, one row per scored reading
        The table of `tritonbn.experiment.scores`.
    """
    encoding = run.encoding(city)
    asked = encoding.fold.tested
    return estimate(run.model, encoding, part, asked, run.config.test_times, on_progress)


def predict_fields(
    run: TrainedRun, city: CityData, times: IntArray, hidden: int | None
) -> FloatArray:
    """Estimate the whole city at some times with one station hidden, or none.

    Where a visible station has a reading at the time that is estimated, its cell has the reading:
    what a network makes of such a cell is of no use, as it learns from hidden stations.

    Parameters
    ----------
    run : TrainedRun
        From `train` or `load_run`.
    city : CityData
        The city it was trained on.
    times : array of int64, shape (B,)
        The predicted times, indices of `city.times`.
    hidden : int or None
        Row of the hidden station in `city.stations`.

    Returns
    -------
    array of float32, shape (B, H, W)
        In the unit of the readings; row 0 in the south.

    Raises
    ------
    DataError
        If there is no such time, or no reading at the end of its window; or a single one for a
        network that takes the statistics of the batch.
    """
    if takes_statistics_of_batch(run.model) and len(times) < 2:
        raise DataError(f"{run.config.name} takes the statistics of several times, got one")
    encoding = run.encoding(city)
    for time in times:
        encoding.windows.require(int(time))
    hide = encoding.fold.hidden(np.full(len(times), -1 if hidden is None else hidden))
    fields = np.empty((len(times), *city.grid), np.float32)
    for rows in batches(run.model, np.zeros(len(times)), encoding.device):
        fields[rows] = predict(run.model, encoding, times[rows], hide[rows])[:, 0].cpu().numpy()
    if encoding.windows.horizon == 0:
        known = encoding.windows.city
        visible = known.observed[times] & ~hide
        flat = fields.reshape(len(times), -1)
        flat[:, known.cells] = np.where(visible, known.values[times], flat[:, known.cells])
    return fields


def predict_field(run: TrainedRun, city: CityData, time: int, hidden: int | None) -> FloatArray:
    """Estimate one field, (H, W), as `predict_fields` does."""
    field: FloatArray = predict_fields(run, city, np.array([time]), hidden)[0]
    return field


def takes_statistics_of_batch(model: InterpolationNetwork) -> bool:
    """Whether the estimates of a network depend on the batch that they are made in."""
    return isinstance(model.norm, LocalBN) and model.norm.running_mean is None


def batches(
    model: InterpolationNetwork, hidden: npt.NDArray[Any], device: torch.device
) -> Iterator[IntArray]:
    """Yield the rows of each batch: those that hide one station, spread over time.

    So a network that takes the statistics of the batch does not find in them what is hidden. Its
    batches have one size on every device, as the size decides what it estimates, and a single
    sample is there twice.

    Parameters
    ----------
    model : InterpolationNetwork
    hidden : array, shape (B,)
        Which station each sample hides.
    device : torch.device
    """
    of_batch = takes_statistics_of_batch(model)
    size = CPU_BATCH if of_batch or device.type == "cpu" else GPU_BATCH
    for station in np.unique(hidden):
        rows = np.flatnonzero(hidden == station)
        if of_batch and len(rows) == 1:
            rows = rows.repeat(2)
        count = math.ceil(len(rows) / size)
        yield from (rows[start::count] for start in range(count))


@torch.inference_mode()
def predict(
    model: InterpolationNetwork, encoding: Encoding, times: IntArray, hidden: BoolArray
) -> Tensor:
    """Fields, (B, 1, H, W) in the unit of the readings, at `times` (B,) with `hidden` (B, S)."""
    x, scale = encoding.encode(times, hidden)
    field: Tensor = model.eval()(x)
    return scale.unscale(field)


def estimate(
    model: InterpolationNetwork,
    encoding: Encoding,
    part: Part,
    asked: BoolArray,
    count: int | None = None,
    on_progress: Progress | None = None,
) -> pd.DataFrame:
    """Estimate what `Fold.scored` names, and return the table of `evaluate`."""
    fold = encoding.fold
    times, stations = fold.scored(part, asked, count)
    hidden = np.where(fold.absent[stations], -1, stations)  # one field tells of all absent ones
    samples, sample = np.unique(np.stack([times, hidden]), axis=1, return_inverse=True)
    order = np.argsort(sample, kind="stable")
    first = np.searchsorted(sample[order], np.arange(samples.shape[1] + 1))
    estimates = np.empty(len(times), np.float32)
    done = 0
    for batch in batches(model, samples[1], encoding.device):
        fields = predict(model, encoding, samples[0, batch], fold.hidden(samples[1, batch]))
        flat = fields.flatten(1).cpu().numpy()
        for field, k in zip(flat, batch, strict=True):
            pairs = order[first[k] : first[k + 1]]
            estimates[pairs] = field[fold.city.cells[stations[pairs]]]
        done += len(np.unique(batch))
        if on_progress is not None:
            on_progress(done, samples.shape[1])
    return estimates_table(fold.city, times, stations, estimates)
