"""Checkpoints: all that a training needs to resume, in one safetensors file."""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from data_prep.city import CityData
from data_prep.files import atomic_path
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.scaling import Scaler

FILE_NAME = "checkpoint.safetensors"

Tensors = dict[str, Tensor]


class CheckpointError(ValueError):
    """A checkpoint cannot be read, or belongs to another run; the message says why.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from data_prep import load_city
    >>> from tritonbn.experiment import CheckpointError, load_run, train
    >>> city = load_city("synthetic", days=7, grid=(8, 8))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run = train(city, "cnn", directory=folder, steps=2, test_times=40, progress=False)
    ...     there = Path(folder, "runs", run.config.name)
    ...     _ = (there / "checkpoint.safetensors").write_bytes(b"damaged")
    ...     try:
    ...         load_run(there)
    ...     except CheckpointError:
    ...         print("train this run again")
    train this run again
    """


@dataclass(frozen=True)
class Checkpoint:
    """A training at one of its validations; empty before the first.

    Parameters
    ----------
    config : RunConfig
        The configuration of the run.
    city : dict
        The `identity` of its city.
    scaler : Scaler
        Fitted to that city.
    weights, best : dict of Tensor
        The state of the model now, and at the best validation.
    adam : dict of Tensor
        Adam's state, ``"<parameter>.<name>"``.
    random : dict
        State of the NumPy generator that draws the batches.
    history : list of dict
        For every validation so far: ``step``, ``loss`` (mean since the previous validation) and
        ``stopping_sprmse`` (in the unit of the readings, of stations that take part in training).
        Residual networks have an entry for step 0, which has no loss.
    seconds : float
        Time spent in training, including that before an interruption.
    """

    config: RunConfig
    city: dict[str, Any]
    scaler: Scaler
    weights: Tensors = field(default_factory=dict)
    best: Tensors = field(default_factory=dict)
    adam: Tensors = field(default_factory=dict)
    random: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def step(self) -> int:
        """Steps taken."""
        return int(self.history[-1]["step"]) if self.history else 0

    @property
    def best_sprmse(self) -> float:
        """The lowest validation spRMSE so far; infinite before the first validation."""
        return min((entry["stopping_sprmse"] for entry in self.history), default=math.inf)

    @property
    def finished(self) -> bool:
        """Whether training has taken all steps or was stopped early, after `config.patience`."""
        scores = [entry["stopping_sprmse"] for entry in self.history]
        stale = len(scores) - 1 - scores.index(self.best_sprmse) if scores else 0
        patience = self.config.patience
        return self.step >= self.config.steps or (patience is not None and stale >= patience)

    def write(self, directory: Path) -> None:
        """Write the file in `directory` atomically."""
        tensors = {
            f"{group}/{name}": tensor.detach().contiguous()
            for group in ("weights", "best", "adam")
            for name, tensor in getattr(self, group).items()
        }
        facts = {
            "config": asdict(self.config),
            "city": self.city,
            "scaler": asdict(self.scaler),
            "random": self.random,
            "history": self.history,
            "seconds": self.seconds,
        }
        with atomic_path(Path(directory) / FILE_NAME) as path:
            path.write_bytes(save(tensors, {"tritonbn": json.dumps(facts)}))

    @classmethod
    def read(cls, directory: Path, city: CityData) -> "Checkpoint | None":
        """Read the file in `directory`; return None if there is none.

        Raises
        ------
        CheckpointError
            If the file cannot be read, or was written for another city.
        """
        path = Path(directory) / FILE_NAME
        if not path.exists():
            return None
        groups: dict[str, Any] = {"weights": {}, "best": {}, "adam": {}}
        try:
            with safe_open(path, framework="pt") as file:
                facts = json.loads(file.metadata()["tritonbn"])
                for key in file.keys():  # noqa: SIM118 - safe_open is no mapping
                    group, name = key.split("/")
                    groups[group][name] = file.get_tensor(key)
            config, scaler = RunConfig(**facts.pop("config")), Scaler(**facts.pop("scaler"))
            checkpoint = cls(config=config, scaler=scaler, **groups, **facts)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{path} is not a checkpoint of this version of tritonbn: {error}; delete the "
                "folder of the run and train again"
            ) from error
        here = identity(city)
        differ = [name for name, fact in checkpoint.city.items() if here.get(name) != fact]
        if differ:
            raise CheckpointError(
                f"{path} was trained on a city whose {' and '.join(differ)} differ from those of "
                f"{city.name}; choose another folder (--out), or the data and grid of that training"
            )
        return checkpoint

    def require(self, config: RunConfig, directory: Path) -> None:
        """Raise `CheckpointError` if the run found in `directory` has another configuration."""
        there = asdict(self.config)
        differ = [
            f"{name} is {there[name]}, not {value}"
            for name, value in asdict(config).items()
            if there[name] != value
        ]
        if differ:
            raise CheckpointError(
                f"{Path(directory) / FILE_NAME} belongs to another run: {'; '.join(differ)}; "
                f"choose another folder (--out) or remove it"
            )


def identity(city: CityData) -> dict[str, Any]:
    """Return what identifies a city, for JSON.

    A checkpoint of an earlier version has fewer of these facts; it is compared by those.
    """
    readings = hashlib.sha256(np.ascontiguousarray(city.times).tobytes())
    # NaN has several bit patterns
    one_nan = np.where(city.observed, city.values, np.float32(np.nan))
    readings.update(one_nan.tobytes())
    return {
        "stations": city.stations["station"].to_list(),
        "cells": city.cells.tolist(),
        "grid": list(city.grid),
        "step": int(city.step / np.timedelta64(1, "s")),
        "readings": readings.hexdigest(),
        "positions": city.stations[["latitude", "longitude"]].to_numpy(np.float64).tolist(),
    }
