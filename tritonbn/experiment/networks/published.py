"""How the published networks are built and trained."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tritonbn.experiment.networks.encoding import Encoding, Published
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.networks.recipe import Recipe
from tritonbn.experiment.networks.scaling import Scaler
from tritonbn.experiment.task.arrays import BoolArray
from tritonbn.experiment.task.folds import Fold


class PublishedRecipe(Recipe):
    """One channel, the head of the run, the loss of the protocol, a constant learning rate."""

    def encoding(
        self, fold: Fold, scaler: Scaler, device: torch.device, normals: Tensor | None = None
    ) -> Encoding:
        """Return `Published`."""
        return Published(fold, scaler, device, NORMS[self.config.norm].by_station, normals)

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
