"""Scores of estimates: for each station, for the city, and for groups of readings.

Estimates are always one table with one row per scored reading: `time`, `station` (name), `reading`
and `estimate`, the last two in the unit of the city. Only measured readings are scored, never
readings that were filled in.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.city import CityData, DataError
from tritonbn.experiment.task.arrays import IntArray
from tritonbn.experiment.task.parts import Part

BOOTSTRAP_SAMPLES = 10_000
MIN_BOOTSTRAP_STATIONS = 6
"""With fewer stations a bootstrap interval means little, and none is given."""

MIN_READINGS = 24
"""Scored readings that a station needs to be included in `city_scores`."""


def estimates_table(
    city: CityData, times: IntArray, stations: IntArray, estimates: npt.NDArray[np.floating]
) -> pd.DataFrame:
    """Return the table of estimates, (P,), and readings for pairs of time and station."""
    return pd.DataFrame(
        {
            "time": city.times[times],
            "station": city.stations["station"].to_numpy()[stations],
            "reading": city.values[times, stations],
            "estimate": estimates.astype(np.float32),
        }
    )


def station_scores(estimates: pd.DataFrame, city: CityData) -> pd.DataFrame:
    """Score each station over time.

    Parameters
    ----------
    estimates : DataFrame
        Of one run.
    city : CityData
        Gives the names of the stations and their order.

    Returns
    -------
    DataFrame, one row per station
        ``station``, ``cell``, ``readings`` (number scored), ``mean_reading``, ``rmse``, ``mae`` and
        ``bias`` (mean of estimate minus reading), the last four in the unit of the readings; NaN
        where there are none.
    """
    error = _error(estimates)
    columns = pd.DataFrame(
        {
            "mean_reading": estimates["reading"].astype(np.float64),
            "rmse": error**2,
            "mae": error.abs(),
            "bias": error,
        }
    )
    groups = columns.groupby(estimates["station"])
    table = groups.mean()
    table["rmse"] **= 0.5
    table.insert(0, "readings", groups.size())
    names = city.stations["station"]
    table = table.reindex(names).reset_index()
    table["readings"] = table["readings"].fillna(0).astype(np.int64)
    table.insert(1, "cell", city.cells)
    return table


def city_scores(
    estimates: pd.DataFrame, stations: pd.DataFrame, min_readings: int = MIN_READINGS
) -> dict[str, float]:
    """Average the scores of the stations, and score all readings together.

    Parameters
    ----------
    estimates : DataFrame
        Of one run.
    stations : DataFrame
        From `station_scores`.
    min_readings : int
        Scored readings that a station needs to be included. Default 24.

    Returns
    -------
    dict
        In the unit of the readings: ``sprmse``, ``spmae`` and ``mean_reading``, means over the
        ``stations`` included stations; ``time_rmse``, the RMSE over the stations at each time,
        averaged over time; ``bias``, the mean of estimate minus reading. ``r2``, the share of the
        variance of all readings that the estimates explain; NaN if all readings are equal.

    Raises
    ------
    DataError
        If no station has that many scored readings.
    """
    counted = stations[stations["readings"] >= min_readings]
    if counted.empty:
        most = stations["readings"].max()
        raise DataError(
            f"a score needs a station with {min_readings} scored readings; the most that a station "
            f"has is {most}"
        )
    means = counted[["rmse", "mae", "mean_reading"]].mean()
    error = _error(estimates)
    readings = estimates["reading"].astype(np.float64)
    squares = (error**2).groupby(estimates["time"]).mean()
    return {
        "sprmse": float(means["rmse"]),
        "spmae": float(means["mae"]),
        "mean_reading": float(means["mean_reading"]),
        "stations": len(counted),
        "time_rmse": float(np.sqrt(squares).mean()),
        "bias": float(error.mean()),
        "r2": _share_explained(error, readings - readings.mean()),
    }


def city_sprmse(estimates: pd.DataFrame, city: CityData, min_readings: int = MIN_READINGS) -> float:
    """Return the spRMSE of `city_scores`."""
    return city_scores(estimates, station_scores(estimates, city), min_readings)["sprmse"]


def joined(folds: Sequence[Mapping[Part, pd.DataFrame]]) -> dict[Part, pd.DataFrame]:
    """Concatenate the estimates of all folds of a protocol, for each part."""
    return {
        part: pd.concat([tables[part] for tables in folds], ignore_index=True) for part in folds[0]
    }


def rmse_by(estimates: pd.DataFrame, group: pd.Series) -> pd.Series:
    """Return the RMSE of all readings in each group, such as an hour of the day.

    Parameters
    ----------
    estimates : DataFrame, P rows
    group : Series, P rows
        The group of each reading; see `hours`, `concentrations` and `classes`.
    """
    squares = (_error(estimates) ** 2).groupby(group, observed=True).mean()
    return pd.Series(np.sqrt(squares.to_numpy()), squares.index, name="rmse")


def hours(estimates: pd.DataFrame) -> pd.Series:
    """Return the hour of the day of each estimate, 0 to 23, in the time zone of the data."""
    hour: pd.Series = estimates["time"].dt.hour.rename("hour")
    return hour


def concentrations(estimates: pd.DataFrame) -> pd.Series:
    """Return the quintile of each reading, as an interval of concentrations."""
    return pd.qcut(estimates["reading"], 5, duplicates="drop").rename("concentration")


def classes(estimates: pd.DataFrame, city: CityData) -> pd.Series:
    """Return the class of each estimate's station, such as "traffic", or "unknown"."""
    if "class" not in city.stations:
        return pd.Series("unknown", estimates.index, name="class")
    by_name = city.stations.set_index("station")["class"].to_dict()
    named = [by_name[station] for station in estimates["station"]]
    return pd.Series(named, estimates.index, name="class").fillna("unknown")


