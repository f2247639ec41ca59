"""Inverse distance weighting with the power that fits a city, plain and with an offset."""

import numpy as np

from data_prep.city import DataError
from data_prep.fill import idw
from tritonbn.experiment.dataset import FloatArray
from tritonbn.experiment.rivals.rival import Estimator, Rival
from tritonbn.experiment.rivals.training import DoubleArray, Training

POWERS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)


def residuals(training: Training, power: float) -> DoubleArray:
    """Return reading minus IDW estimate where there are both, (P, S), with each station hidden."""
    seen, estimated = training.pairs()
    estimates = idw(training.readings[seen], training.distances, power)
    return training.readings[estimated].astype(np.float64) - estimates


def best_power(training: Training) -> float:
    """Choose from `POWERS` by the RMSE of each station while it is hidden, averaged over them.

    Raises
    ------
    DataError
        If no reading has another to be estimated from.
    """
    scores = []
    for power in POWERS:
        square = residuals(training, power) ** 2
        scored = ~np.isnan(square)
        count = scored.sum(axis=0)
        if not count.any():
            raise DataError(
                "IDW needs two other stations with readings at one time of the training part"
            )
        mean_square = np.where(scored, square, 0.0).sum(axis=0)[count > 0] / count[count > 0]
        scores.append(np.sqrt(mean_square).mean())
    return POWERS[int(np.argmin(scores))]


def _estimator(training: Training, station: int, power: float) -> Estimator:
    distances = training.distances

    def estimate(readings: FloatArray) -> FloatArray:
        return idw(readings[:, -1], distances, power)[:, station]

    return estimate


class InverseDistance(Rival):
    """IDW from the newest readings."""

    name = "IDW"
    knows_station = False

    def _fit(self, training: Training, station: int) -> Estimator:
        return _estimator(training, station, best_power(training))


class OffsetInverseDistance(Rival):
    """IDW plus the mean by which the station's training readings lay above it."""

    name = "IDW + offset"
    knows_station = True

    def _fit(self, training: Training, station: int) -> Estimator:
        power = best_power(training)
        plain = _estimator(training, station, power)
        residual = residuals(training, power)[:, station]
        if np.isnan(residual).all():
            raise DataError(
                f"{self.name} needs a time at which the estimated station and another have readings"
            )
        offset = float(np.nanmean(residual))
        return lambda readings: plain(readings) + offset
