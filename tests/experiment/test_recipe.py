from itertools import product

import numpy as np
import pytest
import torch

from tritonbn import LocalBN
from tritonbn.experiment.config import NETWORKS, NORMS, RunConfig, lacks_of, refusal
from tritonbn.experiment.dataset import Scaler
from tritonbn.experiment.encoding import CHANNELS
from tritonbn.experiment.folds import Fold
from tritonbn.experiment.protocol import PROTOCOLS
from tritonbn.experiment.recipe import recipe_of

CPU = torch.device("cpu")


def recipe(model="wide-cnn", norm="none", protocol="masked"):
    return recipe_of(RunConfig(model, norm, protocol))


def network_of(run, city):
    return run.network(Fold.of(city, run.config), CPU)


def test_several_stations_are_hidden_in_a_sample_or_one():
    rng = np.random.default_rng(0)
    whole = recipe().hide(rng, 2000, 20).mean(axis=1)
    assert whole.min() < 0.1
    assert whole.max() > 0.4
    assert whole.mean() == pytest.approx(0.29, abs=0.02)
    one = recipe("wide-cnn-no-several").hide(rng, 2000, 20)
    assert (one.sum(axis=1) == 1).all()
    assert one.any(axis=0).all()


def test_the_loss_is_of_hidden_stations_or_of_all(city):
    windows = Fold(city, "masked").windows
    times = np.array([20, 21, 22])
    hidden = np.random.default_rng(1).random((3, 6)) < 0.5
    for model, counted in (("wide-cnn", hidden), ("wide-cnn-no-hidden-only", True)):
        targets = recipe(model).targets(windows, times, hidden)
        expected = np.where(counted & city.observed[times], city.values[times], np.nan)
        np.testing.assert_array_equal(targets, expected)


def test_the_learning_rate_of_wide_networks_rises_and_falls_that_of_others_stays():
    shares = np.linspace(0, 1, 101)
    rates = np.array([recipe().rate(share) for share in shares])
    assert (np.diff(rates[:16]) > 0).all()
    assert rates[15] == pytest.approx(1)
    assert (np.diff(rates[15:]) < 0).all()
    assert rates[-1] == pytest.approx(0)
    assert {recipe("cnn").rate(share) for share in shares} == {1.0}


@pytest.mark.parametrize(
    ("model", "protocol", "context", "symmetric"),
    [
        ("cnn", "masked", False, False),
        ("wide-cnn", "masked", True, False),
        ("wide-convlstm", "masked", True, False),
        ("wide-cnn-no-context", "masked", False, False),
        ("wide-cnn", "unseen", False, True),
        ("wide-convlstm", "unseen", False, True),
        ("wide-cnn-no-symmetry", "unseen", False, False),
    ],
)
def test_what_a_network_sees_at_once(city, model, protocol, context, symmetric):
    network = network_of(recipe(model, protocol=protocol), city)
    assert (getattr(network.head, "context", None) is not None) == context
    assert network.symmetric == symmetric


def test_the_sizes_of_the_dense_head_are_those_of_the_run(city):
    run = recipe_of(RunConfig("cnn", "none", "paper", hidden=20, dropout=0.1))
    dense = network_of(run, city).head.dense
    assert dense[0].weight.shape == (20, 30)
    assert dense[2].p == 0.1


def test_without_a_correction_the_estimate_of_a_hidden_station_starts_at_the_mean(city):
    run = recipe("wide-cnn-no-correction")
    network = network_of(run, city).eval()
    torch.nn.init.zeros_(network.head.context.maps)
    x = torch.randn(2, 1, len(CHANNELS), *city.grid)
    x[:, :, CHANNELS.index("reading")] = 0  # as where all stations are hidden
    assert (network(x) == 0).all()


@pytest.mark.parametrize(
    ("network", "norm", "protocol"),
    [arm for arm in product(NETWORKS, NORMS, PROTOCOLS) if not refusal(*arm)],
)
def test_what_is_not_refused_can_be_built_and_run(city, network, norm, protocol):
    model, head, scaling = NETWORKS[network]
    times = 1 if lacks_of(model) == "window" else 2
    config = RunConfig(
        model, norm, protocol, head=head, scaling=scaling or "maximum", timesteps=times
    )
    run = recipe_of(config)
    fold = Fold.of(city, run.config)
    encoding = run.encoding(fold, Scaler.fit(fold.windows.city, config.scaling), CPU)
    times = np.array([20, 21, 22])
    x, scale = encoding.encode(times, np.zeros((3, len(fold.windows.city.stations)), bool))
    field = scale.unscale(run.network(fold, CPU)(x))
    assert field.shape == (3, 1, *city.grid)
    assert field.isfinite().all()


def test_the_norms_of_the_cnn_differ(city):
    nets = {norm: network_of(recipe(norm=norm), city) for norm in NORMS}
    assert [norm for norm, net in nets.items() if net.norm_after] == ["local-after"]
    assert [norm for norm, net in nets.items() if net.embedding is not None] == ["embedding"]
    local = {norm: net for norm, net in nets.items() if isinstance(net.norm, LocalBN)}
    assert [norm for norm, net in local.items() if net.norm.running_mean is None] == ["local-batch"]
    counts = {norm: net.norm.segments.num_segments for norm, net in local.items()}
    assert counts == {
        "local": 30, "local-nearest": 6, "local-stations": 7, "local-after": 30, "local-batch": 30
    }  # fmt: skip


@pytest.mark.parametrize(
    ("norm", "segments"), [("local", 30), ("local-after", 30), ("local-nearest", 4)]
)
def test_unseen_stations_have_no_segment(make_city, norm, segments):
    city = make_city(stations=5)
    network = network_of(recipe(norm=norm, protocol="unseen"), city)
    assert network.norm.segments.num_segments == segments
