from dataclasses import replace

import numpy as np
import pytest
import torch

from data_prep.fill import distances_km, idw
from tritonbn.experiment.networks.encoding import Published
from tritonbn.experiment.networks.residual_encoding import (
    CHANNELS,
    LIMIT,
    OF_CELLS,
    ResidualEncoding,
)
from tritonbn.experiment.networks.scaling import Scaler
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.geography import cell_axes, cell_distances_km, cell_edges

CPU = torch.device("cpu")
IDW = CHANNELS.index("idw")
TIMES = np.array([100, 7, 260])


def encoding(kind, city, protocol="masked", timesteps=2, number=0, **options):
    fold = Fold(city, protocol, number, timesteps)
    return kind(fold, Scaler.fit(fold.windows.city), CPU, **options)


@pytest.fixture
def hidden():
    return np.random.default_rng(0).random((3, 6)) < 0.4


def channel(x, name):
    return x[:, :, CHANNELS.index(name)].flatten(2)


@pytest.mark.parametrize("kind", [Published, ResidualEncoding])
def test_scaling_is_undone(city, hidden, kind):
    _, scale = encoding(kind, city).encode(TIMES, hidden)
    readings = torch.rand(3, 6) * 50
    fields = scale.unscale(scale.scale(readings).view(3, 1, 2, 3))
    torch.testing.assert_close(fields.view(3, 6), readings)


def test_readings_stand_in_their_cells_standardized_by_the_visible_readings(city, hidden):
    x, scale = encoding(ResidualEncoding, city).encode(TIMES, hidden)
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
    x, scale = encoding(ResidualEncoding, city).encode(TIMES, hidden)
    distances = distances_km(city.stations["latitude"], city.stations["longitude"])
    field = scale.unscale(x[:, -1, IDW : IDW + 1]).flatten(1)[:, city.cells.tolist()]
    expected = idw(city.values[TIMES], distances, visible=~hidden)
    np.testing.assert_allclose(field[hidden], expected[hidden], rtol=1e-3)


def test_the_time_of_day_has_its_angle(city, hidden):
    x, _ = encoding(ResidualEncoding, city).encode(TIMES, hidden)
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
    spread = replace(city, values=5 * city.values)  # by more than the smallest standard deviation
    x, _ = encoding(ResidualEncoding, spread).encode(TIMES, hidden)
    high = replace(city, values=15 * city.values + 50)
    y, _ = encoding(ResidualEncoding, high).encode(TIMES, hidden)
    for name in ("reading", "visible", "idw", "idw weight"):
        torch.testing.assert_close(channel(x, name), channel(y, name), atol=1e-3, rtol=0)


def test_held_out_stations_are_in_no_channel(make_city):
    city = make_city(stations=7)
    of_fold = encoding(ResidualEncoding, city, "unseen", number=1)
    blind = city.values.copy()
    blind[:, of_fold.fold.held_out] = 1e6
    nothing = np.zeros((3, 5 if of_fold.fold.held_out.sum() == 2 else 6), bool)
    x, _ = of_fold.encode(TIMES, nothing)
    y, _ = encoding(ResidualEncoding, replace(city, values=blind), "unseen", number=1).encode(
        TIMES, nothing
    )
    assert torch.equal(x, y)
    assert (channel(x, "visible")[..., city.cells[of_fold.fold.held_out]] == 0).all()


def test_without_any_visible_reading_there_is_no_target(city):
    x, scale = encoding(ResidualEncoding, city).encode(TIMES, np.ones((3, 6), bool))
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


@pytest.mark.parametrize(
    ("without", "blank"),
    [
        (["idw"], set(OF_CELLS) - {"reading", "visible"}),
        (["surroundings"], set(OF_CELLS) - {"reading", "visible", "idw", "idw weight"}),
        (["observed"], {"visible", "idw weight", "nearest distance"}),
        (["hour"], {"day sin", "day cos", "half-day sin", "half-day cos"}),
        (["context"], set()),
        (["observed", "idw"], set(OF_CELLS) - {"reading"}),
    ],
)
def test_the_channels_of_missing_options_are_zero_and_no_other_changes(
    city, hidden, without, blank
):
    whole, _ = encoding(ResidualEncoding, city).encode(TIMES, hidden)
    x, _ = encoding(ResidualEncoding, city, without=without).encode(TIMES, hidden)
    for name in CHANNELS:
        expected = torch.zeros(()) if name in blank else channel(whole, name)
        assert (channel(x, name) == expected).all()
        assert (channel(whole, name) != 0).any()


