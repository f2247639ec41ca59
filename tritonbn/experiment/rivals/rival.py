"""What every rival has in common: when it fits, what it may know and what it may see."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from importlib.util import find_spec
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from data_prep.city import DataError
from tritonbn.experiment.dataset import FloatArray
from tritonbn.experiment.rivals.training import Training

Estimator = Callable[[FloatArray], npt.NDArray[np.floating]]
"""From the readings that an estimate may use, (B, W, S), to estimates, (B,), in ug/m3."""


class Rival(ABC):
    """A way to estimate a hidden station from the readings of the visible ones.

    It is fitted for each station at the first estimate of that station, since a rival that does
    not know the station must be fitted to the others alone.

    Parameters
    ----------
    training : Training
        What it may learn from.

    Raises
    ------
    ImportError
        If the library that it needs is not installed.
    """

    name: ClassVar[str]
    """As shown in tables."""

    knows_station: ClassVar[bool]
    """Whether it needs training readings of the hidden station itself."""

    requires: ClassVar[str | None] = None
    """The module that it needs beyond those that are always there."""

    def __init__(self, training: Training) -> None:
        if self.requires is not None and find_spec(self.requires) is None:
            raise ImportError(
                f"{self.name} needs {self.requires}: pip install 'tritonbn[rivals]'",
                name=self.requires,
            )
        self.training = training
        self._estimators: dict[int, Estimator] = {}

    def estimate(self, readings: FloatArray, station: int) -> FloatArray:
        """Estimate one station, each row of the batch from that row alone.

        Parameters
        ----------
        readings : array of float32, shape (B, W, S)
            The last W times in order, one step apart, the newest `horizon` steps before the time
            to be estimated; ug/m3, NaN = missing or hidden. Those of `station` are not looked at.
        station : int
            The station to estimate.

        Returns
        -------
        array of float32, shape (B,)
            In ug/m3; NaN where no other station has a reading at the newest time.

        Raises
        ------
        DataError
            If the training part does not suffice to fit the rival.
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
                f"{self.name} needs readings of the station in the training part; "
                f"station {station} has none"
            )
        return self._fit(self.training, station)

    @abstractmethod
    def _fit(self, training: Training, station: int) -> Estimator:
        """Return the estimator of a station.

        Parameters
        ----------
        training : Training
            Without readings of the station, unless the rival knows it.
        station : int
            The station to estimate.

        Returns
        -------
        Estimator
            Called with the rows that have a reading at the newest time, NaN at the station.
        """
