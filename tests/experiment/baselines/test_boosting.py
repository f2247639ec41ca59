import numpy as np
import pytest

from data_prep.fill import distances_km
from tritonbn.experiment.baselines.boosting import NEIGHBOURS, Boosting, features
from tritonbn.experiment.baselines.plane import east_north_km
from tritonbn.experiment.baselines.simple import MeanOfOthers


def by_hand(newest, station, training):
    distances = distances_km(training.latitude, training.longitude)[station]
    places = east_north_km(training.latitude, training.longitude)
    visible = [s for s in range(len(newest)) if s != station and not np.isnan(newest[s])]
    nearest = sorted(visible, key=lambda s: distances[s])[:NEIGHBOURS]
    readings = newest[visible].astype(float)
    idw = np.average(readings, weights=distances[visible] ** -2)
    none = [np.nan] * (NEIGHBOURS - len(nearest))
    return np.array(
        [idw, readings.mean() - idw, readings.std()]
        + [newest[s] - idw for s in nearest] + none
        + [distances[s] for s in nearest] + none
        + [places[s, 0] - places[station, 0] for s in nearest] + none
        + [places[s, 1] - places[station, 1] for s in nearest] + none
    )  # fmt: skip


def test_features_are_what_surrounds_the_station(field):
    training, windows = field(missing=0.5)
    stations = np.arange(len(windows)) % 7 + 1
    table = features(windows[:, -1], stations, training)
    for row, station in enumerate(stations):
        expected = by_hand(windows[row, -1], station, training)
        np.testing.assert_allclose(table[row], expected, rtol=1e-4, atol=1e-4)


def test_better_than_the_mean_on_a_smooth_field(field):
    training, windows = field(missing=0.0)
    errors = {
        baseline: np.mean(
            [
                np.sqrt(np.mean((baseline(training).estimate(windows, s) - windows[:, -1, s]) ** 2))
                for s in range(4)
            ]
        )
        for baseline in (Boosting, MeanOfOthers)
    }
    assert errors[Boosting] < 0.8 * errors[MeanOfOthers]


def test_two_fits_agree_also_on_a_sample(field, monkeypatch):
    monkeypatch.setattr("tritonbn.experiment.baselines.boosting.MAX_SAMPLES", 300)
    training, windows = field()
    first, second = (Boosting(training).estimate(windows, 2) for _ in range(2))
    assert first == pytest.approx(second, abs=0)