def skill(estimates: pd.DataFrame, reference: pd.DataFrame) -> float:
    """Return 1 - MSE / MSE of the reference on the same readings.

    1 is perfect; 0 is as good as the reference; NaN if the reference has no error.
    """
    keys = ["time", "station"]
    both = estimates.merge(reference, on=keys, suffixes=("", "_reference"), validate="one_to_one")
    if len(both) != len(estimates):
        raise DataError("the reference does not contain the same readings as the estimates")
    of_reference = _error(both.assign(estimate=both["estimate_reference"]))
    return _share_explained(_error(both), of_reference)


def mean_difference(differences: npt.NDArray[np.floating]) -> tuple[float, float, float]:
    """Compare two models station by station and seed by seed.

    Parameters
    ----------
    differences : array of float, shape (K, S)
        Differences of the RMSE, for K seeds at S stations.

    Returns
    -------
    mean, low, high : float
        The mean and its 95 % bootstrap interval. Seeds and stations are both drawn with
        replacement, 10,000 times (the pigeonhole bootstrap; A. Owen, 2007,
        https://doi.org/10.1214/07-AOAS122). NaN for fewer than 6 stations.
    """
    seeds, stations = differences.shape
    mean = float(differences.mean())
    if stations < MIN_BOOTSTRAP_STATIONS:
        return mean, float("nan"), float("nan")
    rng = np.random.default_rng(0)
    of_seeds = rng.multinomial(seeds, np.full(seeds, 1 / seeds), BOOTSTRAP_SAMPLES) / seeds
    of_stations = (
        rng.multinomial(stations, np.full(stations, 1 / stations), BOOTSTRAP_SAMPLES) / stations
    )
    means = ((of_seeds @ differences) * of_stations).sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return mean, float(low), float(high)


def _share_explained(error: pd.Series, reference: pd.Series) -> float:
    of_reference = float((reference**2).sum())
    return 1 - float((error**2).sum()) / of_reference if of_reference else float("nan")


def _error(estimates: pd.DataFrame) -> pd.Series:
    error: pd.Series = estimates["estimate"].astype(np.float64) - estimates["reading"]
    return error
