"""The test of the baselines, on the same readings and with the same masks as the networks."""

from time import perf_counter

import numpy as np
import pandas as pd

from data_prep.city import CityData, DataError
from tritonbn.experiment.baselines.baseline import Baseline
from tritonbn.experiment.baselines.registry import BASELINES
from tritonbn.experiment.baselines.training import Training
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.parts import DEFAULT_PARTS, TESTED_PARTS, Part
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.experiment.task.record import NO_NORM, Record
from tritonbn.experiment.task.scores import estimates_table, joined
from tritonbn.experiment.task.windows import Windows

WINDOW = 6
"""Consecutive times that a baseline may use."""


def baselines_of(protocol: str) -> list[str]:
    """Return the names of the baselines that a protocol allows.

    Where stations are held out, baselines that are fitted to the estimated station are left out.
    """
    held_out = PROTOCOLS[protocol].folds > 1
    return [name for name, kind in BASELINES.items() if not (held_out and kind.knows_station)]


def evaluate_baseline(
    name: str,
    city: CityData,
    protocol: str,
    test_times: int | None = None,
    parts: str = DEFAULT_PARTS,
) -> Record:
    """Fit a baseline to the training part of a city, in each fold anew, and test it.

    Parameters
    ----------
    name : str
        One of `baselines_of`.
    city : CityData
    protocol : str
        A key of `PROTOCOLS`.
    test_times : int, optional
        How many times of each part, evenly spaced, are scored. Default: all.
    parts : str
        How the times are divided, a key of `PARTS`. Default ``"6:2:2"``.

    Returns
    -------
    Record

    Raises
    ------
    DataError
        If there are too few training readings to fit it.
    ImportError
        If a library that it needs is not installed.
    """
    started = perf_counter()
    tables = []
    for number in range(PROTOCOLS[protocol].folds):
        fold = Fold(city, protocol, number, parts=parts)
        train = fold.windows.parts["train"]
        known = np.where(fold.held_out, np.float32(np.nan), city.values)
        training = Training(
            readings=known[train],
            hours=(city.times[train] - city.times[0]) / np.timedelta64(1, "h"),
            latitude=city.stations["latitude"].to_numpy(np.float64),
            longitude=city.stations["longitude"].to_numpy(np.float64),
            step=city.step / np.timedelta64(1, "h"),
            horizon=fold.windows.horizon,
        )
        baseline = BASELINES[name](training)
        tables.append({part: _estimate(baseline, fold, part, test_times) for part in TESTED_PARTS})
    estimates = joined(tables)
    return Record(protocol, name, NO_NORM, 0, estimates, seconds=perf_counter() - started)


def _estimate(baseline: Baseline, fold: Fold, part: Part, count: int | None) -> pd.DataFrame:
    windows = Windows(fold.city, WINDOW, fold.windows.horizon)
    times, stations = fold.scored(part, fold.tested, count)
    estimates = np.empty(len(times), np.float32)
    for station in np.unique(stations):
        asked = stations == station
        readings = windows.readings(times[asked])
        readings[..., fold.held_out] = np.nan
        readings[..., station] = np.nan
        try:
            estimates[asked] = baseline.estimate(readings, int(station))
        except DataError as error:
            name = fold.city.stations["station"].iloc[station]
            raise DataError(f"station {name}: {error}") from error
    return estimates_table(fold.city, times, stations, estimates)
