"""What must not be known changes nothing, to the bit: no parameter, no statistic, no estimate."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tritonbn.experiment.checkpoint import FILE_NAME
from tritonbn.experiment.config import NETWORKS, RunConfig, is_wide
from tritonbn.experiment.dataset import split
from tritonbn.experiment.evaluate import predict_field
from tritonbn.experiment.folds import Fold
from tritonbn.experiment.train import train

PROTOCOLS = ("paper", "masked", "unseen")
ARMS = [
    ("convlstm-dense", "local"),
    ("cnn-dense", "scaled"),
    ("cnn-dense-percentile", "local"),
    ("cnn-convolution", "local"),
    ("cnn-lstm-dense", "local"),
    ("wide-convlstm", "local"),
    ("wide-cnn", "local"),
    ("wide-cnn", "scaled"),
]


def config_of(arm, protocol, **options):
    sizes = {"steps": 6, "batch_size": 8, "validate_every": 2, "validation_times": 10}
    network, norm = arm
    model, head, scaling = NETWORKS[network]
    options |= {"head": head, "scaling": scaling or "maximum"}
    return RunConfig(model, norm, protocol, timesteps=2, **sizes, **options)


def fitted(city, config, directory):
    """Everything that a training leaves: weights, the best of them, Adam's state, the scaler."""
    run = train(city, config, directory)
    return run, load_file(directory / FILE_NAME), run.scaler, run.history


def same(one, other):
    assert one[1].keys() == other[1].keys()
    assert all(torch.equal(one[1][name], other[1][name]) for name in one[1])
    assert one[2:] == other[2:]


def with_secret(city, secret, times, station=slice(None)):
    values = city.values.copy()
    values[times, station] = secret
    return replace(city, values=values)


@pytest.mark.parametrize("secret", [np.nan, 1e6])
@pytest.mark.parametrize("arm", ARMS)
def test_an_unseen_station_changes_nothing(city, tmp_path, arm, secret):
    for number in range(5):
        config = config_of(arm, "unseen", fold=number)
        absent = Fold(city, "unseen", number).absent
        blind = with_secret(city, secret, slice(None), absent)
        results = [
            fitted(c, config, tmp_path / f"{number}{name}")
            for name, c in (("seen", city), ("blind", blind))
        ]
        same(*results)
        for time in range(294, 300):
            fields = [
                predict_field(run, c, time, int(np.flatnonzero(absent)[0]))
                for (run, *_), c in zip(results, (city, blind), strict=True)
            ]
            assert fields[0].tobytes() == fields[1].tobytes()


@pytest.mark.parametrize("secret", [np.nan, 1e6])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("arm", ARMS)
def test_the_future_changes_nothing_fitted(city, tmp_path, arm, protocol, secret):
    if is_wide(arm[0]) and protocol == "paper":
        pytest.skip("wide networks learn from hidden stations")
    config = config_of(arm, protocol)
    blind = with_secret(city, secret, split(city)["test"])
    same(*(fitted(c, config, tmp_path / name) for name, c in (("a", city), ("b", blind))))


@pytest.mark.parametrize("secret", [np.nan, 1e6])
@pytest.mark.parametrize("protocol", ["paper", "masked"])
@pytest.mark.parametrize("arm", ARMS)
def test_a_hidden_station_changes_no_estimate_of_itself(city, tmp_path, arm, protocol, secret):
    if is_wide(arm[0]) and protocol == "paper":
        pytest.skip("wide networks learn from hidden stations")
    run = train(city, config_of(arm, protocol), tmp_path)
    test = np.arange(split(city)["test"].start, 300)
    for s in range(6):
        blind = with_secret(city, secret, test, s)
        for time in test[1::6]:
            fields = [predict_field(run, c, time, s) for c in (city, blind)]
            assert fields[0].tobytes() == fields[1].tobytes()
