"""The test of the rivals: the readings and the masks on which the networks are tested."""

import numpy as np
import pandas as pd

from data_prep.city import CityData
from tritonbn.experiment.dataset import DEFAULT_PARTS, Part, Windows
from tritonbn.experiment.folds import TESTED_PARTS, Fold
from tritonbn.experiment.protocol import PROTOCOLS
from tritonbn.experiment.rivals import RIVALS, Rival, Training
from tritonbn.experiment.scores import estimates_table, joined

WINDOW = 6
"""Times that a rival may look at."""


def rivals_of(protocol: str) -> list[str]:
    """Return the rivals that a protocol allows: those that know a station need its readings."""
    return [
        name
        for name, rival in RIVALS.items()
        if PROTOCOLS[protocol].folds == 1 or not rival.knows_station
    ]


def estimate_by_rival(
    name: str,
    city: CityData,
    protocol: str,
    test_times: int | None = None,
    parts: str = DEFAULT_PARTS,
) -> dict[Part, pd.DataFrame]:
    """Fit a rival on the training part of a city, in each fold anew, and test it.

    Parameters
    ----------
    name : str
        One of `rivals_of`.
    city : CityData
    protocol : {"paper", "masked", "unseen"}
    test_times : int, optional
        How many times of each part, evenly spaced, are scored. Default all.
    parts : str
        How the times are cut, a key of `PARTS`. Default ``"6:2:2"``.

    Returns
    -------
    dict of DataFrame, one row per scored reading
        The table of `tritonbn.experiment.scores` for each of `TESTED_PARTS`.
    """
    tables = []
    for number in range(PROTOCOLS[protocol].folds):
        fold = Fold(city, protocol, number, parts=parts)
        train = fold.windows.parts["train"]
        known = np.where(fold.absent, np.float32(np.nan), city.values)
        training = Training(
            readings=known[train],
            hours=(city.times[train] - city.times[0]) / np.timedelta64(1, "h"),
            latitude=city.stations["latitude"].to_numpy(np.float64),
            longitude=city.stations["longitude"].to_numpy(np.float64),
            step=city.step / np.timedelta64(1, "h"),
            horizon=fold.windows.horizon,
        )
        rival = RIVALS[name](training)
        tables.append({part: _estimate(rival, fold, part, test_times) for part in TESTED_PARTS})
    return joined(tables)


def _estimate(rival: Rival, fold: Fold, part: Part, count: int | None) -> pd.DataFrame:
    windows = Windows(fold.city, WINDOW, fold.windows.horizon)
    times, stations = fold.scored(part, fold.tested, count)
    estimates = np.empty(len(times), np.float32)
    for station in np.unique(stations):
        asked = stations == station
        readings = windows.readings(times[asked])
        readings[..., fold.absent] = np.nan
        readings[..., station] = np.nan
        estimates[asked] = rival.estimate(readings, int(station))
    return estimates_table(fold.city, times, stations, estimates)
