import numpy as np
import pytest
import torch

from data_prep.fill import idw
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.protocol import PROTOCOLS

PAPER, MASKED = PROTOCOLS["paper"], PROTOCOLS["masked"]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def windows(city, protocol, timesteps=1):
    return Fold(city, protocol, timesteps=timesteps).windows


def test_paper_predicts_the_next_time_and_masked_the_same(city):
    nothing = np.zeros((1, 6), bool)
    for protocol, last_seen in (("paper", 99), ("masked", 100)):
        seen = windows(city, protocol, timesteps=2).inputs(np.array([100]), nothing)[0, -1]
        observed = city.observed[last_seen]
        assert np.array_equal(seen[observed], city.values[last_seen, observed])


def test_paper_hides_nothing_and_asks_for_filled_readings(city, rng):
    w = windows(city, "paper")
    times = w.times("train", 50)
    hidden = PAPER.hide(rng, 50, 6)
    targets = PAPER.targets(w, times, hidden)
    observed = city.observed[times]
    assert not hidden.any()
    assert not observed.all()
    assert np.array_equal(targets[observed], city.values[times][observed])
    assert np.array_equal(targets[~observed], idw(city.values[times], w.distances)[~observed])


@pytest.mark.parametrize(("stations", "fifth"), [(2, 1), (6, 1), (25, 5), (32, 6)])
def test_masked_hides_a_fifth_of_the_stations_in_each_sample(rng, stations, fifth):
    hidden = MASKED.hide(rng, 4000, stations)
    assert hidden.shape == (4000, stations)
    assert (hidden.sum(axis=1) == fifth).all()
    share = fifth / stations
    deviation = np.sqrt(share * (1 - share) / 4000)
    np.testing.assert_allclose(hidden.mean(axis=0), share, atol=5 * deviation)


def test_masked_asks_only_for_readings_of_hidden_stations(city, rng):
    w = windows(city, "masked")
    times = w.times("train")
    hidden = MASKED.hide(rng, len(times), 6)
    targets = MASKED.targets(w, times, hidden)
    counts = hidden & city.observed[times]
    assert targets.dtype == np.float32
    assert np.array_equal(~np.isnan(targets), counts)
    assert np.array_equal(targets[counts], city.values[times][counts])


def test_masked_loss_is_the_mean_square_error_of_those(city, rng):
    cells = torch.tensor(city.cells)
    targets = torch.tensor([[torch.nan, 0.5, torch.nan], [0.1, torch.nan, torch.nan]])
    field = torch.rand(2, 1, 5, 6)
    errors = [field[0].flatten()[cells[1]] - 0.5, field[1].flatten()[cells[0]] - 0.1]
    loss = MASKED.loss(field, targets, cells[:3], torch.ones(1, 64, 1, 1))
    assert loss.item() == pytest.approx(np.mean(np.square([e.item() for e in errors])), rel=1e-5)
