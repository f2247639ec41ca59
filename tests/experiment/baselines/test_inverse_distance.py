from dataclasses import replace

import numpy as np
import pytest

from data_prep.city import DataError
from data_prep.fill import distances_km
from tritonbn.experiment.baselines.inverse_distance import (
    POWERS,
    InverseDistance,
    OffsetInverseDistance,
    best_power,
)


def by_hand(training, newest, station, power):
    """IDW of a station from one time, by the definition; None where there is nothing."""
    distances = distances_km(training.latitude, training.longitude)
    others = [s for s in range(len(newest)) if s != station and not np.isnan(newest[s])]
    if not others:
        return None
    weights = [distances[station, s] ** -power for s in others]
    return np.average(newest[others].astype(float), weights=weights)


def errors_by_hand(training, station, power):
    errors = []
    for time in range(training.horizon, len(training.readings)):
        reading = training.readings[time, station]
        estimate = by_hand(training, training.readings[time - training.horizon], station, power)
        if estimate is not None and not np.isnan(reading):
            errors.append(float(reading) - estimate)
    return errors


@pytest.mark.parametrize("horizon", [0, 1])
def test_the_power_has_the_least_error_over_the_stations_hidden_in_turn(field, horizon):
    training, windows = field(horizon=horizon)
    training = replace(training, readings=training.readings[:60], hours=training.hours[:60])
    scores = [
        np.mean([np.sqrt(np.mean(np.square(errors_by_hand(training, s, p)))) for s in range(8)])
        for p in POWERS
    ]
    assert best_power(training) == POWERS[int(np.argmin(scores))]

    power = best_power(training.without(3))
    expected = [by_hand(training, newest, 3, power) for newest in windows[:, -1]]
    assert InverseDistance(training).estimate(windows, 3) == pytest.approx(expected, rel=1e-5)


def test_a_field_that_is_flat_but_for_noise_takes_the_least_power(field):
    training, _ = field()
    noise = np.random.default_rng(0).normal(20, 5, training.readings.shape).astype(np.float32)
    assert best_power(replace(training, readings=noise)) == POWERS[0]


@pytest.mark.parametrize("horizon", [0, 1])
def test_the_offset_is_the_mean_residual_of_the_training_part(field, horizon):
    training, windows = field(horizon=horizon)
    power = best_power(training)
    offset = np.mean(errors_by_hand(training, 3, power))
    expected = [by_hand(training, newest, 3, power) + offset for newest in windows[:, -1]]
    estimates = OffsetInverseDistance(training).estimate(windows, 3)
    assert estimates == pytest.approx(expected, rel=1e-5)


def test_an_offset_needs_a_time_in_common(field):
    training, windows = field()
    readings = training.readings.copy()
    readings[:100, 3] = np.nan
    readings[100:] = np.where(np.arange(8) == 3, 5.0, np.nan)
    baseline = OffsetInverseDistance(replace(training, readings=readings))
    with pytest.raises(DataError, match="simultaneous readings of the station and another"):
        baseline.estimate(windows, 3)
