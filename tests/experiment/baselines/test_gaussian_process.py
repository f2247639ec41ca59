from dataclasses import replace

import numpy as np
import pytest

from tritonbn.experiment.baselines.gaussian_process import TIMES, GaussianProcess, fit_kernel
from tritonbn.experiment.baselines.plane import east_north_km
from tritonbn.experiment.baselines.simple import MeanOfOthers


def by_hand(kernel, training, window, station):
    """The mean of a Gaussian process, from the covariances that the kernel stands for."""
    window = window[-TIMES:].astype(float)
    window[:, station] = np.nan
    places = east_north_km(training.latitude, training.longitude)
    points, values = [], []
    for age, readings in enumerate(window[::-1]):
        for s in np.flatnonzero(~np.isnan(readings)):
            points.append([*places[s], -age])
            values.append(readings[s] - np.nanmean(readings))
    points = np.array(points)
    target = np.array([[*places[station], training.horizon]])
    noise = kernel.k2.noise_level * np.eye(len(points))
    return np.nanmean(window[-1]) + float(
        kernel.k1(target, points)[0] @ np.linalg.solve(kernel.k1(points) + noise, values)
    )


@pytest.mark.parametrize("horizon", [0, 1])
def test_estimates_are_the_mean_of_the_process(field, horizon):
    training, windows = field(horizon=horizon, missing=0.3)
    kernel = fit_kernel(training.without(2))
    expected = [by_hand(kernel, training, window, 2) for window in windows]
    estimates = GaussianProcess(training).estimate(windows, 2)
    assert estimates == pytest.approx(expected, rel=1e-4)


def test_better_than_the_mean_on_a_smooth_field(field):
    training, windows = field(missing=0.0)
    truth = windows[:, -1, 2]
    errors = {
        baseline: np.sqrt(np.mean((baseline(training).estimate(windows, 2) - truth) ** 2))
        for baseline in (GaussianProcess, MeanOfOthers)
    }
    assert errors[GaussianProcess] < 0.6 * errors[MeanOfOthers]


def test_older_readings_matter(field):
    training, windows = field()
    older = windows.copy()
    older[:, :-1] += np.random.default_rng(0).normal(0, 20, older[:, :-1].shape)
    baseline = GaussianProcess(training)
    assert not np.allclose(baseline.estimate(older, 2), baseline.estimate(windows, 2), rtol=1e-3)


def test_readings_that_are_all_the_same(field):
    training, windows = field()
    baseline = GaussianProcess(replace(training, readings=np.full_like(training.readings, 7.0)))
    estimates = baseline.estimate(np.full_like(windows, 5.0), 2)
    assert estimates == pytest.approx(np.full(len(windows), 5.0))


def test_east_and_north_of_the_middle():
    places = east_north_km([60.0, 60.0, 60.0], [5.0, 5.1, 5.2])
    assert places == pytest.approx(np.array([[-5.5597, 0], [0, 0], [5.5597, 0]]), abs=1e-3)
    assert east_north_km([10.0, 10.2], [5.0, 5.0])[:, 1] == pytest.approx([-11.1195, 11.1195])
