"""A Gaussian process over space and time, by scikit-learn."""

import warnings
from typing import Any

import numpy as np

from data_prep.city import DataError
from tritonbn.experiment.baselines.baseline import Baseline, Estimator
from tritonbn.experiment.baselines.patterns import by_pattern
from tritonbn.experiment.baselines.plane import east_north_km
from tritonbn.experiment.baselines.training import Training
from tritonbn.experiment.task.arrays import BoolArray, DoubleArray, FloatArray

POINTS = 300
"""Readings to which the kernel is fitted; the cost grows with their cube."""

TIMES = 3
"""Consecutive times to which the kernel is fitted, and which an estimate uses at most."""


def anomalies(readings: FloatArray) -> DoubleArray:
    """Subtract from readings, (..., S), the mean of all readings at the same time."""
    values = readings.astype(np.float64)
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=-1, keepdims=True)
    return np.asarray(values - total / np.maximum(known.sum(axis=-1, keepdims=True), 1), np.float64)


def places_and_times(training: Training, hours: DoubleArray) -> DoubleArray:
    """Return (km east, km north, hour) of every station at every hour, (W * S, 3)."""
    places = east_north_km(training.latitude, training.longitude)
    W, S = len(hours), len(places)
    return np.column_stack([np.tile(places, (W, 1)), np.repeat(hours, S)])


def fit_kernel(training: Training) -> Any:
    """Fit variance, length scales in space and time, and noise to the anomalies.

    The points are groups of consecutive times, evenly spaced over the training part, so that both
    near and distant times are among them.

    Returns
    -------
    sklearn.gaussian_process.kernels.Kernel
        Of points (km east, km north, hour); covariances in (ug/m3)^2.

    Raises
    ------
    DataError
        If there are no two stations with simultaneous readings.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    usable = np.flatnonzero((~np.isnan(training.readings)).sum(axis=1) > 1)
    if len(usable) == 0:
        raise DataError(
            "the Gaussian process needs two other stations with simultaneous readings in the "
            "training part"
        )
    per_time = (~np.isnan(training.readings[usable])).sum(axis=1).mean()
    runs = max(1, int(POINTS / per_time / TIMES))
    starts = np.linspace(0, max(0, len(usable) - TIMES), runs).astype(np.int64)
    rows = usable[np.unique((starts[:, None] + np.arange(TIMES)).clip(max=len(usable) - 1))]
    targets = anomalies(training.readings[rows]).ravel()
    known = ~np.isnan(targets)
    points = places_and_times(training, training.hours[rows])[known]
    variance = max(float(targets[known].var()), 1e-6)
    extent = float(training.distances.max())
    scale = (variance * 1e-3, variance * 1e2)
    kernel = ConstantKernel(variance / 2, scale) * Matern(
        length_scale=(extent / 4, extent / 4, 4 * training.step),
        length_scale_bounds=[(0.1, 10 * extent)] * 2 + [(training.step / 10, training.step * 1e3)],
        nu=0.5,
    ) + WhiteKernel(variance / 2, scale)
    process = GaussianProcessRegressor(kernel)
    with warnings.catch_warnings():  # a parameter at its bound is acceptable
        warnings.simplefilter("ignore", ConvergenceWarning)
        process.fit(points, targets[known])
    return process.kernel_


class GaussianProcess(Baseline):
    """The mean of the visible stations plus the anomaly predicted by a Gaussian process."""

    title = "Gaussian process"
    knows_station = False
    requires = "sklearn"

    def _fit(self, training: Training, station: int) -> Estimator:
        from sklearn.gaussian_process import GaussianProcessRegressor

        process = GaussianProcessRegressor(fit_kernel(training), optimizer=None)
        target = places_and_times(training, np.array([training.horizon * training.step]))[[station]]

        def estimate(readings: FloatArray) -> DoubleArray:
            recent = readings[:, -TIMES:]
            ages = training.step * np.arange(1 - recent.shape[1], 1)
            points = places_and_times(training, ages)

            def solve(known: BoolArray, values: DoubleArray) -> DoubleArray:
                expected = process.fit(points[known], values.T).predict(target)
                return np.asarray(expected, np.float64).ravel()

            flat = anomalies(recent).reshape(len(recent), -1)
            mean: DoubleArray = np.nanmean(recent[:, -1], axis=1, dtype=np.float64)
            return mean + by_pattern(flat, solve)

        return estimate
