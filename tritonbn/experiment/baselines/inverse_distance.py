"""Inverse distance weighting (IDW) with a fitted power, plain and with an offset."""

import numpy as np

from data_prep.city import DataError
from data_prep.fill import idw
from tritonbn.experiment.baselines.baseline import Baseline, Estimator
from tritonbn.experiment.baselines.training import Training
from tritonbn.experiment.task.arrays import DoubleArray, FloatArray

POWERS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)


def residuals(training: Training, power: float) -> DoubleArray:
    """Return reading minus IDW estimate, (P, S), with each station hidden; NaN = no estimate."""
    seen, estimated = training.pairs()
    estimates = idw(training.readings[seen], training.distances, power)
    return training.readings[estimated].astype(np.float64) - estimates


def best_power(training: Training) -> float:
    """Choose the power with the lowest RMSE of hidden stations, averaged over the stations.

    Raises
    ------
    DataError
        If there is no reading that another station could be estimated from.
    """
    scores = []
    for power in POWERS:
        square = residuals(training, power) ** 2
        scored = ~np.isnan(square)
        count = scored.sum(axis=0)
        if not count.any():
            raise DataError(
                "IDW needs two other stations with simultaneous readings in the training part"
            )
        mean_square = np.where(scored, square, 0.0).sum(axis=0)[count > 0] / count[count > 0]
        scores.append(np.sqrt(mean_square).mean())
    return POWERS[int(np.argmin(scores))]


def _estimator(training: Training, station: int, power: float) -> Estimator:
    distances = training.distances

    def estimate(readings: FloatArray) -> FloatArray:
        return idw(readings[:, -1], distances, power)[:, station]

    return estimate


class InverseDistance(Baseline):
    """Inverse distance weighting of the newest readings."""

    title = "IDW"
    knows_station = False

    def _fit(self, training: Training, station: int) -> Estimator:
        return _estimator(training, station, best_power(training))


class OffsetInverseDistance(Baseline):
    """IDW plus the mean difference between the station's training readings and IDW."""

    title = "IDW + offset"
    knows_station = True

    def _fit(self, training: Training, station: int) -> Estimator:
        power = best_power(training)
        plain = _estimator(training, station, power)
        residual = residuals(training, power)[:, station]
        if np.isnan(residual).all():
            raise DataError(
                f"{self.title} needs simultaneous readings of the station and another one in "
                "the training part"
            )
        offset = float(np.nanmean(residual))
        return lambda readings: plain(readings) + offset
