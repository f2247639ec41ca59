"""`Recipe`: how the networks of one design are built and trained."""

import math
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.encoding import Encoding
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.networks.scaling import Scaler
from tritonbn.experiment.task.arrays import BoolArray, FloatArray, IntArray
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.experiment.task.windows import Windows
from tritonbn.models import InterpolationNetwork, build_model


class Recipe(ABC):
    """What the networks of one design have in common.

    Parameters
    ----------
    config : RunConfig
        Of a run of that design.
    """

    weight_decay = 0.0
    """The weight decay of AdamW."""

    max_grad_norm = math.inf
    """The norm to which gradients are clipped."""

    starts_as_idw = False
    """Whether an untrained network predicts IDW, so that training must improve on it."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.protocol = PROTOCOLS[config.protocol]

    @abstractmethod
    def encoding(
        self, fold: Fold, scaler: Scaler, device: torch.device, normals: Tensor | None = None
    ) -> Encoding:
        """Return the encoding of a city as input of the networks.

        The `normals` are those of the training, if the readings are others.
        """

    def complete(self, model: InterpolationNetwork, fold: Fold, scaler: Scaler) -> None:
        """Give a trained network the parameters that it could not learn in cells without a station.

        By default there are none.
        """
        return

    @abstractmethod
    def options(self, grid: tuple[int, int]) -> dict[str, Any]:
        """Return arguments of `build_model`."""

    @abstractmethod
    def hide(self, rng: np.random.Generator, samples: int, stations: int) -> BoolArray:
        """Choose the stations hidden in training, bool (samples, stations)."""

    def targets(self, windows: Windows, times: IntArray, hidden: BoolArray) -> FloatArray:
        """Return the target readings, as `Protocol.targets` does."""
        return self.protocol.targets(windows, times, hidden)

    @abstractmethod
    def loss(self, field: Tensor, targets: Tensor, cells: Tensor, weight: Tensor) -> Tensor:
        """Compare a field with the targets, both scaled, as `Protocol.loss` does."""

    def rate(self, share: float) -> float:
        """Return the learning rate, as a share of the maximum, after a share of the steps."""
        return 1.0

    def network(self, fold: Fold, device: torch.device) -> InterpolationNetwork:
        """Build the untrained network, the same for equal configurations."""
        config, norm = self.config, NORMS[self.config.norm]
        city = fold.windows.city
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = build_model(
                config.backbone,  # type: ignore[arg-type]
                norm.layer_for(fold.windows, config.pooling),
                norm.segments(city) if norm.segments else city.grid,
                config.timesteps,
                **self.options(city.grid),
                **norm.options(city.grid),
            )
        layout = torch.channels_last if device.type == "cuda" else torch.contiguous_format
        model.to(device, memory_format=layout)  # type: ignore[call-overload]
        return model
