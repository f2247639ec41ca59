import numpy as np
import pandas as pd
import pytest

from data_prep import CityData, DataError, read_archive, synthetic_city
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


@pytest.mark.parametrize("days", [0, 1.5, "3", None, True])
def test_a_period_that_is_no_whole_number_of_days_is_an_error(days):
    with pytest.raises(DataError, match=f"days must be a whole number, at least 1, got {days!r}"):
        synthetic_city(days=days)


@pytest.mark.parametrize("seed", [-1, 1.5, "a", None])
def test_a_seed_that_is_no_whole_number_is_an_error(seed, tmp_path):
    with pytest.raises(DataError, match=f"seed must be a whole number, at least 0, got {seed!r}"):
        synthetic_city(seed=seed)
    span = {"start": "2020-07-06", "end": "2020-07-07"}
    with pytest.raises(DataError, match="seed must be a whole number"):
        write_archive(tmp_path / "archive.zip", seed=seed, **span)


def test_a_city_of_numbers_of_numpy_can_be_saved(tmp_path):
    city = synthetic_city(seed=np.int64(1), days=np.int32(1))
    city.save(tmp_path)
    assert CityData.load(tmp_path).report == city.report