def test_the_channels_of_a_cell_tell_what_is_around_it(city, hidden):
    """Each cell by itself, from readings relative to mean and standard deviation."""
    x, scale = encoding(ResidualEncoding, city).encode(TIMES, hidden)
    km = cell_distances_km(city)
    between = km[:, city.cells]
    typical = np.median(between[between > between.min()])
    for b, time in enumerate(TIMES):
        seen = np.flatnonzero(city.observed[time] & ~hidden[b])
        z = (city.values[time, seen] - scale.offset[b].item()) / scale.factor[b].item()
        assert np.abs(z).max() < LIMIT
        for cell in range(30):
            d = np.maximum(km[seen, cell] / typical, 0.05)
            mean = np.average(z, weights=d**-2)
            expected = {
                "idw": mean,
                "idw weight": np.log((d**-2).sum()) / 2,
                "idw far": np.average(z, weights=d**-1),
                "idw near": np.average(z, weights=d**-4),
                "idw std": np.sqrt(np.average((z - mean) ** 2, weights=d**-2)),
                "nearest distance": np.log(d.min()),
            }
            for name, value in expected.items():
                found = channel(x, name)[b, -1, cell].item()
                assert found == pytest.approx(value, abs=2e-3), name
            nearest = channel(x, "nearest")[b, -1, cell].item()
            assert np.abs(nearest - z[d < 1.001 * d.min()]).min() < 1e-4


def test_readings_far_from_the_mean_are_limited(make_city):
    city = make_city(stations=12, missing=0.0)
    values = city.values.copy()
    values[100, 3] = 1e4
    city = replace(city, values=values)
    nothing = np.zeros((1, 12), bool)
    largest = {
        without: channel(
            encoding(ResidualEncoding, city, without=without).encode(TIMES[:1], nothing)[0],
            "reading",
        )
        .max()
        .item()
        for without in ((), ("limit",))
    }
    assert largest == {(): LIMIT, ("limit",): pytest.approx(np.sqrt(11), rel=1e-3)}


def test_without_scaling_by_sample_the_training_part_is_from_minus_1_to_1(city, hidden):
    residual = encoding(ResidualEncoding, city, without=["scaling"])
    x, scale = residual.encode(np.arange(180), np.zeros((180, 6), bool))
    readings = channel(x, "reading")[channel(x, "visible") == 1]
    assert (readings.min(), readings.max()) == (pytest.approx(-1), pytest.approx(1))
    assert scale.offset.unique().numel() == 1


def test_scaled_by_station_idw_knows_what_a_hidden_station_is_usually_like(make_city):
    city = make_city(times=2000)
    level = 30 + 10 * np.sin(np.arange(2000) / 4)[:, None]
    offsets = np.array([-8, 12, 0, 5, -12, 30])
    city = replace(city, values=(level + offsets).astype(np.float32))
    times = np.arange(1700, 1800)
    for s, cell in enumerate(city.cells):
        hide = np.zeros((100, 6), bool)
        hide[:, s] = True
        x, scale = encoding(ResidualEncoding, city, by_station=True).encode(times, hide)
        field = scale.unscale(torch.zeros_like(x[:, -1, :1])).flatten(1)[:, cell].numpy()
        # zero is what the station is usually like; a day of readings at the mean pulls it there
        pull = 24 / (24 + 1200) * np.abs(offsets[s] - np.delete(offsets, s).mean())
        assert np.abs(field - city.values[times, s]).max() < pull + 0.1


def test_cells_without_a_station_have_what_the_stations_around_are_usually_like(city):
    residual = encoding(ResidualEncoding, city, by_station=True)
    mean, std = residual.normals
    elsewhere = np.setdiff1d(np.arange(30), city.cells)
    for of_cells in (mean, std):
        at_stations = of_cells[city.cells.tolist()]
        assert (of_cells[elsewhere] > at_stations.min()).all()
        assert (of_cells[elsewhere] < at_stations.max()).all()


def test_scaled_by_station_each_station_has_mean_0_and_deviation_1_in_training(city):
    scaled = encoding(Published, city, timesteps=1, by_station=True)
    windows = scaled.windows
    times = windows.times("train")
    nothing = np.zeros((len(times), len(city.stations)), bool)
    x, scale = scaled.encode(times, nothing)
    at_stations = x[:, 0, 0].flatten(1)[:, city.cells].double().numpy()
    at_stations[~city.observed[times]] = np.nan
    np.testing.assert_allclose(np.nanmean(at_stations, 0), 0, atol=1e-4)
    spread = np.nanstd(city.values[times].astype(np.float64), 0)
    np.testing.assert_allclose(np.nanstd(at_stations, 0), np.minimum(1, spread / 2), atol=1e-4)
    field = scale.unscale(x[:, 0])[:, 0].flatten(1)[:, city.cells].numpy()
    np.testing.assert_allclose(
        np.where(city.observed[times], field, 0), np.nan_to_num(city.values[times]), rtol=1e-5
    )
