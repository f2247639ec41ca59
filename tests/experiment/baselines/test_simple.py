import numpy as np
import pytest

from data_prep.fill import distances_km
from tritonbn.experiment.baselines import Training
from tritonbn.experiment.baselines.simple import MeanOfOthers, Nearest, OwnMean

# On one meridian: station 0 is nearest to 1, then to 2, then to 3.
LATITUDE, LONGITUDE = np.array([50.0, 50.01, 50.03, 50.06]), np.full(4, 4.0)
READINGS = np.array([[1, 2, 3, 4], [3, np.nan, 7, 9], [np.nan, 5, np.nan, 6]], np.float32)
TRAINING = Training(READINGS, np.arange(3.0), LATITUDE, LONGITUDE, 1.0, 0)
NEWEST = np.array(
    [[np.nan, 10, 20, 30], [np.nan, np.nan, 20, 30], [np.nan, np.nan, np.nan, 30]], np.float32
)
WINDOWS = np.stack([np.full_like(NEWEST, 99), NEWEST], axis=1)


def test_own_mean_of_the_training_part():
    assert OwnMean(TRAINING).estimate(WINDOWS, 0).tolist() == [2, 2, 2]
    assert OwnMean(TRAINING).estimate(WINDOWS, 1).tolist() == [3.5, 3.5, 3.5]


def test_mean_of_those_visible_at_the_newest_time():
    assert MeanOfOthers(TRAINING).estimate(WINDOWS, 0).tolist() == [20, 25, 30]


def test_nearest_that_is_visible_at_the_newest_time():
    assert Nearest(TRAINING).estimate(WINDOWS, 0).tolist() == [10, 20, 30]
    assert Nearest(TRAINING).estimate(WINDOWS, 3).tolist()[:2] == [20, 20]


def test_nearest_of_many(field):
    training, windows = field(missing=0.5)
    distances = distances_km(training.latitude, training.longitude)
    for station in range(8):
        estimates = Nearest(training).estimate(windows, station)
        for newest, estimate in zip(windows[:, -1], estimates, strict=True):
            visible = [s for s in range(8) if s != station and not np.isnan(newest[s])]
            if visible:
                nearest = min(visible, key=lambda s: distances[station, s])
                assert estimate == pytest.approx(newest[nearest])
