import numpy as np
import pytest
import torch
from every_network import ALLOWED, NORMS_OF, config_of

from tritonbn import LocalBN, Segments
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.recipes import recipe_of
from tritonbn.experiment.networks.residual_encoding import CHANNELS
from tritonbn.experiment.networks.scaling import Scaler
from tritonbn.experiment.task.folds import Fold

CPU = torch.device("cpu")


def recipe(
    backbone="cnn", norm="none", protocol="masked", without=(), design="residual", **settings
):
    settings = {"timesteps": 2 if norm == "recurrent" else 1} | settings
    config = RunConfig.preset(
        "quick", backbone, norm, protocol, design=design, without=without, **settings
    )
    return recipe_of(config)


def network_of(run, city):
    return run.network(run.config.fold_of(city), CPU)


def test_several_stations_are_hidden_in_a_sample_or_one():
    rng = np.random.default_rng(0)
    whole = recipe().hide(rng, 2000, 20).mean(axis=1)
    assert whole.min() < 0.1
    assert whole.max() > 0.4
    assert whole.mean() == pytest.approx(0.29, abs=0.02)
    one = recipe(without=["several"]).hide(rng, 2000, 20)
    assert (one.sum(axis=1) == 1).all()
    assert one.any(axis=0).all()


def test_the_loss_is_of_hidden_stations_or_of_all(city):
    windows = Fold(city, "masked").windows
    times = np.array([20, 21, 22])
    hidden = np.random.default_rng(1).random((3, 6)) < 0.5
    for without, counted in ((), hidden), (["hiding"], True):
        targets = recipe(without=without).targets(windows, times, hidden)
        expected = np.where(counted & city.observed[times], city.values[times], np.nan)
        np.testing.assert_array_equal(targets, expected)


def test_the_learning_rate_of_residual_networks_rises_and_falls_that_of_others_stays():
    shares = np.linspace(0, 1, 101)
    rates = np.array([recipe().rate(share) for share in shares])
    assert (np.diff(rates[:16]) > 0).all()
    assert rates[15] == pytest.approx(1)
    assert (np.diff(rates[15:]) < 0).all()
    assert rates[-1] == pytest.approx(0)
    assert {recipe(design="published").rate(share) for share in shares} == {1.0}


@pytest.mark.parametrize(
    ("options", "protocol", "context", "symmetric"),
    [
        ({"design": "published"}, "masked", False, False),
        ({}, "masked", True, False),
        ({"backbone": "convlstm"}, "masked", True, False),
        ({"without": ["context"]}, "masked", False, False),
        ({}, "unseen", False, True),
        ({"backbone": "convlstm"}, "unseen", False, True),
        ({"without": ["symmetry"]}, "unseen", False, False),
        ({"backbone": "convlstm", "norm": "recurrent"}, "masked", True, False),
        ({"backbone": "convlstm", "norm": "recurrent"}, "unseen", False, False),
    ],
)
def test_what_a_network_sees_at_once(city, options, protocol, context, symmetric):
    network = network_of(recipe(protocol=protocol, **options), city)
    assert (getattr(network.head, "context", None) is not None) == context
    assert network.symmetric == symmetric


def test_the_sizes_of_the_dense_head_are_those_of_the_run(city):
    run = recipe_of(RunConfig("cnn", "none", "paper", hidden=20, dropout=0.1))
    dense = network_of(run, city).head.dense
    assert dense[0].weight.shape == (20, 30)
    assert dense[2].p == 0.1


def test_without_a_correction_the_estimate_of_a_hidden_station_starts_at_the_mean(city):
    run = recipe(without=["correction"])
    network = network_of(run, city).eval()
    torch.nn.init.zeros_(network.head.context.maps)
    x = torch.randn(2, 1, len(CHANNELS), *city.grid)
    x[:, :, CHANNELS.index("reading")] = 0  # as where all stations are hidden
    assert (network(x) == 0).all()


@pytest.mark.parametrize(
    ("network", "norm", "protocol"),
    ALLOWED,
    ids=[f"{network.name}-{norm}-{protocol}" for network, norm, protocol in ALLOWED],
)
def test_what_is_allowed_can_be_built_and_run(city, network, norm, protocol):
    config = config_of(network, norm, protocol)
    run = recipe_of(config)
    fold = config.fold_of(city)
    encoding = run.encoding(fold, Scaler.fit(fold.windows.city, config.scaling), CPU)
    times = np.array([20, 21, 22])
    x, scale = encoding.encode(times, np.zeros((3, len(fold.windows.city.stations)), bool))
    field = scale.unscale(run.network(fold, CPU)(x))
    assert field.shape == (3, 1, *city.grid)
    assert field.isfinite().all()


def test_the_norms_of_the_cnn_differ(city):
    norms = NORMS_OF["cnn", "residual", "convolution"]
    nets = {norm: network_of(recipe(norm=norm), city) for norm in norms}
    assert [norm for norm, net in nets.items() if net.norm_after] == ["local-after"]
    assert [norm for norm, net in nets.items() if net.embedding is not None] == ["embedding"]
    local = {norm: net for norm, net in nets.items() if isinstance(net.norm, LocalBN)}
    assert [norm for norm, net in local.items() if net.norm.running_mean is None] == ["local-batch"]
    counts = {norm: net.norm.segments.num_segments for norm, net in local.items()}
    assert counts == {
        "local": 30, "local-nearest": 6, "local-stations": 7, "local-after": 30, "local-batch": 30,
        "pooled": 30, "pooled-clusters": 30,
    }  # fmt: skip


@pytest.mark.parametrize("design", ["published", "residual"])
def test_recurrent_networks_normalize_each_of_their_times_locally(city, design):
    run = recipe_of(RunConfig.preset("quick", "convlstm", "recurrent", design=design, timesteps=4))
    model = network_of(run, city)
    for norm in (model.cell.input_norm, model.cell.recurrent_norm):
        assert norm.running_mean.shape[0] == 4
        assert norm.segments == model.norm.segments == Segments.per_cell(city.grid)


@pytest.mark.parametrize(
    ("norm", "segments"), [("pooled", [30, 6, 1]), ("pooled-clusters", [30, 6, 4, 1])]
)
def test_pooled_layers_have_their_levels_and_tau(city, norm, segments):
    layer = network_of(recipe(norm=norm, pooling=7.0), city).norm
    assert [level.num_segments for level in layer.levels.levels] == segments
    assert set(layer.tau.tolist()) == {7.0}


@pytest.mark.parametrize(
    ("norm", "segments"), [("local", 30), ("local-after", 30), ("local-nearest", 4)]
)
def test_unseen_stations_have_no_segment(make_city, norm, segments):
    city = make_city(stations=5)
    network = network_of(recipe(norm=norm, protocol="unseen"), city)
    assert network.norm.segments.num_segments == segments
