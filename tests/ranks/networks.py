"""Train a network of the experiment in one process or in several."""

from pathlib import Path

import torch
from safetensors.torch import load_file

from data_prep import load_city
from tritonbn.experiment.networks.checkpoint import FILE_NAME
from tritonbn.experiment.networks.config import ConfigError
from tritonbn.experiment.networks.data_parallel import Ranks
from tritonbn.experiment.networks.train import train_network


def train(configs, folder):
    """Return the losses, the scores, the weights and the state of Adam of each configuration."""
    ranks = Ranks()
    if torch.distributed.is_initialized():
        ranks = Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size())
    city = load_city("synthetic", days=10, grid=(8, 8))
    results = []
    for config in configs:
        losses, directory = [], Path(folder) / config.name
        trained = train_network(
            city,
            config,
            directory if ranks.is_first else None,
            device=torch.device("cpu"),
            on_step=lambda info, losses=losses: losses.append(info.loss),
            ranks=ranks,
        )
        scores = [entry["stopping_sprmse"] for entry in trained.history]
        weights = {name: value.clone() for name, value in trained.model.state_dict().items()}
        adam = {}
        if ranks.is_first:
            kept = load_file(directory / FILE_NAME)
            adam = {name: value for name, value in kept.items() if name.startswith("adam")}
        results.append((torch.tensor(losses), torch.tensor(scores), weights, adam))
    return results


def train_too_small_a_batch(config, folder):
    try:
        train([config], folder)
    except ConfigError as error:
        return str(error)
    return "no error"
