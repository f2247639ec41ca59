"""`Fold`: what one training may know of a city, and the readings that it is tested on."""

import numpy as np

from data_prep.city import CityData, DataError
from tritonbn.experiment.task.arrays import BoolArray, IntArray
from tritonbn.experiment.task.parts import DEFAULT_PARTS, Part
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.experiment.task.windows import Windows

MIN_TRAINING_READINGS = 2
"""Training readings that a station needs to be tested where it is not held out: with fewer, some
baselines cannot be fitted."""


class Fold:
    """The part of a city that a protocol makes available to one training.

    Under ``"paper"`` and ``"masked"`` every station takes part in training, and the test hides one
    station at a time. Under ``"unseen"`` the stations of a fold are held out: they are not part of
    the city that training and the input of the test see, and all of them are estimated together.

    Parameters
    ----------
    city : CityData
        All stations.
    protocol : str
        A key of `PROTOCOLS`.
    number : int
        Which of the protocol's folds. Default 0.
    timesteps : int
        Consecutive times that a network sees. Default 1.
    parts : str
        How the times are divided, a key of `PARTS`. Default ``"6:2:2"``.

    Attributes
    ----------
    held_out : array of bool, shape (S,)
        The stations from which nothing may be learned.
    learned : array of bool, shape (S,)
        The other stations, if they have at least `MIN_TRAINING_READINGS` training readings. Early
        stopping uses these stations alone: held-out stations do not even decide when to stop.
    tested : array of bool, shape (S,)
        The stations that are scored after training: the held-out ones if there are any, else the
        learned ones.
    windows : Windows
        The samples of the city without the held-out stations.

    Raises
    ------
    DataError
        If there are fewer than two stations, or fewer stations than folds.
    """

    def __init__(
        self,
        city: CityData,
        protocol: str,
        number: int = 0,
        timesteps: int = 1,
        parts: str = DEFAULT_PARTS,
    ) -> None:
        stations, folds = len(city.stations), PROTOCOLS[protocol].folds
        if stations < folds:
            raise DataError(
                f"protocol {protocol!r} needs {folds} stations or more; {city.name} has {stations}"
            )
        self.city = city
        self.held_out: BoolArray = (fold_numbers(stations, folds) == number) & (folds > 1)
        horizon = PROTOCOLS[protocol].horizon
        self.windows = Windows(city.select(~self.held_out), timesteps, horizon, parts)
        readings = city.observed[self.windows.parts["train"]].sum(axis=0)
        self.learned: BoolArray = ~self.held_out & (readings >= MIN_TRAINING_READINGS)
        self.tested: BoolArray = self.held_out if self.held_out.any() else self.learned

    def scored(
        self, part: Part, asked: BoolArray, count: int | None = None
    ) -> tuple[IntArray, IntArray]:
        """Return the pairs of time and station on which estimates are scored.

        The station has a reading at that time, and at least one other, visible station has a
        reading at the end of the window, from which an estimate can be made.

        Parameters
        ----------
        part : {"train", "validation", "test"}
            The part of the predicted times.
        asked : array of bool, shape (S,)
            Which stations: `learned` or `tested`.
        count : int, optional
            How many times, evenly spaced. Default: all.

        Returns
        -------
        times, stations : arrays of int64, shape (P,)
            Indices into `city.times` and `city.stations`, ordered by time, then by station.
        """
        times = self.windows.times(part, count)
        seen = np.zeros((len(times), len(self.held_out)), np.bool_)
        seen[:, ~self.held_out] = ~np.isnan(self.windows.readings(times)[:, -1])
        informed = seen.sum(axis=1, keepdims=True) > seen
        rows, stations = np.nonzero(self.city.observed[times] & informed & asked)
        return times[rows], stations

    def hidden(self, stations: IntArray) -> BoolArray:
        """Return the visible stations that must be hidden while a station is estimated.

        Parameters
        ----------
        stations : array of int64, shape (P,)
            Rows of `city.stations`.

        Returns
        -------
        array of bool, shape (P, visible stations)
            The station itself; nothing where it is held out.
        """
        return np.asarray(stations[:, None] == np.flatnonzero(~self.held_out))


def fold_numbers(stations: int, folds: int) -> IntArray:
    """Return the fold in which each station is estimated, the same for every run."""
    numbers = np.empty(stations, np.int64)
    numbers[np.random.default_rng(0).permutation(stations)] = np.arange(stations) % folds
    return numbers
