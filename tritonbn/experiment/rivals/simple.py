"""Rivals without a parameter to choose: means and the nearest station."""

import numpy as np

from tritonbn.experiment.dataset import FloatArray
from tritonbn.experiment.rivals.rival import Estimator, Rival
from tritonbn.experiment.rivals.training import Training


class OwnMean(Rival):
    """The mean of the station's own training readings."""

    name = "own mean"
    knows_station = True

    def _fit(self, training: Training, station: int) -> Estimator:
        mean = np.nanmean(training.readings[:, station], dtype=np.float64)
        return lambda readings: np.full(len(readings), mean)


class MeanOfOthers(Rival):
    """The mean of the visible stations at the newest time."""

    name = "mean of others"
    knows_station = False

    def _fit(self, training: Training, station: int) -> Estimator:
        return lambda readings: np.nanmean(readings[:, -1], axis=1, dtype=np.float64)


class Nearest(Rival):
    """The reading of the nearest station that has one at the newest time."""

    name = "nearest station"
    knows_station = False

    def _fit(self, training: Training, station: int) -> Estimator:
        order = np.argsort(training.distances[station], kind="stable")

        def estimate(readings: FloatArray) -> FloatArray:
            nearest_first = readings[:, -1, order]
            first = np.argmin(np.isnan(nearest_first), axis=1)
            return np.asarray(nearest_first[np.arange(len(readings)), first])

        return estimate
