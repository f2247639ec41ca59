"""What must not be known changes nothing, to the bit: no parameter, no statistic, no estimate."""

from dataclasses import replace

import every_network
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tritonbn.experiment.networks.checkpoint import FILE_NAME
from tritonbn.experiment.networks.network import Network
from tritonbn.experiment.networks.predict import predict_field
from tritonbn.experiment.networks.train import train_network
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.parts import split
from tritonbn.experiment.task.protocol import PROTOCOLS

SECRETS = (np.nan, 1e6)
SIZES = {"steps": 6, "batch_size": 8, "validate_every": 2, "validation_times": 10}
ARMS = [
    ("convlstm-dense", "local"),
    ("cnn-dense-percentile", "local"),
    ("cnn-residual", "local"),
    ("cnn-residual", "pooled-clusters"),
    pytest.param(("cnn-dense", "scaled"), marks=pytest.mark.slow),
    pytest.param(("cnn-convolution", "local"), marks=pytest.mark.slow),
    pytest.param(("cnn-lstm-dense", "local"), marks=pytest.mark.slow),
    pytest.param(("convlstm-residual", "local"), marks=pytest.mark.slow),
    pytest.param(("convlstm-residual", "recurrent"), marks=pytest.mark.slow),
    pytest.param(("cnn-residual", "scaled"), marks=pytest.mark.slow),
]


def config_of(arm, protocol, **options):
    network, norm = arm
    return every_network.config_of(Network.named(network), norm, protocol, **SIZES, **options)


def fitted(city, config, directory):
    """Everything that a training leaves: weights, the best of them, Adam's state, the scaler."""
    run = train_network(city, config, directory)
    return run, load_file(directory / FILE_NAME), run.scaler, run.history


def same(one, other):
    assert one[1].keys() == other[1].keys()
    assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])
    assert one[2:] == other[2:]


def with_secret(city, secret, times, station=slice(None)):
    values = city.values.copy()
    values[times, station] = secret
    return replace(city, values=values)


@pytest.mark.parametrize("arm", ARMS)
def test_a_held_out_station_changes_nothing(city, tmp_path, arm):
    for number in range(5):
        config = config_of(arm, "unseen", fold=number)
        held_out = Fold(city, "unseen", number).held_out
        cities = [city, *(with_secret(city, secret, slice(None), held_out) for secret in SECRETS)]
        results = [fitted(c, config, tmp_path / f"{number}-{k}") for k, c in enumerate(cities)]
        for blind in results[1:]:
            same(results[0], blind)
        for time in range(294, 300):
            fields = {
                predict_field(run, c, time, int(np.flatnonzero(held_out)[0])).tobytes()
                for (run, *_), c in zip(results, cities, strict=True)
            }
            assert len(fields) == 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("arm", ARMS)
def test_the_future_changes_nothing_fitted(city, tmp_path, arm, protocol):
    if "residual" in arm[0] and protocol == "paper":
        pytest.skip("residual networks learn from hidden stations")
    config = config_of(arm, protocol)
    seen = fitted(city, config, tmp_path / "seen")
    for secret in SECRETS:
        blind = with_secret(city, secret, split(city)["test"])
        same(seen, fitted(blind, config, tmp_path / str(secret)))


@pytest.mark.parametrize("protocol", ["paper", "masked"])
@pytest.mark.parametrize("arm", ARMS)
def test_a_hidden_station_changes_no_estimate_of_itself(city, tmp_path, arm, protocol):
    if "residual" in arm[0] and protocol == "paper":
        pytest.skip("residual networks learn from hidden stations")
    run = train_network(city, config_of(arm, protocol), tmp_path)
    test = np.arange(split(city)["test"].start, 300)
    for s in range(6):
        cities = [city, *(with_secret(city, secret, test, s) for secret in SECRETS)]
        for time in test[1::6]:
            assert len({predict_field(run, c, time, s).tobytes() for c in cities}) == 1
