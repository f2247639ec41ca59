"""What the networks are to be measured against: plain inverse distance weighting."""

import pandas as pd

from data_prep.city import CityData
from data_prep.fill import idw
from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.evaluate import score_table
from tritonbn.experiment.protocol import windows_of


def score_idw(city: CityData, config: RunConfig) -> pd.DataFrame:
    """Score IDW, power 2, on the very pairs of time and station on which `evaluate` scores a run.

    A station is estimated from the readings of the others at the last time that the protocol shows:
    one step before the predicted time (``"paper"``) or that time itself (``"masked"``).

    Parameters
    ----------
    city : CityData
        Readings.
    config : RunConfig
        Only `protocol`, `timesteps` and `test_times` matter.

    Returns
    -------
    DataFrame, one row per station
        As that of `evaluate`.
    """
    windows = windows_of(city, config)
    times = windows.times("test", config.test_times)
    row, station = windows.scored(times)
    estimates = idw(city.values[times - windows.horizon], windows.distances)[row, station]
    return score_table(city, times[row], station, estimates)
