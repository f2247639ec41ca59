"""The protocols: which stations are hidden when, what is predicted, what training minimizes."""

from abc import ABC, abstractmethod

import numpy as np
from torch import Tensor

from data_prep.fill import fill
from tritonbn.experiment.dataset import BoolArray, FloatArray, IntArray, Windows
from tritonbn.experiment.loss import paper_loss, station_error

HIDDEN_SHARE = 0.2
LEAST_HIDDEN, MOST_HIDDEN = 0.08, 0.5
"""Shares that `hide_some` draws between."""


def hide_some(rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
    """Hide each station with a probability that differs from sample to sample.

    Returns
    -------
    array of bool, shape (samples, stations)
    """
    share = rng.uniform(LEAST_HIDDEN, MOST_HIDDEN, (samples, 1))
    return np.asarray(rng.random((samples, stations)) < share)


def hide_one(rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
    """Hide one station in each sample, bool (samples, stations)."""
    return np.asarray(rng.integers(stations, size=(samples, 1)) == np.arange(stations))


class Protocol(ABC):
    """What training asks of a model."""

    horizon: int
    """Steps from the last time that a model sees to the one it predicts."""

    folds: int = 1
    """Trainings that it takes to test every station once."""

    @abstractmethod
    def hide(self, rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
        """Choose the stations hidden in training, bool (samples, stations)."""

    @abstractmethod
    def targets(self, windows: Windows, times: IntArray, hidden: BoolArray) -> FloatArray:
        """Return the readings to be met, float32 (samples, stations); NaN = does not count."""

    @abstractmethod
    def loss(self, field: Tensor, targets: Tensor, cells: Tensor, weight: Tensor) -> Tensor:
        """Compare a field, (N, 1, H, W), with the targets; `weight` is the output convolution's."""


class Paper(Protocol):
    """As published: nothing is hidden, missing readings are filled, the next step is predicted."""

    horizon = 1

    def hide(self, rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
        """Hide none."""
        return np.zeros((samples, stations), np.bool_)

    def targets(self, windows: Windows, times: IntArray, hidden: BoolArray) -> FloatArray:
        """Count every station; where a reading is missing, with its IDW estimate."""
        return fill(windows.city.values[times], windows.distances)

    def loss(self, field: Tensor, targets: Tensor, cells: Tensor, weight: Tensor) -> Tensor:
        """Return `paper_loss`."""
        return paper_loss(field, targets, cells, weight)


class Masked(Protocol):
    """A random fifth of the stations is hidden, anew in each sample, and to be estimated."""

    horizon = 0

    def hide(self, rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
        """Hide the same number in each sample, at least one."""
        hidden = np.arange(stations) < max(1, round(HIDDEN_SHARE * stations))
        return rng.permuted(np.broadcast_to(hidden, (samples, stations)), axis=1)

    def targets(self, windows: Windows, times: IntArray, hidden: BoolArray) -> FloatArray:
        """Count the hidden stations, where they have a reading."""
        return np.where(hidden, windows.city.values[times], np.nan).astype(np.float32)

    def loss(self, field: Tensor, targets: Tensor, cells: Tensor, weight: Tensor) -> Tensor:
        """Return the mean square error."""
        return station_error(field, targets, cells)


class Unseen(Masked):
    """A fold of the stations is absent from training and test; training hides others of them."""

    folds = 5


PROTOCOLS: dict[str, Protocol] = {"paper": Paper(), "masked": Masked(), "unseen": Unseen()}
