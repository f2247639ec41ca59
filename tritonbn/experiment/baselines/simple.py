"""Baselines without parameters: means, and the nearest station."""

import numpy as np

from tritonbn.experiment.baselines.baseline import Baseline, Estimator
from tritonbn.experiment.baselines.training import Training
from tritonbn.experiment.task.arrays import FloatArray


class OwnMean(Baseline):
    """The mean of the station's own training readings."""

    title = "own mean"
    knows_station = True

    def _fit(self, training: Training, station: int) -> Estimator:
        mean = np.nanmean(training.readings[:, station], dtype=np.float64)
        return lambda readings: np.full(len(readings), mean)


class MeanOfOthers(Baseline):
    """The mean of the visible stations at the newest time."""

    title = "mean of others"
    knows_station = False

    def _fit(self, training: Training, station: int) -> Estimator:
        return lambda readings: np.nanmean(readings[:, -1], axis=1, dtype=np.float64)


class Nearest(Baseline):
    """The reading of the nearest station that has one at the newest time."""

    title = "nearest station"
    knows_station = False

    def _fit(self, training: Training, station: int) -> Estimator:
        order = np.argsort(training.distances[station], kind="stable")

        def estimate(readings: FloatArray) -> FloatArray:
            nearest_first = readings[:, -1, order]
            first = np.argmin(np.isnan(nearest_first), axis=1)
            return np.asarray(nearest_first[np.arange(len(readings)), first])

        return estimate
