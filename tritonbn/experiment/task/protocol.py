"""The protocols: which stations are hidden, and when; what is predicted; the loss of training."""

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from torch import Tensor

from data_prep.fill import fill
from tritonbn.experiment.task.arrays import BoolArray, FloatArray, IntArray
from tritonbn.experiment.task.loss import paper_loss, station_error
from tritonbn.experiment.task.windows import Windows

HIDDEN_SHARE = 0.2
"""The share of the stations that `Masked` hides in each training sample."""


class Protocol(ABC):
    """What training asks of a network, and how its test hides stations.

    To add a protocol, write a subclass and add it to `PROTOCOLS`.
    """

    note: ClassVar[str]
    """Explains the protocol in reports."""

    horizon: ClassVar[int]
    """Steps from the last time that a network sees to the time that it predicts."""

    folds: ClassVar[int] = 1
    """How many networks are trained to test every station once. With several folds, the stations
    of a fold are held out: neither training nor the input of the test contains their readings."""

    hides: ClassVar[bool] = True
    """Whether training hides stations, so that a network can learn to estimate them."""

    @abstractmethod
    def hide(self, rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
        """Choose the stations hidden in training, bool (samples, stations).

        This is for published networks; `residual.hide_some` does it for residual ones.
        """

    @abstractmethod
    def targets(self, windows: Windows, times: IntArray, hidden: BoolArray) -> FloatArray:
        """Return the target readings, float32 (samples, stations); NaN = not part of the loss."""

    @abstractmethod
    def loss(self, field: Tensor, targets: Tensor, cells: Tensor, weight: Tensor) -> Tensor:
        """Compare a field, (N, 1, H, W), with the targets.

        `weight` is that of the output convolution, for a penalty.
        """


class Paper(Protocol):
    """As published: nothing is hidden, gaps are filled, and the next time is predicted."""

    note = (
        "As published: training hides nothing, and a network predicts the next time. With the "
        "convolution head a network cannot reach the nearest station and can only learn the "
        "typical level of a location. With the dense head it sees the whole grid, but was never "
        "trained with a station set to 0, as happens in the test."
    )
    horizon = 1
    hides = False

    def hide(self, rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
        """Hide no station."""
        return np.zeros((samples, stations), np.bool_)

    def targets(self, windows: Windows, times: IntArray, hidden: BoolArray) -> FloatArray:
        """Return the readings of all stations; missing ones are filled by IDW."""
        return fill(windows.city.values[times], windows.distances)

    def loss(self, field: Tensor, targets: Tensor, cells: Tensor, weight: Tensor) -> Tensor:
        """Return `paper_loss`."""
        return paper_loss(field, targets, cells, weight)


class Masked(Protocol):
    """A random fifth of the stations, new in each sample, is hidden and must be estimated."""

    note = (
        "Training hides random stations, new ones in each sample (a fifth of them; between 8 % and "
        "50 % for residual networks), and a network estimates them at the same time, as in the "
        "test."
    )
    horizon = 0

    def hide(self, rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
        """Hide the same number of stations in each sample, at least one."""
        hidden = np.arange(stations) < max(1, round(HIDDEN_SHARE * stations))
        return rng.permuted(np.broadcast_to(hidden, (samples, stations)), axis=1)

    def targets(self, windows: Windows, times: IntArray, hidden: BoolArray) -> FloatArray:
        """Return the readings of the hidden stations."""
        return np.where(hidden, windows.city.values[times], np.nan).astype(np.float32)

    def loss(self, field: Tensor, targets: Tensor, cells: Tensor, weight: Tensor) -> Tensor:
        """Return the mean squared error."""
        return station_error(field, targets, cells)


class Unseen(Masked):
    """A fold of the stations is held out from training and test input; training hides others."""

    note = (
        "A fifth of the stations is held out: they are not part of input, target, scaling or early "
        "stopping. Each station is estimated once, by the network that was trained without it. "
        "Training hides other stations. Validation scores are of the held-out stations as well, at "
        "other times."
    )
    folds = 5


PROTOCOLS: dict[str, Protocol] = {"paper": Paper(), "masked": Masked(), "unseen": Unseen()}
"""All protocols by name."""
