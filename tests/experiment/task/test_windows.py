from dataclasses import replace

import numpy as np
import pytest

from data_prep.city import CityData, DataError
from tritonbn.experiment.task.parts import split
from tritonbn.experiment.task.windows import Windows


def with_values(city: CityData, values: np.ndarray) -> CityData:
    return replace(city, values=values.astype(np.float32))


def without_times(city: CityData, dropped: list[int]) -> CityData:
    kept = np.setdiff1d(np.arange(len(city.times)), dropped)
    return replace(city, times=city.times[kept], values=city.values[kept])


class TestWindows:
    @pytest.mark.parametrize("timesteps", [1, 3])
    @pytest.mark.parametrize("horizon", [0, 1])
    def test_times_are_those_of_the_part_whose_window_ends_with_readings(
        self, make_city, timesteps, horizon
    ):
        city = without_times(make_city(times=300), [10, 11, 40, 210, 280])
        values = city.values.copy()
        values[[0, 5, 30, 215, 216]] = np.nan
        city = with_values(city, values)
        windows = Windows(city, timesteps, horizon)
        for name, part in split(city).items():
            expected = []
            for time in range(part.start, part.stop):
                end = city.times[time] - horizon * np.timedelta64(1, "h")
                seen = city.observed[city.times == end]
                if len(seen) and seen.any():
                    expected.append(time)
            assert windows.times(name).tolist() == expected

    def test_a_window_ends_in_its_part_or_the_gap_before_it(self, city):
        for timesteps in (1, 24):
            windows = Windows(city, timesteps, horizon=1)
            for earlier, later in (("train", "validation"), ("validation", "test")):
                first = windows.times(later)[0]
                assert first - timesteps >= split(city)[earlier].stop - 1

    def test_readings_of_times_that_the_city_does_not_have_are_missing(self, city):
        gap = without_times(city, [50])
        readings = Windows(gap, timesteps=3, horizon=0).readings(np.array([0, 51]))
        expected = np.full((2, 3, 6), np.nan, np.float32)
        expected[0, 2] = city.values[0]
        expected[1, 1:] = city.values[[51, 52]]
        np.testing.assert_array_equal(readings, expected)

    def test_count_takes_them_evenly(self, city):
        windows = Windows(city, 1, 0)
        times = windows.times("test", 7)
        assert len(times) == 7
        assert times[[0, -1]].tolist() == windows.times("test")[[0, -1]].tolist()
        assert np.ptp(np.diff(times)) <= 1
        assert len(windows.times("test", 10**6)) == len(windows.times("test"))

    def test_an_empty_part_is_an_error_that_says_why(self, make_city):
        with pytest.raises(
            DataError, match=r"the validation part .* is empty: 100 times are too few"
        ):
            Windows(make_city(times=100), 4, 1).times("validation")

    def test_a_part_without_readings_is_an_error_that_says_where(self, city):
        values = city.values.copy()
        values[split(city)["train"].stop :] = np.nan
        with pytest.raises(DataError, match=r"the test part .* \(36 of 300 times\) has no time"):
            Windows(with_values(city, values), 4, 1).times("test")

    def test_one_station_is_an_error(self, make_city):
        with pytest.raises(DataError, match="Testville has one station"):
            Windows(make_city(stations=1), 1, 0)

    def test_inputs_are_the_readings_before_the_horizon_filled_by_idw(self, city):
        windows = Windows(city, timesteps=3, horizon=1)
        times = windows.times("validation", 20)
        hidden = np.random.default_rng(0).random((len(times), 6)) < 0.3
        inputs = windows.inputs(times, hidden)
        assert inputs.shape == (20, 3, 6)
        assert inputs.dtype == np.float32
        for b, time in enumerate(times):
            for k, at in enumerate((time - 3, time - 2, time - 1)):
                visible = city.observed[at] & ~hidden[b]
                for s in range(6):
                    if hidden[b, s]:
                        expected = np.nan
                    elif city.observed[at, s]:
                        expected = city.values[at, s]
                    else:
                        weights = windows.distances[s, visible] ** -2
                        expected = np.average(city.values[at, visible], weights=weights)
                    np.testing.assert_allclose(inputs[b, k, s], expected, rtol=1e-5)

    @pytest.mark.parametrize("secret", [np.nan, 1e6])
    def test_inputs_know_nothing_of_hidden_stations(self, city, secret):
        times = Windows(city, 2, 1).times("test")
        hidden = np.zeros((len(times), 6), bool)
        hidden[:, 2] = True
        values = city.values.copy()
        values[:, 2] = secret
        inputs, blind = (
            Windows(c, 2, 1).inputs(times, hidden) for c in (city, with_values(city, values))
        )
        assert inputs.tobytes() == blind.tobytes()

    def test_require_names_what_is_missing(self, city):
        gap = without_times(city, [50])
        windows = Windows(gap, timesteps=2, horizon=1)
        windows.require(2)
        windows.require(49)
        for time in (-1, 299):
            with pytest.raises(DataError, match=rf"in Testville must be from 0 to 298, got {time}"):
                windows.require(time)
        with pytest.raises(DataError, match="Testville has a reading at 2023-01-03T02:00:00"):
            windows.require(50)
