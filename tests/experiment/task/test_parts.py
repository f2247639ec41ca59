from dataclasses import replace

import numpy as np
import pytest

from tritonbn.experiment.task.parts import split


@pytest.mark.parametrize(("minutes", "gap"), [(60, 24), (1, 1440), (7, 206)])
@pytest.mark.parametrize("times", [8000, 8011])
def test_split_is_6_to_2_to_2_in_the_order_of_time_with_a_day_between(
    make_city, times, minutes, gap
):
    city = make_city(times=times)
    step = np.timedelta64(60 * minutes, "s")
    city = replace(city, times=city.times[0] + np.arange(times) * step)
    parts = split(city)
    assert list(parts) == ["train", "validation", "test"]
    train, validation, test = parts.values()
    assert (train.start, test.stop) == (0, times)
    assert validation.start - train.stop == test.start - validation.stop == gap
    sizes = [part.stop - part.start for part in parts.values()]
    expected = [0.6 * times, 0.2 * times - gap, 0.2 * times - gap]
    assert sizes == pytest.approx(expected, abs=1)


@pytest.mark.parametrize("times", [2, 20, 100])
def test_parts_of_a_short_city_are_empty_rather_than_overlap(make_city, times):
    train, validation, test = split(make_city(times=times)).values()
    assert 0 <= train.stop <= validation.start <= validation.stop <= test.start <= test.stop
    assert test.stop == times


def test_the_published_parts_are_161_26_and_46_days_without_a_gap(make_city):
    city = make_city(times=233 * 24)
    train, validation, test = split(city, "161:26:46").values()
    assert (train.start, train.stop) == (0, 161 * 24)
    assert (validation.start, validation.stop) == (161 * 24, 187 * 24)
    assert (test.start, test.stop) == (187 * 24, 233 * 24)


@pytest.mark.parametrize(("parts", "share"), [("3:3:2:2", 0.5), ("9:3:4:4", 0.25)])
@pytest.mark.parametrize("times", [8000, 8011])
def test_a_share_of_the_training_times_are_the_last_ones(make_city, times, parts, share):
    city = make_city(times=times)
    whole, fewer = split(city), split(city, parts)
    assert fewer["train"].stop == whole["train"].stop
    assert fewer["train"].stop - fewer["train"].start == pytest.approx(
        share * whole["train"].stop, abs=1
    )
    assert (fewer["validation"], fewer["test"]) == (whole["validation"], whole["test"])
