"""`Fold`: what one training may know of a city, and the readings that it is tested on."""

import numpy as np

from data_prep.city import CityData, DataError
from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.dataset import DEFAULT_PARTS, BoolArray, IntArray, Part, Windows
from tritonbn.experiment.protocol import PROTOCOLS

LEAST_KNOWN = 2
"""Training readings without which no rival can be fitted to a station."""

TESTED_PARTS: tuple[Part, ...] = ("validation", "test")
"""Where runs and rivals are tested: to choose among them, and to tell how good the choice is."""


class Fold:
    """A city as the protocol of a run shows it.

    Under ``"paper"`` and ``"masked"`` every station is known, and in the test each is hidden in
    turn. Under ``"unseen"`` the stations of a fold are not part of the city that is trained on and
    tested with; they are estimated all at once.

    Parameters
    ----------
    city : CityData
        All stations.
    protocol : {"paper", "masked", "unseen"}
    number : int
        Which of the protocol's folds. Default 0.
    timesteps : int
        Consecutive times that a model sees. Default 1.
    parts : str
        How the times are cut, a key of `PARTS`. Default ``"6:2:2"``.

    Attributes
    ----------
    absent : array of bool, shape (S,)
        The stations that nothing may be learned from.
    learned : array of bool, shape (S,)
        The other ones, if they have `LEAST_KNOWN` readings in the training part. Training validates
        itself on them: of absent stations nothing is learned, not even when to stop.
    tested : array of bool, shape (S,)
        The stations that are estimated when training is done: the absent ones if there are any,
        else the learned ones.
    windows : Windows
        Of the city without them.

    Raises
    ------
    DataError
        If there are fewer than two stations, or not one for each fold.
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
            raise DataError(f"{city.name} has {stations} stations; {protocol} needs {folds}")
        self.city = city
        self.absent: BoolArray = (fold_numbers(stations, folds) == number) & (folds > 1)
        horizon = PROTOCOLS[protocol].horizon
        self.windows = Windows(city.select(~self.absent), timesteps, horizon, parts)
        readings = city.observed[self.windows.parts["train"]].sum(axis=0)
        self.learned: BoolArray = ~self.absent & (readings >= LEAST_KNOWN)
        self.tested: BoolArray = self.absent if self.absent.any() else self.learned

    @classmethod
    def of(cls, city: CityData, config: RunConfig) -> "Fold":
        """Return the fold of a run."""
        return cls(city, config.protocol, config.fold, config.timesteps, config.parts)

    def scored(
        self, part: Part, asked: BoolArray, count: int | None = None
    ) -> tuple[IntArray, IntArray]:
        """Return the pairs of time and station on which estimates are scored.

        The station has a reading then, and some other, visible one has at the end of the window, so
        that there is something to estimate it from.

        Parameters
        ----------
        part : {"train", "validation", "test"}
            Where the times lie.
        asked : array of bool, shape (S,)
            Which stations: `learned` or `tested`.
        count : int, optional
            How many times, evenly spaced. Default all.

        Returns
        -------
        times, stations : arrays of int64, shape (P,)
            Indices into `city.times` and `city.stations`; ordered by time, then by station.
        """
        times = self.windows.times(part, count)
        seen = np.zeros((len(times), len(self.absent)), np.bool_)
        seen[:, ~self.absent] = ~np.isnan(self.windows.readings(times)[:, -1])
        informed = seen.sum(axis=1, keepdims=True) > seen
        rows, stations = np.nonzero(self.city.observed[times] & informed & asked)
        return times[rows], stations

    def hidden(self, stations: IntArray) -> BoolArray:
        """Return the visible stations to be hidden where one station is estimated.

        Parameters
        ----------
        stations : array of int64, shape (P,)
            Rows of `city.stations`.

        Returns
        -------
        array of bool, shape (P, visible stations)
            The station itself, or nothing where it is absent anyway.
        """
        return np.asarray(stations[:, None] == np.flatnonzero(~self.absent))


def fold_numbers(stations: int, folds: int) -> IntArray:
    """Return the fold in which each station is estimated, the same for every run."""
    numbers = np.empty(stations, np.int64)
    numbers[np.random.default_rng(0).permutation(stations)] = np.arange(stations) % folds
    return numbers


def fold_without(city: CityData, protocol: str, station: int) -> int:
    """Return the number of the fold in which a station is estimated."""
    return int(fold_numbers(len(city.stations), PROTOCOLS[protocol].folds)[station])
