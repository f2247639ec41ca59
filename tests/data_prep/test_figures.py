"""The figures of a city show numbers that can be computed by hand."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data_prep.figures import draw_calendar, draw_coverage, draw_diurnal
from data_prep.synthetic import synthetic_city


@pytest.fixture(scope="module")
def city():
    """Hours of 28 February to 3 March; no readings on the 1st of March, no times on the 2nd."""
    city = synthetic_city(days=5, grid=(8, 8))
    hourly = slice(None, None, 60)
    times = city.times[hourly] - city.times[0] + np.datetime64("2024-02-28T00:00:00")
    values = city.values[hourly].copy()
    values[48:72] = np.nan
    kept = (np.arange(120) < 72) | (np.arange(120) >= 96)
    return replace(city, times=times[kept], values=values[kept])


def table(city):
    return pd.DataFrame(city.values.astype(float), pd.DatetimeIndex(city.times))


def test_the_hours_have_the_mean_and_the_quartiles_of_all_readings(city):
    (ax,) = draw_diurnal(city).axes
    hours = table(city).stack().droplevel(1)
    groups = hours.groupby(hours.index.hour)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), groups.mean(), rtol=1e-6)
    low = [bar.get_y() for bar in ax.patches]
    high = [bar.get_y() + bar.get_height() for bar in ax.patches]
    np.testing.assert_allclose(low, groups.quantile(0.25), rtol=1e-5)
    np.testing.assert_allclose(high, groups.quantile(0.75), rtol=1e-5)


def test_hours_without_a_reading_are_empty(city):
    (ax,) = draw_diurnal(replace(city, times=city.times[:2], values=city.values[:2])).axes
    assert np.flatnonzero(~np.isnan(ax.lines[0].get_ydata())).tolist() == [0, 1]


def test_the_calendar_has_the_mean_of_each_day_and_shows_the_days_without_readings(city):
    ax = draw_calendar(city).axes[0]
    inside, means = (mesh.get_array().reshape(2, 31) for mesh in ax.collections)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["2024-02", "2024-03"]
    assert np.argwhere(np.ma.filled(inside, np.nan) == 0).tolist() == [
        [0, 27],
        [0, 28],
        [1, 0],
        [1, 1],
        [1, 2],
    ]
    days = table(city).stack().droplevel(1).resample("D").mean()
    assert np.isnan(days.iloc[[2, 3]]).all()
    np.testing.assert_allclose(means[0, 27:29], days.iloc[:2], rtol=1e-6)
    assert means.mask[1, :2].all()
    assert means[1, 2] == pytest.approx(days.iloc[4], rel=1e-6)


def test_the_readings_of_each_station_are_counted(city):
    long = replace(city, times=city.times + (city.times - city.times[0]) * 23)
    for each, width in ((city, "h"), (long, "D")):
        picture = draw_coverage(each).axes[0].images[0].get_array()
        counts = table(each).resample(width).count().T
        np.testing.assert_array_equal(picture.filled(0), counts)
        np.testing.assert_array_equal(picture.mask, counts == 0)


def test_stations_are_named_while_there_is_space(city):
    assert "ANT_REF_R803" in [
        label.get_text() for label in draw_coverage(city).axes[0].get_yticklabels()
    ]
    rows = np.arange(93) % 31
    places = city.stations.iloc[rows].reset_index(drop=True)
    names = [f"S{row}" for row in range(93)]
    many = replace(
        city,
        stations=places.assign(station=names, cell=np.arange(93)),
        values=city.values[:, rows],
        grid=(10, 10),
    )
    assert not {*names} & {
        label.get_text() for label in draw_coverage(many).axes[0].get_yticklabels()
    }
