"""How the residual networks are built and trained."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.networks.recipe import Recipe
from tritonbn.experiment.networks.residual_encoding import CHANNELS, ResidualEncoding
from tritonbn.experiment.networks.scaling import Scaler
from tritonbn.experiment.task.arrays import BoolArray, FloatArray, IntArray
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.loss import smooth_station_error
from tritonbn.experiment.task.windows import Windows
from tritonbn.models import InterpolationNetwork
from tritonbn.models.head import ConvolutionHead

MIN_HIDDEN, MAX_HIDDEN = 0.08, 0.5
"""The shares of hidden stations that `hide_some` draws from."""


def hide_some(rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
    """Hide each station with a probability that differs from sample to sample.

    Returns
    -------
    array of bool, shape (samples, stations)
    """
    share = rng.uniform(MIN_HIDDEN, MAX_HIDDEN, (samples, 1))
    return np.asarray(rng.random((samples, stations)) < share)


def hide_one(rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
    """Hide one station in each sample, bool (samples, stations)."""
    return np.asarray(rng.integers(stations, size=(samples, 1)) == np.arange(stations))


class ResidualRecipe(Recipe):
    """Read the `CHANNELS`, predict the residual of IDW, and learn from hidden stations.

    The configuration names the options that a network is trained without.
    """

    weight_decay = 0.01
    max_grad_norm = 1.0

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.starts_as_idw = not {"idw", "correction"} & set(config.without)

    def encoding(
        self, fold: Fold, scaler: Scaler, device: torch.device, normals: Tensor | None = None
    ) -> ResidualEncoding:
        """Return `ResidualEncoding`."""
        by_station = NORMS[self.config.norm].by_station
        return ResidualEncoding(fold, scaler, device, self.config.without, by_station, normals)

    def options(self, grid: tuple[int, int]) -> dict[str, Any]:
        """Return what distinguishes the residual networks from the published ones."""
        without, norm = self.config.without, NORMS[self.config.norm]
        held_out = self.protocol.folds > 1
        # The readings of hidden stations are zero: adding this channel changes no estimate of them.
        base = "reading" if "correction" in without else "idw"
        return {
            "head": "convolution",
            "in_channels": len(CHANNELS),
            "channels": 16,
            "context": None if held_out or "context" in without else grid,
            "corrects": CHANNELS.index(base),
            "symmetric": held_out and "symmetry" not in without and not norm.recurrent,
        }

    def complete(self, model: InterpolationNetwork, fold: Fold, scaler: Scaler) -> None:
        """Give cells without a station the learned maps of the surrounding stations."""
        context = model.head.context if isinstance(model.head, ConvolutionHead) else None
        if context is not None:
            encoding = self.encoding(fold, scaler, context.maps.device)
            of_stations = context.maps.detach().flatten(1)[:, encoding.cells]
            context.maps.data = encoding.to_cells(of_stations).view_as(context.maps)

    def hide(self, rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
        """Hide each station with a probability that differs from sample to sample."""
        hide = hide_one if "several" in self.config.without else hide_some
        return hide(rng, samples, stations)

    def targets(self, windows: Windows, times: IntArray, hidden: BoolArray) -> FloatArray:
        """Return the readings of the hidden stations."""
        counted = np.ones_like(hidden) if "hiding" in self.config.without else hidden
        return self.protocol.targets(windows, times, counted)

    def loss(self, field: Tensor, targets: Tensor, cells: Tensor, weight: Tensor) -> Tensor:
        """Return `smooth_station_error`."""
        return smooth_station_error(field, targets, cells)

    def rate(self, share: float) -> float:
        """Rise linearly for 15 % of the steps, then fall to zero along a cosine.

        After L. Smith, "Super-convergence", 2018, https://arxiv.org/abs/1708.07120.
        """
        warm = 0.15
        if share < warm:
            return share / warm
        return 0.5 * (1 + math.cos(math.pi * (share - warm) / (1 - warm)))
