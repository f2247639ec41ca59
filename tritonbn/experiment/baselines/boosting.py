"""Gradient boosting on features of the surroundings of a station, by scikit-learn."""

import numpy as np

from data_prep.city import DataError
from data_prep.fill import idw
from tritonbn.experiment.baselines.baseline import Baseline, Estimator
from tritonbn.experiment.baselines.plane import east_north_km
from tritonbn.experiment.baselines.training import Training
from tritonbn.experiment.task.arrays import DoubleArray, FloatArray, IntArray

NEIGHBOURS = 6
MAX_SAMPLES = 20_000
"""Training readings; if there are more, this many are drawn at random."""


def features(readings: FloatArray, stations: IntArray, training: Training) -> DoubleArray:
    """Describe the surroundings of a station at one time, without its own reading.

    Parameters
    ----------
    readings : array of float32, shape (P, S)
        One time each, in ug/m3; NaN = missing, and some other station has one.
    stations : array of int64, shape (P,)
        The row of the described station.
    training : Training
        Gives the positions of the stations.

    Returns
    -------
    array of float64, shape (P, 3 + 4 * `NEIGHBOURS`)
        The IDW estimate, the mean of the visible readings minus this estimate, and their standard
        deviation; then for each of the nearest visible stations its reading minus the estimate, its
        distance, and its offset to the east and to the north in km. NaN where there are fewer
        stations.
    """
    row = np.arange(len(stations))
    visible = readings.copy()
    visible[row, stations] = np.nan
    distances = training.distances
    estimate = idw(visible, distances)[row, stations].astype(np.float64)
    deviation = visible - estimate[:, None]

    far = np.where(np.isnan(visible), np.inf, distances[stations])
    nearest = np.argsort(far, axis=1, kind="stable")[:, :NEIGHBOURS]
    places = east_north_km(training.latitude, training.longitude)
    way = places[nearest] - places[stations, None]
    reading = np.take_along_axis(deviation, nearest, axis=1)
    known = ~np.isnan(reading)
    distance, east, north = (
        np.where(known, of, np.nan)
        for of in (distances[stations[:, None], nearest], way[..., 0], way[..., 1])
    )
    spread = np.nanstd(visible, axis=1, dtype=np.float64)
    return np.column_stack(
        [estimate, np.nanmean(deviation, axis=1), spread, reading, distance, east, north]
    )


class Boosting(Baseline):
    """IDW plus its error as predicted by boosted trees.

    The trees are fitted to the errors of IDW at the other stations, each hidden in turn.
    """

    title = "gradient boosting"
    knows_station = False
    requires = "sklearn"

    def _fit(self, training: Training, station: int) -> Estimator:
        from sklearn.ensemble import HistGradientBoostingRegressor

        seen, estimated = training.pairs()
        known = ~np.isnan(training.readings)
        others_known = known[seen].sum(axis=1, keepdims=True) - known[seen] > 0
        pair, target = np.nonzero(known[estimated] & others_known)
        if len(pair) == 0:
            raise DataError(f"{self.title} needs two other stations with readings in training")
        if len(pair) > MAX_SAMPLES:
            drawn = np.random.default_rng(0).choice(len(pair), MAX_SAMPLES, replace=False)
            pair, target = pair[drawn], target[drawn]
        x = features(training.readings[seen[pair]], target, training)
        y = training.readings[estimated[pair], target].astype(np.float64)
        used = ~np.isnan(x).all(axis=0)  # scikit-learn refuses columns of NaN
        model = HistGradientBoostingRegressor(
            learning_rate=0.05,
            max_leaf_nodes=8,
            min_samples_leaf=100,
            early_stopping=False,
            random_state=0,
        ).fit(x[:, used], y - x[:, 0])

        def estimate(readings: FloatArray) -> DoubleArray:
            x = features(readings[:, -1], np.full(len(readings), station), training)
            return np.asarray(x[:, 0] + model.predict(x[:, used]), np.float64)

        return estimate
