"""What a trained network estimates: the readings of hidden stations, and whole fields."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from data_prep.city import CityData, DataError
from tritonbn.experiment.networks.encoding import Encoding
from tritonbn.experiment.networks.trained import TrainedNetwork
from tritonbn.experiment.task.arrays import BoolArray, FloatArray, IntArray
from tritonbn.experiment.task.parts import Part
from tritonbn.experiment.task.scores import estimates_table
from tritonbn.models import InterpolationNetwork
from tritonbn.module import LocalBN

CPU_BATCH, GPU_BATCH = 16, 1024
"""Samples per pass: few enough for the caches of a CPU, enough to occupy a GPU."""

OnProgress = Callable[[int, int], None]
"""Called with the number of samples done and the number of all samples."""


def evaluate(
    network: TrainedNetwork,
    city: CityData,
    part: Part = "test",
    *,
    on_progress: OnProgress | None = None,
) -> pd.DataFrame:
    """Estimate the readings of stations while they are hidden, or held out.

    Parameters
    ----------
    network : TrainedNetwork
    city : CityData
        The city it was trained on.
    part : {"validation", "test"}
        The part of the estimated times. Default ``"test"``.
    on_progress : callable, optional
        Called after each batch with the number of samples done and of all samples.

    Returns
    -------
    DataFrame, one row per scored reading
        The table of `tritonbn.experiment.task.scores`.
    """
    encoding = network.encoding(city)
    asked, count = encoding.fold.tested, network.config.test_times
    return estimate(network.model, encoding, part, asked, count, on_progress)


def predict_fields(
    network: TrainedNetwork, city: CityData, times: IntArray, hidden: int | None
) -> FloatArray:
    """Estimate the whole city at some times with one station hidden, or none.

    The cell of a visible station that has a reading at the estimated time holds the reading itself:
    the network learned from hidden stations, and its output in such a cell has no meaning.

    Parameters
    ----------
    network : TrainedNetwork
    city : CityData
        The city it was trained on.
    times : array of int64, shape (B,)
        The predicted times, indices of `city.times`.
    hidden : int or None
        Row of the hidden station in `city.stations`.

    Returns
    -------
    array of float32, shape (B, H, W)
        In the unit of the readings; row 0 in the south. NaN where only the hidden station has a
        reading at the end of the window.

    Raises
    ------
    DataError
        If there is no such time, or no reading at the end of its window; or if there is a single
        time for a network that uses the statistics of the batch.
    """
    if uses_batch_statistics(network.model) and len(times) < 2:
        raise DataError(
            f"{network.config.name} uses the statistics of the batch, which need two times or "
            "more; got one"
        )
    encoding = network.encoding(city)
    for time in times:
        encoding.windows.require(int(time))
    hide = encoding.fold.hidden(np.full(len(times), -1 if hidden is None else hidden))
    fields = np.empty((len(times), *city.grid), np.float32)
    for rows in batches(network.model, np.zeros(len(times)), encoding.device):
        predicted = predict(network.model, encoding, times[rows], hide[rows])  # (B, 1, H, W)
        fields[rows] = predicted[:, 0].cpu().numpy()
    last = encoding.windows.readings(times)[:, -1]
    fields[(np.isnan(last) | hide).all(axis=1)] = np.nan
    if encoding.windows.horizon == 0:
        known = encoding.windows.city
        visible = known.observed[times] & ~hide
        flat = fields.reshape(len(times), -1)
        flat[:, known.cells] = np.where(visible, known.values[times], flat[:, known.cells])
    return fields


def predict_field(
    network: TrainedNetwork, city: CityData, time: int, hidden: int | None
) -> FloatArray:
    """Estimate one field, (H, W), as `predict_fields` does."""
    field: FloatArray = predict_fields(network, city, np.array([time]), hidden)[0]
    return field


def uses_batch_statistics(model: InterpolationNetwork) -> bool:
    """Whether the estimates of a network depend on the batch that they are made in."""
    return isinstance(model.norm, LocalBN) and model.norm.running_mean is None


def batches(
    model: InterpolationNetwork, hidden: npt.NDArray[Any], device: torch.device
) -> Iterator[IntArray]:
    """Yield the rows of each batch; its samples hide the same station and are spread over time.

    Otherwise a network that uses the statistics of the batch could infer the hidden readings from
    the other samples. The batches of such a network have the same size on every device, because its
    estimates depend on the size, and a single sample is repeated.

    Parameters
    ----------
    model : InterpolationNetwork
    hidden : array, shape (B,)
        The station that each sample hides.
    device : torch.device
    """
    of_batch = uses_batch_statistics(model)
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
    """Return fields, (B, 1, H, W) in the unit of the readings, at `times` (B,).

    `hidden`, (B, S), tells which stations of the fold are hidden.
    """
    x, scale = encoding.encode(times, hidden)
    field: Tensor = model.eval()(x)
    return scale.unscale(field)


def estimate(
    model: InterpolationNetwork,
    encoding: Encoding,
    part: Part,
    asked: BoolArray,
    count: int | None = None,
    on_progress: OnProgress | None = None,
) -> pd.DataFrame:
    """Estimate the pairs of `Fold.scored`, and return the table of `evaluate`."""
    fold = encoding.fold
    times, stations = fold.scored(part, asked, count)
    hidden = np.where(fold.held_out[stations], -1, stations)  # one field for all held-out ones
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
