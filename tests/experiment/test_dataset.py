from dataclasses import replace

import numpy as np
import pytest
import torch

from data_prep.city import CityData, DataError
from tritonbn.experiment.dataset import Scaler, Windows, split, to_grid
from tritonbn.experiment.encoding import Published
from tritonbn.experiment.folds import Fold


def with_values(city: CityData, values: np.ndarray) -> CityData:
    return replace(city, values=values.astype(np.float32))


def without_times(city: CityData, dropped: list[int]) -> CityData:
    kept = np.setdiff1d(np.arange(len(city.times)), dropped)
    return replace(city, times=city.times[kept], values=city.values[kept])


@pytest.mark.parametrize(("minutes", "purge"), [(60, 24), (1, 1440), (7, 206)])
@pytest.mark.parametrize("times", [8000, 8011])
def test_split_is_6_to_2_to_2_in_the_order_of_time_with_a_day_between(
    make_city, times, minutes, purge
):
    city = make_city(times=times)
    step = np.timedelta64(60 * minutes, "s")
    city = replace(city, times=city.times[0] + np.arange(times) * step)
    parts = split(city)
    assert list(parts) == ["train", "validation", "test"]
    train, validation, test = parts.values()
    assert (train.start, test.stop) == (0, times)
    assert validation.start - train.stop == test.start - validation.stop == purge
    sizes = [part.stop - part.start for part in parts.values()]
    expected = [0.6 * times, 0.2 * times - purge, 0.2 * times - purge]
    assert sizes == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("times", [2, 20, 100])
def test_parts_of_a_short_city_are_empty_rather_than_overlap(make_city, times):
    train, validation, test = split(make_city(times=times)).values()
    assert 0 <= train.stop <= validation.start <= validation.stop <= test.start <= test.stop
    assert test.stop == times


def scale_of(city):
    return Published(Fold(city, "masked"), Scaler.fit(city), torch.device("cpu")).scale


class TestScaler:
    def test_takes_minimum_and_maximum_over_all_stations(self, city):
        part = torch.tensor(city.values[split(city)["train"]])
        scaled = scale_of(city).scale(part).numpy()
        assert scaled.dtype == np.float32
        assert np.nanmin(scaled) == 0
        assert np.nanmax(scaled) == 1
        assert np.count_nonzero(np.nanmax(scaled, axis=0) == 1) == 1

    @pytest.mark.parametrize("later", [1e9, -1e9, np.nan])
    def test_knows_nothing_of_validation_and_test(self, city, later):
        values = city.values.copy()
        values[split(city)["train"].stop :] = later
        assert Scaler.fit(with_values(city, values)) == Scaler.fit(city)

    def test_unscale_undoes_scale(self, city):
        scale = scale_of(city)
        scaled = scale.scale(torch.tensor(city.values))[:, None, None]  # as (B, 1, 1, S)
        np.testing.assert_allclose(scale.unscale(scaled)[:, 0, 0], city.values, 1e-6)

    @pytest.mark.parametrize("value", [np.nan, 7.0])
    def test_needs_two_different_readings(self, city, value):
        with pytest.raises(DataError, match="Testville has no two different readings"):
            Scaler.fit(with_values(city, np.full_like(city.values, value)))


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

    def test_a_window_ends_in_its_part_or_the_purge_before_it(self, city):
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

    def test_no_time_is_an_error_that_says_where(self, make_city):
        with pytest.raises(
            DataError,
            match=r"the validation part .* \(0 of 100 times\) has no",
        ):
            Windows(make_city(times=100), 4, 1).times("validation")

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
            with pytest.raises(DataError, match=rf"must be 0 \.\. 298 in Testville, got {time}"):
                windows.require(time)
        with pytest.raises(DataError, match="Testville has a reading at 2023-01-03T02:00:00"):
            windows.require(50)


def test_to_grid_puts_values_into_cells_and_zero_elsewhere(city):
    stations = torch.rand(4, 2, 6)
    stations[1, 1, 3] = torch.nan
    grid = to_grid(stations, city)
    assert grid.shape == (4, 2, 1, 5, 6)
    expected = torch.zeros(4, 2, 1, 5, 6)
    for b in range(4):
        for t in range(2):
            for s, cell in enumerate(city.cells.tolist()):
                if (b, t, s) != (1, 1, 3):
                    expected[b, t, 0, cell // 6, cell % 6] = stations[b, t, s]
    assert torch.equal(grid, expected)


def test_the_published_parts_are_161_26_and_46_days_without_a_gap(make_city):
    city = make_city(times=233 * 24)
    train, validation, test = split(city, "161:26:46").values()
    assert (train.start, train.stop) == (0, 161 * 24)
    assert (validation.start, validation.stop) == (161 * 24, 187 * 24)
    assert (test.start, test.stop) == (187 * 24, 233 * 24)


def test_one_outlier_moves_the_maximum_and_not_the_percentile(city):
    values = city.values.copy()
    values[3, 2] = 489.0
    spoilt = with_values(city, values)
    assert Scaler.fit(spoilt).maximum == 489.0
    highest = Scaler.fit(spoilt, "percentile").maximum
    part = values[split(city)["train"]]
    assert highest == pytest.approx(np.nanquantile(part, 0.99))
    assert highest == pytest.approx(Scaler.fit(city, "percentile").maximum, rel=0.05)


def test_the_published_scaling_is_by_all_readings(city):
    values = city.values.copy()
    values[-1] = 489.0
    assert Scaler.fit(with_values(city, values), "all").maximum == 489.0
    assert Scaler.fit(with_values(city, values)).maximum < 100
