from dataclasses import replace

import numpy as np
import pytest

from data_prep.city import DataError
from data_prep.fill import distances_km
from tritonbn.experiment.baselines.ridge import Ridge


@pytest.mark.parametrize("horizon", [0, 1])
def test_a_linear_relation_is_found(field, horizon):
    training, windows = field(horizon=horizon)
    rng = np.random.default_rng(0)
    readings = rng.normal(30, 8, training.readings.shape).astype(np.float32)
    readings[horizon:, 2] = (4 + 0.7 * readings[:, 1] - 0.2 * readings[:, 5])[
        : len(readings) - horizon
    ]
    windows = rng.normal(30, 8, windows.shape).astype(np.float32)
    estimates = Ridge(replace(training, readings=readings)).estimate(windows, 2)
    expected = 4 + 0.7 * windows[:, -1, 1] - 0.2 * windows[:, -1, 5]
    assert estimates == pytest.approx(expected, abs=0.05)


def test_rows_across_a_gap_are_not_learned_from(field):
    training, windows = field(horizon=1, missing=0.0)
    hours = training.hours.copy()
    hours[100:] += 24
    gap = replace(training, hours=hours)
    wild = gap.readings.copy()
    wild[100, 2] = 1e4  # the first reading after the gap: nothing is an hour before it
    absent = wild.copy()
    absent[100, 2] = np.nan
    with_it, without_it = (
        Ridge(replace(gap, readings=of)).estimate(windows, 2) for of in (wild, absent)
    )
    np.testing.assert_array_equal(with_it, without_it)
    no_gap = Ridge(replace(training, readings=wild)).estimate(windows, 2)
    assert not np.allclose(with_it, no_gap, rtol=0.01)


def test_a_missing_reading_counts_as_its_idw_estimate(field):
    training, windows = field(missing=0.0)
    missing = windows.copy()
    missing[:, -1, 4] = np.nan
    others = [0, 1, 3, 5, 6, 7]  # neither the missing one nor the station itself
    weights = distances_km(training.latitude, training.longitude)[4, others] ** -2
    filled = windows.copy()
    filled[:, -1, 4] = np.average(windows[:, -1, others], weights=weights, axis=1)
    baseline = Ridge(training)
    assert baseline.estimate(missing, 2) == pytest.approx(baseline.estimate(filled, 2), rel=1e-5)


def test_the_station_does_not_fill_the_inputs_it_is_learned_from(field):
    training, windows = field()
    rng = np.random.default_rng(0)
    readings = rng.normal(30, 8, training.readings.shape).astype(np.float32)  # nothing to learn
    readings[:, 4] = np.nan  # filled from all others, in which the station would show
    windows = rng.normal(30, 8, windows.shape).astype(np.float32)
    estimates = Ridge(replace(training, readings=readings)).estimate(windows, 2)
    assert estimates == pytest.approx(np.full(len(windows), 30.0), abs=3)


def test_one_reading_in_common_is_too_little(field):
    training, windows = field()
    readings = training.readings.copy()
    readings[1:, 2] = np.nan
    readings[0] = 5.0
    with pytest.raises(
        DataError,
        match="needs two times of the training part at which the station and another one have",
    ):
        Ridge(replace(training, readings=readings)).estimate(windows, 2)
