"""Ridge regression of a station on the others, by scikit-learn."""

import numpy as np

from data_prep.city import DataError
from data_prep.fill import fill
from tritonbn.experiment.dataset import FloatArray
from tritonbn.experiment.rivals.rival import Estimator, Rival
from tritonbn.experiment.rivals.training import DoubleArray, Training

ALPHAS = np.logspace(-1, 7, 17)


class Ridge(Rival):
    """A linear combination of the other stations' newest readings, learned for the station.

    Readings that are missing are filled by IDW from the others. The penalty is chosen by
    generalized cross-validation.
    """

    name = "ridge regression"
    knows_station = True
    requires = "sklearn"

    def _fit(self, training: Training, station: int) -> Estimator:
        from sklearn.linear_model import RidgeCV

        distances = training.distances
        others = np.arange(len(distances)) != station

        def inputs(readings: FloatArray) -> DoubleArray:
            """From the readings of a time, (P, S), those of the other stations, (P, S - 1)."""
            visible = np.broadcast_to(others, readings.shape)
            return fill(readings, distances, visible=visible)[:, others].astype(np.float64)

        seen, estimated = training.pairs()
        x = inputs(training.readings[seen])
        y = training.readings[estimated, station].astype(np.float64)
        complete = ~np.isnan(x).any(axis=1) & ~np.isnan(y)
        if complete.sum() < 2:
            raise DataError(
                f"{self.name} needs two times at which station {station} can be compared with "
                f"another in the training part, got {complete.sum()}"
            )
        model = RidgeCV(ALPHAS).fit(x[complete], y[complete])
        return lambda readings: np.asarray(model.predict(inputs(readings[:, -1])))
