"""How the networks of a kind are made and taught: as published, or wide."""

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.dataset import BoolArray, FloatArray, IntArray, Scaler, Windows
from tritonbn.experiment.encoding import CHANNELS, Encoding, Published, Wide
from tritonbn.experiment.folds import Fold
from tritonbn.experiment.loss import smooth_station_error
from tritonbn.experiment.protocol import PROTOCOLS, hide_one, hide_some
from tritonbn.models import InterpolationNetwork, build_model
from tritonbn.models.head import ConvolutionHead
from tritonbn.models.norm import Norm
from tritonbn.segments import Segments

KINDS: dict[str, Norm] = {
    "none": "none",
    "global": "global",
    "local": "local",
    "local-nearest": "local",
    "local-stations": "local",
    "local-after": "local",
    "local-batch": "local-batch",
    "offset": "offset",
    "embedding": "none",
    "scaled": "none",
}
"""What `build_model` calls each normalization."""


class Recipe(ABC):
    """What the networks of one kind have in common.

    Parameters
    ----------
    config : RunConfig
        Of a run of that kind.
    """

    weight_decay = 0.0
    """Of AdamW."""

    steepest = math.inf
    """The norm that a gradient is clipped to."""

    corrects_idw = False
    """Whether a network that has learned nothing is IDW, of readings within the limit."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.protocol = PROTOCOLS[config.protocol]

    @abstractmethod
    def encoding(self, fold: Fold, scaler: Scaler, device: torch.device) -> Encoding:
        """Return what the networks read."""

    def complete(self, model: InterpolationNetwork, fold: Fold, scaler: Scaler) -> None:
        """Give a trained network what it could not learn where there is no station."""
        return

    @abstractmethod
    def options(self, grid: tuple[int, int]) -> dict[str, Any]:
        """Return arguments of `build_model`."""

    @abstractmethod
    def hide(self, rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
        """Choose the stations hidden in training, bool (samples, stations)."""

    def targets(self, windows: Windows, times: IntArray, hidden: BoolArray) -> FloatArray:
        """Return the readings to be met; as of `Protocol.targets`."""
        return self.protocol.targets(windows, times, hidden)

    @abstractmethod
    def loss(self, field: Tensor, targets: Tensor, cells: Tensor, weight: Tensor) -> Tensor:
        """Compare a field with the targets, both scaled; as of `Protocol.loss`."""

    def rate(self, share: float) -> float:
        """Return the learning rate, as a share of the highest, after a share of the steps."""
        return 1.0

    def network(self, fold: Fold, device: torch.device) -> InterpolationNetwork:
        """Make the untrained network, the same for equal configurations."""
        config = self.config
        city = fold.windows.city
        segments: Segments | tuple[int, int] = city.grid
        cells = city.cells.tolist()
        if config.norm == "local-nearest":
            segments = Segments.nearest(cells, city.grid)
        elif config.norm == "local-stations":
            segments = Segments.stations(cells, city.grid)
        options = self.options(city.grid)
        if config.norm == "local-after":
            options["norm_after"] = True
        if config.norm == "embedding":
            options["embedding"] = city.grid
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = build_model(
                config.backbone,
                KINDS[config.norm],
                segments,
                config.timesteps,
                **options,
            )
        layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        model.to(device, memory_format=layout)  # type: ignore[call-overload]
        return model


class AsPublished(Recipe):
    """One channel, the head of the run, the loss of the protocol, a constant learning rate."""

    def encoding(self, fold: Fold, scaler: Scaler, device: torch.device) -> Encoding:
        """Return `Published`."""
        return Published(fold, scaler, device, self.config.norm == "scaled")

    def options(self, grid: tuple[int, int]) -> dict[str, Any]:
        """Return the head and its sizes."""
        config = self.config
        if config.head != "dense":
            return {"head": config.head}
        return {"head": config.head, "hidden": config.hidden, "dropout": config.dropout}

    def hide(self, rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
        """Hide what the protocol hides."""
        return self.protocol.hide(rng, samples, stations)

    def loss(self, field: Tensor, targets: Tensor, cells: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of the protocol."""
        return self.protocol.loss(field, targets, cells, weight)


class Interpolating(Recipe):
    """Reads the `CHANNELS`, sees the whole grid, corrects IDW, learns from hidden stations.

    Which of it a network lacks is told by the configuration.
    """

    weight_decay = 0.01
    steepest = 1.0

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self.corrects_idw = config.lacks not in ("idw", "correction")

    def encoding(self, fold: Fold, scaler: Scaler, device: torch.device) -> Wide:
        """Return `Wide`."""
        return Wide(fold, scaler, device, self.config.lacks, self.config.norm == "scaled")

    def options(self, grid: tuple[int, int]) -> dict[str, Any]:
        """Return what the wide networks have and the published ones do not."""
        lacks = self.config.lacks
        unseen = self.config.protocol == "unseen"
        # The readings of hidden stations are zero, so that to add them is to correct nothing.
        base = "reading" if lacks == "correction" else "idw"
        return {
            "head": "convolution",
            "in_channels": len(CHANNELS),
            "channels": 16,
            "context": None if unseen or lacks == "context" else grid,
            "corrects": CHANNELS.index(base),
            "symmetric": unseen and lacks != "symmetry",
        }

    def complete(self, model: InterpolationNetwork, fold: Fold, scaler: Scaler) -> None:
        """Give the cells without a station the maps of the stations around."""
        context = model.head.context if isinstance(model.head, ConvolutionHead) else None
        if context is not None:
            encoding = self.encoding(fold, scaler, context.maps.device)
            of_stations = context.maps.detach().flatten(1)[:, encoding.cells]
            context.maps.data = encoding.spread(of_stations).view_as(context.maps)

    def hide(self, rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
        """Hide each station with a probability that differs from sample to sample."""
        hide = hide_one if self.config.lacks == "several" else hide_some
        return hide(rng, samples, stations)

    def targets(self, windows: Windows, times: IntArray, hidden: BoolArray) -> FloatArray:
        """Return the readings of hidden stations."""
        counted = np.ones_like(hidden) if self.config.lacks == "hidden-only" else hidden
        return self.protocol.targets(windows, times, counted)

    def loss(self, field: Tensor, targets: Tensor, cells: Tensor, weight: Tensor) -> Tensor:
        """Return `smooth_station_error`."""
        return smooth_station_error(field, targets, cells)

    def rate(self, share: float) -> float:
        """Rise along a line for 15 % of the steps, and fall to zero along a cosine.

        After L. Smith, "Super-convergence", 2018, https://arxiv.org/abs/1708.07120.
        """
        warm = 0.15
        if share < warm:
            return share / warm
        return 0.5 * (1 + math.cos(math.pi * (share - warm) / (1 - warm)))


def recipe_of(config: RunConfig) -> Recipe:
    """Return the recipe of a run."""
    return Interpolating(config) if config.wide else AsPublished(config)
