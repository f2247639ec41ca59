"""Ridge regression of a station on the others, by scikit-learn."""

import numpy as np

from data_prep.city import DataError
from data_prep.fill import fill
from tritonbn.experiment.baselines.baseline import Baseline, Estimator
from tritonbn.experiment.baselines.training import Training
from tritonbn.experiment.task.arrays import DoubleArray, FloatArray

ALPHAS = np.logspace(-1, 7, 17)


class Ridge(Baseline):
    """A linear combination of the newest readings of the other stations, fitted to the station.

    Missing readings are filled by IDW. The penalty is chosen by generalized cross-validation.
    """

    title = "ridge regression"
    knows_station = True
    requires = "sklearn"

    def _fit(self, training: Training, station: int) -> Estimator:
        from sklearn.linear_model import RidgeCV

        distances = training.distances
        others = np.arange(len(distances)) != station

        def inputs(readings: FloatArray) -> DoubleArray:
            """Return the filled readings of the other stations, (P, S - 1), given all, (P, S)."""
            visible = np.broadcast_to(others, readings.shape)
            return fill(readings, distances, visible=visible)[:, others].astype(np.float64)

        seen, estimated = training.pairs()
        x = inputs(training.readings[seen])
        y = training.readings[estimated, station].astype(np.float64)
        complete = ~np.isnan(x).any(axis=1) & ~np.isnan(y)
        if complete.sum() < 2:
            raise DataError(
                f"{self.title} needs two times of the training part at which the station and "
                f"another one have readings, got {complete.sum()}"
            )
        model = RidgeCV(ALPHAS).fit(x[complete], y[complete])
        return lambda readings: np.asarray(model.predict(inputs(readings[:, -1])))
