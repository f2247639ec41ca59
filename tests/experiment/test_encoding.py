from dataclasses import replace

import numpy as np
import pytest
import torch

from data_prep.fill import distances_km, idw
from tritonbn.experiment.dataset import Scaler
from tritonbn.experiment.encoding import CHANNELS, IDW, Published, Wide
from tritonbn.experiment.folds import Fold
from tritonbn.experiment.geography import cell_axes, cell_distances_km, cell_edges

CPU = torch.device("cpu")
TIMES = np.array([100, 7, 260])


def encoding(kind, city, protocol="masked", timesteps=2, number=0):
    fold = Fold(city, protocol, number, timesteps)
    return kind(fold, Scaler.fit(fold.windows.city), CPU)


@pytest.fixture
def hidden():
    return np.random.default_rng(0).random((3, 6)) < 0.4


def channel(x, name):
    return x[:, :, CHANNELS.index(name)].flatten(2)


@pytest.mark.parametrize("kind", [Published, Wide])
def test_scaling_is_undone(city, hidden, kind):
    _, scale = encoding(kind, city).encode(TIMES, hidden)
    readings = torch.rand(3, 6) * 50
    fields = scale.unscale(scale.scale(readings).view(3, 1, 2, 3))
    torch.testing.assert_close(fields.view(3, 6), readings)


def test_readings_stand_in_their_cells_relative_to_mean_and_spread_of_the_visible(city, hidden):
    x, scale = encoding(Wide, city).encode(TIMES, hidden)
    assert x.shape == (3, 2, len(CHANNELS), *city.grid)
    for b, time in enumerate(TIMES):
        visible = city.observed[time] & ~hidden[b]
        seen = city.values[time, visible].astype(np.float64)
        assert scale.offset[b].item() == pytest.approx(seen.mean(), rel=1e-5)
        assert scale.factor[b].item() == pytest.approx(max(seen.std(), 2), rel=1e-4)
        z, there = channel(x, "reading")[b, -1], channel(x, "visible")[b, -1]
        cells = city.cells[visible]
        assert torch.equal(there.nonzero().flatten(), torch.tensor(np.sort(cells)))
        expected = (seen - seen.mean()) / max(seen.std(), 2)
        np.testing.assert_allclose(z[cells], expected, atol=1e-4)
        others = np.setdiff1d(np.arange(30), cells)
        assert (z[others] == 0).all()


def test_idw_in_the_cell_of_a_hidden_station_is_that_of_the_others(city, hidden):
    x, scale = encoding(Wide, city).encode(TIMES, hidden)
    distances = distances_km(city.stations["latitude"], city.stations["longitude"])
    field = scale.unscale(x[:, -1, IDW : IDW + 1]).flatten(1)[:, city.cells.tolist()]
    expected = idw(city.values[TIMES], distances, visible=~hidden)
    np.testing.assert_allclose(field[hidden], expected[hidden], rtol=1e-3)


def test_the_time_of_day_has_its_angle(city, hidden):
    x, _ = encoding(Wide, city).encode(TIMES, hidden)
    angle = torch.tensor(2 * np.pi * (TIMES % 24) / 24)
    for name, expected in (
        ("day sin", angle.sin()),
        ("day cos", angle.cos()),
        ("half-day sin", (2 * angle).sin()),
        ("half-day cos", (2 * angle).cos()),
    ):
        values = channel(x, name)
        assert (values == values[..., :1]).all()
        torch.testing.assert_close(values[:, 0, 0].double(), expected, atol=1e-5, rtol=0)


def test_what_is_learned_is_the_same_at_every_level_of_pollution(city, hidden):
    spread = replace(city, values=5 * city.values)  # by more than the narrowest spread
    x, _ = encoding(Wide, spread).encode(TIMES, hidden)
    high = replace(city, values=15 * city.values + 50)
    y, _ = encoding(Wide, high).encode(TIMES, hidden)
    for name in ("reading", "visible", "idw", "idw weight"):
        torch.testing.assert_close(channel(x, name), channel(y, name), atol=1e-3, rtol=0)


def test_absent_stations_are_in_no_channel(make_city):
    city = make_city(stations=7)
    of_fold = encoding(Wide, city, "unseen", number=1)
    blind = city.values.copy()
    blind[:, of_fold.fold.absent] = 1e6
    nothing = np.zeros((3, 5 if of_fold.fold.absent.sum() == 2 else 6), bool)
    x, _ = of_fold.encode(TIMES, nothing)
    y, _ = encoding(Wide, replace(city, values=blind), "unseen", number=1).encode(TIMES, nothing)
    assert torch.equal(x, y)
    assert (channel(x, "visible")[..., city.cells[of_fold.fold.absent]] == 0).all()


def test_without_any_visible_reading_there_is_no_target(city):
    x, scale = encoding(Wide, city).encode(TIMES, np.ones((3, 6), bool))
    assert x.isfinite().all()
    assert scale.scale(torch.rand(3, 6)).isnan().all()


def test_cells_lie_between_their_neighbours_and_stations_in_theirs(city):
    latitudes, longitudes = cell_axes(city)
    assert (latitudes.shape, longitudes.shape) == ((5,), (6,))
    rows, columns = np.divmod(city.cells, 6)
    np.testing.assert_allclose(np.diff(latitudes), 0.01)
    assert np.abs(latitudes[rows] - city.stations["latitude"]).max() <= 0.005 + 1e-9
    assert np.abs(longitudes[columns] - city.stations["longitude"]).max() <= 0.005 + 1e-9


@pytest.mark.parametrize("grid", [(5, 6), (1, 12)])
def test_the_edges_of_the_grid_are_half_a_cell_beyond_the_middles(make_city, grid):
    city = make_city(grid=grid)
    latitudes, longitudes = cell_axes(city)
    expected = [longitudes[0] - 0.005, longitudes[-1] + 0.005, latitudes[0] - 0.005]
    np.testing.assert_allclose(cell_edges(city), [*expected, latitudes[-1] + 0.005])


def test_distances_to_the_cells_of_stations_are_those_to_the_stations(city):
    exact = distances_km(city.stations["latitude"], city.stations["longitude"])
    distances = cell_distances_km(city)
    assert distances.shape == (6, 30)
    np.testing.assert_allclose(distances[:, city.cells], exact, rtol=1e-5)
