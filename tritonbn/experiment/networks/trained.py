"""`TrainedNetwork`: the result of one training, and how it is loaded from its checkpoint."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from data_prep.city import CityData
from tritonbn.experiment.networks.checkpoint import Checkpoint, CheckpointError
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.encoding import Encoding
from tritonbn.experiment.networks.recipes import recipe_of
from tritonbn.experiment.networks.scaling import Scaler
from tritonbn.models import InterpolationNetwork


@dataclass(frozen=True)
class TrainedNetwork:
    """The result of one training.

    Parameters
    ----------
    model : InterpolationNetwork
        With the weights of the best validation.
    config : RunConfig
        How it was trained, with the number of its fold.
    scaler : Scaler
        From the unit of the readings to the scale of the network.
    history : list of dict
        For every validation: ``step``, ``loss`` (mean since the previous validation) and
        ``stopping_sprmse`` (in the unit of the readings, of stations that take part in training).
        Residual networks have an entry for step 0, which has no loss.
    steps : int
        Steps taken; fewer than `config.steps` after early stopping.
    seconds : float
        Time spent in training, including that before an interruption.
    normals : Tensor, shape (2, H * W), optional
        Mean and standard deviation of each cell over the training part, if the readings are
        standardized by station. Default: they are not, or the city is always that of the training.
    """

    model: InterpolationNetwork
    config: RunConfig
    scaler: Scaler
    history: list[dict[str, float]]
    steps: int
    seconds: float
    normals: Tensor | None = None

    @classmethod
    def restore(
        cls, checkpoint: Checkpoint, city: CityData, device: torch.device
    ) -> "TrainedNetwork":
        """Build the network of a checkpoint, given the city that it was trained on."""
        fold = checkpoint.config.fold_of(city)
        recipe = recipe_of(checkpoint.config)
        model = recipe.network(fold, device)
        model.load_state_dict(checkpoint.best)
        recipe.complete(model, fold, checkpoint.scaler)
        return cls(
            model=model.eval(),
            config=checkpoint.config,
            scaler=checkpoint.scaler,
            history=checkpoint.history,
            steps=checkpoint.step,
            seconds=checkpoint.seconds,
            normals=recipe.encoding(fold, checkpoint.scaler, device).normals,
        )

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return next(self.model.parameters()).device

    def encoding(self, city: CityData) -> Encoding:
        """Return the encoding of a city as input of the network."""
        fold = self.config.fold_of(city)
        return recipe_of(self.config).encoding(fold, self.scaler, self.device, self.normals)


def load_network(
    directory: Path, city: CityData, device: torch.device | None = None
) -> TrainedNetwork:
    """Load a network from its checkpoint, finished or at its latest validation.

    Parameters
    ----------
    directory : Path
        The folder of the checkpoint.
    city : CityData
        The city it was trained on.
    device : torch.device, optional
        Default: the GPU if there is one.

    Raises
    ------
    CheckpointError
        If there is no checkpoint, or it belongs to another city.
    """
    checkpoint = Checkpoint.read(directory, city)
    if checkpoint is None:
        raise CheckpointError(f"{directory} holds no trained network")
    return TrainedNetwork.restore(checkpoint, city, device or default_device())


def default_device() -> torch.device:
    """Return the GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
