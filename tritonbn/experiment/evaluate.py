"""The test: hide one station at a time and compare the estimate in its cell with its readings."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from data_prep.city import CityData, DataError
from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.dataset import BoolArray, FloatArray, IntArray, Scaler, Windows, to_grid
from tritonbn.experiment.protocol import windows_of
from tritonbn.models import CNN, ConvLSTM

MIN_READINGS = 24
"""Scored readings a station needs to count in `sp_scores`."""

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
        validation.
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


def evaluate(
    run: TrainedRun, city: CityData, *, on_progress: Progress | None = None
) -> pd.DataFrame:
    """Score a run on the test part of a city.

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
    DataFrame, one row per station
        ``station``, ``cell``, ``readings`` (number scored), ``mean_reading``, ``rmse`` and ``mae``,
        the last three in the unit of the readings; NaN where there are none.
    """
    windows = windows_of(city, run.config)
    times = windows.times("test", run.config.test_times)
    return score_stations(run.model, run.scaler, windows, times, on_progress=on_progress)


def sp_scores(table: pd.DataFrame, min_readings: int = MIN_READINGS) -> dict[str, float]:
    """Average the scores of the stations.

    Parameters
    ----------
    table : DataFrame
        From `evaluate` or `score_idw`.
    min_readings : int
        Scored readings that a station needs to count. Default 24.

    Returns
    -------
    dict
        ``sprmse``, ``spmae`` and ``mean_reading`` (unit of the readings), means over ``stations``
        stations.

    Raises
    ------
    DataError
        If no station has so many.
    """
    counted = table[table["readings"] >= min_readings]
    if counted.empty:
        raise DataError(
            f"no station has {min_readings} scored readings; the most is {table['readings'].max()}"
        )
    means = counted[["rmse", "mae", "mean_reading"]].mean()
    return {
        "sprmse": float(means["rmse"]),
        "spmae": float(means["mae"]),
        "mean_reading": float(means["mean_reading"]),
        "stations": len(counted),
    }


def predict_field(run: TrainedRun, city: CityData, time_index: int, hidden: int) -> FloatArray:
    """Estimate the whole city at one time with one station hidden.

    Parameters
    ----------
    run : TrainedRun
        From `train` or `load_run`.
    city : CityData
        The city it was trained on.
    time_index : int
        The predicted time, an index of `city.times` of which the times before it that the protocol
        shows to the model are at hand.
    hidden : int
        Row of the hidden station in `city.stations`.

    Returns
    -------
    array of float32, shape (H, W)
        In the unit of the readings; row 0 in the south.

    Raises
    ------
    DataError
        If the times before `time_index` are not at hand.
    """
    windows = windows_of(city, run.config)
    windows.require(time_index)
    hide = np.arange(len(city.stations)) == hidden
    field = predict(run.model, run.scaler, windows, np.array([time_index]), hide[None])
    return np.asarray(field[0, 0].cpu().numpy(), np.float32)


@torch.inference_mode()
def predict(
    model: ConvLSTM | CNN, scaler: Scaler, windows: Windows, times: IntArray, hidden: BoolArray
) -> Tensor:
    """Fields, (B, 1, H, W) in the unit of the readings, at `times` (B,) with `hidden` (B, S)."""
    inputs = torch.from_numpy(scaler.scale(windows.inputs(times, hidden)))
    grid = to_grid(inputs.to(model.head.weight.device), windows.city)
    field: Tensor = model.eval()(grid)
    return scaler.unscale(field)


def score_stations(
    model: ConvLSTM | CNN,
    scaler: Scaler,
    windows: Windows,
    times: IntArray,
    *,
    on_progress: Progress | None = None,
) -> pd.DataFrame:
    """Score a model at `times` with each station hidden in turn; the table of `evaluate`."""
    row, station = windows.scored(times)
    time = times[row]
    stations, cells = len(windows.city.stations), windows.city.cells
    size = CPU_BATCH if model.head.weight.device.type == "cpu" else GPU_BATCH
    estimates = []
    for start in range(0, len(time), size):
        batch = slice(start, start + size)
        hidden = station[batch, None] == np.arange(stations)
        fields = predict(model, scaler, windows, time[batch], hidden).flatten(1)
        estimates.append(fields[torch.arange(len(fields)), cells[station[batch]]].cpu().numpy())
        if on_progress is not None:
            on_progress(min(batch.stop, len(time)), len(time))
    return score_table(windows.city, time, station, np.concatenate(estimates))


def score_table(
    city: CityData, time: IntArray, station: IntArray, estimates: npt.NDArray[np.floating]
) -> pd.DataFrame:
    """Compare estimates, (P,), with the readings at pairs of time and station; see `evaluate`."""
    readings = city.values[time, station].astype(np.float64)
    error = estimates - readings

    def total(of: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.bincount(station, of, minlength=len(city.stations)).astype(np.float64)

    count = np.bincount(station, minlength=len(city.stations))
    with np.errstate(invalid="ignore"):  # 0 / 0 = NaN where a station has no scored reading
        return pd.DataFrame(
            {
                "station": city.stations["station"].to_numpy(),
                "cell": city.cells,
                "readings": count,
                "mean_reading": total(readings) / count,
                "rmse": np.sqrt(total(error**2) / count),
                "mae": total(np.abs(error)) / count,
            }
        )
