import numpy as np
import pandas as pd
import pytest

from data_prep import DataError, read_archive, synthetic_city
from data_prep.synthetic import write_archive


def test_the_city_equals_the_archive_of_the_same_period_and_seed(tmp_path):
    span = {"start": "2020-07-06T00:00", "end": "2020-07-06T23:59"}
    write_archive(tmp_path / "archive.zip", seed=5, progress=False, **span)
    read = read_archive(tmp_path / "archive.zip", progress=False, **span)
    city = synthetic_city(seed=5, days=1)
    assert (city.name, city.quantity, city.unit) == (read.name, read.quantity, read.unit)
    assert city.synthetic
    assert city.grid == read.grid
    pd.testing.assert_frame_equal(city.stations, read.stations)
    np.testing.assert_array_equal(city.times, read.times)
    np.testing.assert_array_equal(city.values, read.values)
    assert city.report["readings"] == read.report["readings"]


def test_the_city_is_marked_as_synthetic_and_has_a_reading_a_minute_at_31_stations():
    city = synthetic_city(days=1)
    assert city.synthetic
    assert city.name == "Antwerp (synthetic)"
    assert city.values.shape == (1440, 31)
    assert city.step == np.timedelta64(60, "s")
    assert city.stations.set_index("cell")["station"][621] == "ANT_REF_R803"
    assert 0.75 < city.observed.mean() < 1
    assert 1 < np.nanmedian(city.values) < 60


def test_a_seed_gives_identical_readings_on_any_grid():
    city = synthetic_city(seed=1, days=1)
    other_grid = synthetic_city(seed=1, days=1, grid=(16, 20))
    assert other_grid.grid == (16, 20)
    assert other_grid.values.tobytes() == city.values.tobytes()
    assert not np.array_equal(synthetic_city(days=1).values, city.values, equal_nan=True)


def test_a_period_without_a_day_is_an_error():
    with pytest.raises(DataError, match="days must be at least 1, got 0"):
        synthetic_city(days=0)
