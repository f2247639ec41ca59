"""Checkpoints: what a run needs to go on where it was, in one safetensors file."""

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
from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.dataset import Scaler

FILE_NAME = "checkpoint.safetensors"

Tensors = dict[str, Tensor]


class CheckpointError(ValueError):
    """A checkpoint cannot be read, or belongs to another run; the message says which and why."""


@dataclass(frozen=True)
class Checkpoint:
    """A training run at one of its validations; empty before the first.

    Parameters
    ----------
    config : RunConfig
        What is run.
    city : dict
        What it is run on, from `identity`.
    scaler : Scaler
        Fitted to that city.
    weights, best : dict of Tensor
        The model's state now, and at the best validation.
    adam : dict of Tensor
        Adam's state, ``"<parameter>.<name>"``.
    random : dict
        State of the numpy generator that draws the batches.
    history : list of dict
        ``step``, ``loss`` (mean since the one before) and ``stopping_sprmse`` (ug/m3, of stations
        that training knows) of every validation so far; that of step 0, which only wide networks
        have, is without a loss.
    seconds : float
        Time spent, summed over resumptions.
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
        """The lowest validation spRMSE so far; infinite before the first."""
        return min((entry["stopping_sprmse"] for entry in self.history), default=math.inf)

    @property
    def finished(self) -> bool:
        """Whether all steps are taken, or validation has not improved for `config.patience`."""
        scores = [entry["stopping_sprmse"] for entry in self.history]
        stale = len(scores) - 1 - scores.index(self.best_sprmse) if scores else 0
        patience = self.config.patience
        return self.step >= self.config.steps or (patience is not None and stale >= patience)

    def write(self, directory: Path) -> None:
        """Write into `directory`, whole or not at all."""
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
        """Read what `write` wrote; None where there is nothing.

        Raises
        ------
        CheckpointError
            If the file cannot be read or was written for a city other than `city`.
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
            raise CheckpointError(f"{path} is no checkpoint of tritonbn: {error}") from error
        here = identity(city)
        differ = [name for name in here if checkpoint.city.get(name) != here[name]]
        if differ:
            raise CheckpointError(
                f"{path} belongs to a city with other {', '.join(differ)} than {city.name} here; "
                f"choose another folder, or the data and grid that it was trained on"
            )
        return checkpoint

    def require(self, config: RunConfig, directory: Path) -> None:
        """Raise `CheckpointError` if this run, found in `directory`, is not that of `config`."""
        there = asdict(self.config)
        differ = [
            f"{name} is {there[name]}, not {value}"
            for name, value in asdict(config).items()
            if there[name] != value
        ]
        if differ:
            raise CheckpointError(
                f"{Path(directory) / FILE_NAME} belongs to another run: {'; '.join(differ)}; "
                f"choose another folder or remove it"
            )


def identity(city: CityData) -> dict[str, Any]:
    """Tell one city from another by its stations, cells, grid and readings, as JSON can hold it."""
    readings = hashlib.sha256(np.ascontiguousarray(city.times).tobytes())
    one_nan = np.where(city.observed, city.values, np.float32(np.nan))  # there are many
    readings.update(one_nan.tobytes())
    return {
        "stations": city.stations["station"].to_list(),
        "cells": city.cells.tolist(),
        "grid": list(city.grid),
        "readings": readings.hexdigest(),
    }
