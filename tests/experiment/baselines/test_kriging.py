from dataclasses import replace

import gstools
import numpy as np
import pytest

from data_prep.fill import distances_km
from tritonbn.experiment.baselines import Training
from tritonbn.experiment.baselines.kriging import (
    MAX_BINS,
    OrdinaryKriging,
    empirical_variogram,
    fit_variogram,
)


def by_hand(model, training, newest, station):
    """The estimate and its weights from the equations of ordinary kriging, with covariances."""
    distances = distances_km(training.latitude, training.longitude)
    visible = np.flatnonzero(~np.isnan(newest) & (np.arange(len(newest)) != station))

    def covariance(km):
        return model.var * np.exp(-km / model.len_scale)

    system = np.ones((len(visible) + 1, len(visible) + 1))
    system[:-1, :-1] = covariance(distances[np.ix_(visible, visible)])
    np.fill_diagonal(system, model.var + model.nugget)
    system[-1, -1] = 0
    weights = np.linalg.solve(system, [*covariance(distances[visible, station]), 1])[:-1]
    return weights @ newest[visible], weights


@pytest.mark.parametrize("stations", [3, 6, 17])  # 3, 15 and 136 pairs
def test_the_empirical_variogram_is_that_of_simultaneous_readings(stations):
    rng = np.random.default_rng(stations)
    latitude, longitude = 50 + rng.uniform(0, 0.3, (2, stations))
    readings = rng.normal(20, 5, (40, stations)).astype(np.float32)
    readings[rng.random(readings.shape) < 0.3] = np.nan
    distances = distances_km(latitude, longitude)
    first, second = np.triu_indices(stations, k=1)
    pairs = np.argsort(distances[first, second])
    bins = min(MAX_BINS, len(pairs))
    edges = np.quantile(distances[first, second], np.linspace(0, 1, bins + 1))
    lengths, squares = [[] for _ in range(bins)], [[] for _ in range(bins)]
    for i, j in zip(first[pairs], second[pairs], strict=True):
        number = min(np.searchsorted(edges, distances[i, j] + 1e-9) - 1, bins - 1)
        for difference in (readings[:, i] - readings[:, j]).astype(float):
            if not np.isnan(difference):
                lengths[number].append(distances[i, j])
                squares[number].append(difference**2)
    training = Training(readings, np.arange(40.0), latitude, longitude, 1.0, 0)
    found_lengths, variogram = empirical_variogram(training)
    assert found_lengths == pytest.approx([np.mean(of) for of in lengths])
    assert variogram == pytest.approx([np.mean(of) / 2 for of in squares])


def test_estimates_solve_the_kriging_equations(field):
    training, windows = field()
    model = fit_variogram(training.without(2))
    estimates = OrdinaryKriging(training).estimate(windows, 2)
    expected = [by_hand(model, training, newest, 2) for newest in windows[:, -1]]
    assert estimates == pytest.approx([estimate for estimate, _ in expected], rel=2e-3)
    assert [weights.sum() for _, weights in expected] == pytest.approx(np.ones(len(windows)))


def test_a_constant_added_to_all_readings_is_added_to_the_estimates(field):
    training, windows = field()
    baseline = OrdinaryKriging(training)
    more = baseline.estimate(windows + np.float32(100), 2)
    assert more == pytest.approx(baseline.estimate(windows, 2) + 100, rel=1e-5)


def test_what_a_time_adds_to_all_stations_does_not_change_the_variogram(field):
    training, _ = field()
    shift = np.random.default_rng(0).normal(0, 50, (len(training.hours), 1)).astype(np.float32)
    before, after = (
        fit_variogram(of)
        for of in (training, replace(training, readings=training.readings + shift))
    )
    assert (after.var, after.len_scale, after.nugget) == pytest.approx(
        (before.var, before.len_scale, before.nugget), rel=1e-2
    )


def test_the_variogram_that_made_the_readings_is_found():
    rng = np.random.default_rng(0)
    latitude, longitude = 50 + rng.uniform(0, 0.3, 30), 4 + rng.uniform(0, 0.4, 30)
    covariance = 9 * np.exp(-distances_km(latitude, longitude) / 5)
    np.fill_diagonal(covariance, 9 + 1)  # variance 9, length 5 km, nugget 1
    readings = 20 + rng.multivariate_normal(np.zeros(30), covariance, 2000)
    training = Training(readings.astype(np.float32), np.arange(2000.0), latitude, longitude, 1.0, 0)
    model = fit_variogram(training)
    assert isinstance(model, gstools.Exponential)
    assert model.var == pytest.approx(9, rel=0.15)
    assert model.len_scale == pytest.approx(5, rel=0.15)
    assert model.nugget == pytest.approx(1, abs=0.7)


def test_a_single_visible_station_is_the_estimate(field):
    training, windows = field()
    windows[0, -1] = [np.nan] * 7 + [33.0]
    assert OrdinaryKriging(training).estimate(windows[:1], 2) == pytest.approx([33.0])


def test_stations_on_one_corner_can_be_kriged(field):
    training, windows = field()
    latitude, longitude = training.latitude.copy(), training.longitude.copy()
    latitude[4], longitude[4] = latitude[5], longitude[5]
    baseline = OrdinaryKriging(replace(training, latitude=latitude, longitude=longitude))
    assert np.isfinite(baseline.estimate(windows, 2)).all()
