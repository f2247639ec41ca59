"""Ordinary kriging, by GSTools."""

import warnings
from typing import Any

import numpy as np

from data_prep.city import DataError
from tritonbn.experiment.baselines.baseline import Baseline, Estimator
from tritonbn.experiment.baselines.patterns import by_pattern
from tritonbn.experiment.baselines.training import Training
from tritonbn.experiment.task.arrays import BoolArray, DoubleArray, FloatArray

MAX_BINS = 15
PARAMETERS = 3
"""A variogram has a variance, a length scale and a nugget."""


def empirical_variogram(training: Training) -> tuple[DoubleArray, DoubleArray]:
    """Estimate the variogram from the differences between stations at the same time.

    The differences of all times are pooled. What is common to all stations at a time cancels.

    Returns
    -------
    lengths, variogram : arrays of float64, shape (bins,)
        Mean distance in km and half the mean square difference, in (ug/m3)^2, of the pairs of
        simultaneous readings in each bin of distances. All bins hold about the same number of pairs
        of stations.

    Raises
    ------
    DataError
        If there are fewer pairs of stations than a variogram has parameters.
    """
    import gstools

    known = (~np.isnan(training.readings)).astype(np.float64)
    common = np.triu(known.T @ known, k=1)
    lengths, common = training.distances[common > 0], common[common > 0]
    if len(lengths) < PARAMETERS:
        raise DataError(
            "kriging needs three other stations with simultaneous readings in the training part"
        )
    edges = np.quantile(lengths, np.linspace(0, 1, min(MAX_BINS, len(lengths)) + 1))
    edges *= 1 - 1e-4  # off the lengths, which GSTools computes with its own radius of the Earth
    edges[0], edges[-1] = 0.0, edges[-1] * 1.001
    total, _ = np.histogram(lengths, edges, weights=lengths * common)
    count, _ = np.histogram(lengths, edges, weights=common)
    _, variogram = gstools.vario_estimate(
        (training.latitude, training.longitude),
        training.readings.astype(np.float64),
        edges.copy(),  # GSTools scales them in place
        latlon=True,
        geo_scale=gstools.KM_SCALE,
    )
    filled = count > 0
    return total[filled] / count[filled], variogram[filled]


def fit_variogram(training: Training) -> Any:
    """Fit an exponential variogram with a nugget to the empirical one.

    Returns
    -------
    gstools.CovModel
        With length scales in km.

    Raises
    ------
    DataError
        If the fit does not converge, or there are too few pairs of stations.
    """
    import gstools

    model = gstools.Exponential(latlon=True, geo_scale=gstools.KM_SCALE)
    lengths, variogram = empirical_variogram(training)
    try:
        with warnings.catch_warnings():  # of the parameters only the values are used
            warnings.filterwarnings("ignore", "Covariance of the parameters")
            model.fit_variogram(lengths, variogram)
    except RuntimeError as error:
        raise DataError(f"the variogram cannot be fitted to the training part: {error}") from error
    return model


class OrdinaryKriging(Baseline):
    """Ordinary kriging: the best linear unbiased estimate from the newest readings.

    The variogram is exponential, with a nugget.
    """

    title = "ordinary kriging"
    knows_station = False
    requires = "gstools"

    def _fit(self, training: Training, station: int) -> Estimator:
        from gstools.krige import Ordinary

        model = fit_variogram(training)
        latitude, longitude = training.latitude, training.longitude
        place = latitude[[station]], longitude[[station]]

        def solve(visible: BoolArray, readings: DoubleArray) -> DoubleArray:
            places = latitude[visible], longitude[visible]
            krige = Ordinary(model, places, readings[0])
            estimates = np.empty(len(readings))
            for row, values in enumerate(readings):
                krige.set_condition(places, values)
                estimates[row] = krige(place, return_var=False, store=False)[0]
            return estimates

        def estimate(readings: FloatArray) -> DoubleArray:
            return by_pattern(readings[:, -1], solve)

        return estimate
