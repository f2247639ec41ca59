"""Train and test the networks of a run: one for each fold of its protocol."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from data_prep.city import CityData
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.data_parallel import Ranks
from tritonbn.experiment.networks.predict import OnProgress, evaluate
from tritonbn.experiment.networks.train import OnStep, train_network
from tritonbn.experiment.networks.trained import TrainedNetwork
from tritonbn.experiment.task.parts import TESTED_PARTS
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.experiment.task.record import Record
from tritonbn.experiment.task.scores import joined


def train_folds(
    city: CityData,
    config: RunConfig,
    directory: Path | None = None,
    *,
    device: torch.device | None = None,
    on_step: OnStep | None = None,
    ranks: Ranks | None = None,
) -> list[TrainedNetwork]:
    """Train a network for each fold, or resume where training was interrupted.

    Parameters
    ----------
    city : CityData
    config : RunConfig
        Its fold is ignored.
    directory : Path, optional
        The folder of the run, in which each fold has its checkpoint. Default: none is written.
    device : torch.device, optional
        Default: the GPU if there is one.
    on_step : callable, optional
        Called after each training step.
    ranks : Ranks, optional
        The processes that train together; see `train_network`. Default: this process alone.

    Raises
    ------
    CheckpointError, DataError, FloatingPointError
        As of `train_network`.
    """
    return [
        train_network(
            city,
            fold,
            fold_directory(directory, fold) if directory else None,
            device=device,
            on_step=on_step,
            ranks=ranks,
        )
        for fold in folds_of(config)
    ]


def folds_of(config: RunConfig) -> list[RunConfig]:
    """Return the configuration of each fold of a run."""
    return [replace(config, fold=number) for number in range(PROTOCOLS[config.protocol].folds)]


def fold_directory(directory: Path, config: RunConfig) -> Path:
    """Return the folder of the checkpoint of one fold, given that of the run."""
    several = PROTOCOLS[config.protocol].folds > 1
    return directory / f"fold{config.fold}" if several else directory


def history_of(networks: Sequence[TrainedNetwork]) -> list[dict[str, float]]:
    """Return one entry for each validation of each network, with the number of its fold."""
    return [
        {"fold": network.config.fold, **entry} for network in networks for entry in network.history
    ]


def evaluate_networks(
    city: CityData,
    config: RunConfig,
    networks: Sequence[TrainedNetwork],
    on_progress: OnProgress | None = None,
) -> Record:
    """Test the networks of a run, one for each fold, and return what they estimated."""
    folds = [
        {part: evaluate(network, city, part, on_progress=on_progress) for part in TESTED_PARTS}
        for network in networks
    ]
    return Record(
        config.protocol,
        config.network.name,
        config.norm,
        config.seed,
        joined(folds),
        steps=sum(network.steps for network in networks),
        seconds=sum(network.seconds for network in networks),
        device=networks[-1].device.type,
        history=history_of(networks),
    )
