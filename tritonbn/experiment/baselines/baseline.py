"""`Baseline`: what all baselines have in common: when they are fitted, and what they may see."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.util import find_spec
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from data_prep.city import DataError
from tritonbn.experiment.baselines.training import Training
from tritonbn.experiment.task.arrays import FloatArray

Estimator = Callable[[FloatArray], npt.NDArray[np.floating]]
"""Maps the readings that an estimate may use, (B, W, S), to estimates, (B,), in ug/m3."""


class Baseline(ABC):
    """A classical method that estimates a hidden station from the readings of the visible ones.

    It is fitted separately for each station, at the first estimate of that station, because a
    baseline that does not use the station's own readings must be fitted to the other stations.

    To add a baseline, write a subclass and add it to `tritonbn.experiment.baselines.BASELINES`.

    Parameters
    ----------
    training : Training
        The readings that it may learn from.

    Raises
    ------
    ImportError
        If a library that it needs is not installed.
    """

    title: ClassVar[str]
    """Its name in tables and figures."""

    knows_station: ClassVar[bool]
    """Whether it is fitted to training readings of the estimated station itself."""

    requires: ClassVar[str | None] = None
    """The optional library that it imports, if any."""

    def __init__(self, training: Training) -> None:
        if self.requires is not None and find_spec(self.requires) is None:
            raise ImportError(
                f"{self.title} needs {self.requires}: pip install 'tritonbn[baselines]'",
                name=self.requires,
            )
        self.training = training
        self._estimators: dict[int, Estimator] = {}

    def estimate(self, readings: FloatArray, station: int) -> FloatArray:
        """Estimate one station; each row of the batch is estimated from that row alone.

        Parameters
        ----------
        readings : array of float32, shape (B, W, S)
            The last W times in chronological order, one step apart; the newest is `horizon` steps
            before the estimated time. In ug/m3; NaN = missing or hidden. Those of `station` are
            ignored.
        station : int
            The row of the estimated station.

        Returns
        -------
        array of float32, shape (B,)
            In ug/m3; NaN where no other station has a reading at the newest time.

        Raises
        ------
        DataError
            If there are too few training readings to fit the baseline.
        """
        if station not in self._estimators:
            self._estimators[station] = self._fit_for(station)
        visible = readings.copy()
        visible[..., station] = np.nan
        informed = ~np.isnan(visible[:, -1]).all(axis=1)
        estimates = np.full(len(readings), np.nan, np.float32)
        if informed.any():
            estimates[informed] = self._estimators[station](visible[informed])
        return estimates

    def _fit_for(self, station: int) -> Estimator:
        if not self.knows_station:
            return self._fit(self.training.without(station), station)
        if np.isnan(self.training.readings[:, station]).all():
            raise DataError(
                f"{self.title} needs readings of the station in the training part; there are none"
            )
        return self._fit(self.training, station)

    @abstractmethod
    def _fit(self, training: Training, station: int) -> Estimator:
        """Return the estimator of a station.

        Parameters
        ----------
        training : Training
            Without readings of the station, unless `knows_station`.
        station : int
            The row of the estimated station.

        Returns
        -------
        Estimator
            Called with the rows in which another station has a reading at the newest time; the
            readings of the station itself are NaN.
        """
