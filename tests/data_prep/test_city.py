import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from data_prep.city import CityData, DataError

VALUES = np.array([[1, 2, np.nan], [np.nan, 0, 3]], np.float32)


@pytest.fixture
def city():
    return CityData(
        name="Kleinstadt",
        times=np.array(["2024-01-01T00:00", "2024-01-01T01:00"], "datetime64[s]"),
        stations=pd.DataFrame(
            {
                "station": ["a", "b", "c"],
                "latitude": [51.0, 51.1, 51.2],
                "longitude": [4.0, 4.1, 4.2],
                "cell": [0, 3, 5],
                "kind": ["road", None, "park"],
            }
        ),
        values=VALUES,
        grid=(2, 3),
        quantity="PM10",
        synthetic=True,
        report={"rows": 7, "window": {"start": "2024-01-01"}, "lost": ["x"]},
    )


def test_observed_marks_real_readings(city):
    assert city.observed.tolist() == [[True, True, False], [False, True, True]]
    assert city.cells.tolist() == [0, 3, 5]


def test_step_is_the_most_common_distance_between_times(city):
    times = np.array(["2024-01-01", "2024-01-03", "2024-01-04"], "datetime64[s]")
    gaps = replace(city, times=times, values=np.zeros((3, 3), np.float32))
    assert gaps.step == np.timedelta64(1, "D")
    hours = np.datetime64("2024-01-01", "s") + np.arange(5) * np.timedelta64(3600, "s")
    hours[2] += np.timedelta64(1, "s")  # a stamp that is off is not the step
    off = replace(city, times=hours, values=np.zeros((5, 3), np.float32))
    assert off.step == np.timedelta64(3600, "s")
    with pytest.raises(DataError, match="step of Kleinstadt needs at least two times, got 1"):
        _ = replace(city, times=times[:1], values=VALUES[:1]).step


def test_a_saved_city_is_the_same_when_loaded(city, tmp_path):
    city.save(tmp_path / "city")
    loaded = CityData.load(tmp_path / "city")
    np.testing.assert_array_equal(loaded.times, city.times)
    assert loaded.times.dtype == "datetime64[s]"
    np.testing.assert_array_equal(loaded.values, city.values)
    assert loaded.stations.equals(city.stations)
    for name in ("name", "grid", "quantity", "unit", "synthetic", "report"):
        assert getattr(loaded, name) == getattr(city, name)
    assert {path.name for path in (tmp_path / "city").iterdir()} == {
        "city.json",
        "readings.parquet",
        "stations.parquet",
    }


def test_a_saved_city_has_its_interval(city, tmp_path):
    day = replace(city, interval=np.timedelta64(1, "D"))
    day.save(tmp_path)
    assert CityData.load(tmp_path).step == np.timedelta64(1, "D")
    city.save(tmp_path)
    assert CityData.load(tmp_path).interval is None


def test_a_city_that_cannot_be_saved_leaves_the_one_that_was_there(city, tmp_path):
    city.save(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(TypeError):
        replace(city, values=VALUES + 1, report={"not for JSON": object()}).save(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("broken", ["city.json", "readings.parquet", "stations.parquet"])
def test_a_folder_that_holds_no_whole_city_is_an_error(city, tmp_path, broken):
    city.save(tmp_path)
    (tmp_path / broken).write_text("{")
    with pytest.raises(DataError, match="does not hold a prepared city"):
        CityData.load(tmp_path)
    (tmp_path / broken).unlink()
    with pytest.raises(DataError, match="does not hold a prepared city"):
        CityData.load(tmp_path)


@pytest.mark.parametrize("facts", ["{}", "[]", '{"grid": [2, 3], "colour": "red"}'])
def test_a_foreign_city_json_is_an_error(city, tmp_path, facts):
    city.save(tmp_path)
    (tmp_path / "city.json").write_text(facts)
    with pytest.raises(DataError, match="does not hold a prepared city"):
        CityData.load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"values": VALUES[:1]}, r"float32 of shape \(2, 3\) .* got float32 of shape \(1, 3\)"),
        ({"values": VALUES.astype(np.float64)}, r"must be float32 .* got float64"),
        ({"grid": (1, 5)}, r"cells must lie in the grid \(1, 5\), got \[0, 3, 5\]"),
    ],
)
def test_parts_that_do_not_fit_are_an_error(city, change, message):
    with pytest.raises(DataError, match=message):
        replace(city, **change)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (["2024-01-01T01:00:00", "2024-01-01T00:00:00"], "strictly increasing"),
        (["2024-01-01T00:00:00", "2024-01-01T00:00:00"], "strictly increasing"),
        (["2024-01-01T00:00", "2024-01-01T01:00"], r"of datetime64\[s\], got datetime64\[m\]"),
    ],
)
def test_times_must_increase_in_seconds(city, times, message):
    with pytest.raises(DataError, match=message):
        replace(city, times=np.array(times, "datetime64"))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("cell", [0, 3, 3], r"two stations share a cell: \[0, 3, 3\]"),
        ("cell", [0, 3, -1], "cells must lie in the grid"),
        ("station", ["a", "b", "a"], "names must be unique"),
        ("station", ["a", "b", "time"], "no station may be called .time."),
    ],
)
def test_stations_must_be_told_apart(city, column, values, message):
    with pytest.raises(DataError, match=message):
        replace(city, stations=city.stations.assign(**{column: values}))


def test_stations_need_their_columns(city):
    with pytest.raises(DataError, match=r"stations must have the columns \['cell'\]"):
        replace(city, stations=city.stations.drop(columns="cell"))


def test_readings_of_another_time_are_put_to_the_stations_of_their_names(city):
    order = [2, 0]  # b is silent
    later = replace(
        city,
        stations=city.stations.iloc[order].reset_index(drop=True),
        values=VALUES[:, order] + 10,
        times=city.times + np.timedelta64(365, "D"),
    )
    joined = city.with_readings_of(later)
    expected = VALUES + 10
    expected[:, 1] = np.nan
    np.testing.assert_array_equal(joined.values, expected)
    assert joined.stations.equals(city.stations)
    assert (joined.times == later.times).all()


def test_a_single_later_time_has_the_step_of_the_city(city):
    later = replace(city, times=city.times[:1], values=VALUES[:1])
    assert city.with_readings_of(later).step == city.step


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda c: {"stations": c.stations.assign(station=["x", "y", "z"])},
            "have no common station",
        ),
        (lambda c: {"stations": c.stations.assign(latitude=0.0)}, "have other positions in"),
        (lambda c: {"unit": "mg/m3"}, "expected PM10 in ug/m3, got PM10 in mg/m3"),
    ],
)
def test_readings_of_another_city_are_refused(city, change, message):
    with pytest.raises(DataError, match=message):
        city.with_readings_of(replace(city, **change(city)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"name": 5}, "name must be a text, got 5"),
        ({"unit": None}, "unit must be a text"),
        ({"report": []}, "report must be a dict"),
        ({"synthetic": "no"}, "synthetic must be a bool, got 'no'"),
        ({"grid": (2, 0)}, "grid must be two positive integers"),
        ({"grid": (2, 2.5)}, "grid must be two positive integers"),
        ({"grid": 4}, "grid must be two positive integers, its height and width in cells, got 4"),
        ({"grid": "8x8"}, "grid must be two positive integers"),
        ({"times": ["2024-01-01", "2024-01-02"]}, "times must be a ndarray, got ['2024"),
        ({"values": [[1, 2, 3], [4, 5, 6]]}, "values must be a ndarray, got [[1"),
        ({"stations": {"station": ["a"]}}, "stations must be a DataFrame, got {"),
        ({"interval": "1h"}, "interval must be a timedelta64 above 0, or None, got '1h'"),
        ({"interval": np.timedelta64(0, "s")}, "interval must be a timedelta64 above 0"),
        ({"interval": np.timedelta64(1500, "ms")}, "interval must be whole seconds, got"),
        ({"values": np.full((2, 3), np.inf, np.float32)}, "values must be finite, or NaN"),
    ],
)
def test_facts_of_other_types_are_an_error(city, wrong, message):
    with pytest.raises(DataError, match=re.escape(message)):
        replace(city, **wrong)


@pytest.mark.parametrize("column", ["station", "latitude", "longitude", "cell"])
@pytest.mark.parametrize("value", [None, np.inf, 1e17, "", " \t", b"name"])
def test_stations_without_a_name_a_position_or_a_cell_are_an_error(city, column, value):
    values = [value, *city.stations[column][1:]]
    message = f"{column} must be a number within"
    if column == "station":
        message = "every station needs a name" if isinstance(value, str) else "must be texts"
    with pytest.raises(DataError, match=message):
        replace(city, stations=city.stations.assign(**{column: values}))


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("cell", [0.5, 3, 5], "cells must be whole numbers, got [0.5, 3.0, 5.0]"),
        ("cell", pd.array([None, 3, 5], "Int64"), "cell must be a number within"),
        ("latitude", pd.array([None, 51, 52], "Float64"), "latitude must be a number within 90"),
        ("longitude", [4j, 4, 4], "longitude must be a number within 360"),
    ],
)
def test_positions_and_cells_of_other_kinds_are_an_error(city, column, values, message):
    with pytest.raises(DataError, match=re.escape(message)):
        replace(city, stations=city.stations.assign(**{column: values}))


def test_two_columns_of_one_name_are_an_error(city):
    stations = pd.concat([city.stations, city.stations[["kind"]]], axis=1)
    with pytest.raises(DataError, match="stations must have columns of different names"):
        replace(city, stations=stations)


def test_times_in_a_column_are_an_error(city):
    with pytest.raises(DataError, match=r"one-dimensional, .* of shape \(2, 1\)"):
        replace(city, times=city.times[:, None])


@pytest.mark.parametrize("grid", [(np.int64(2), np.int32(3)), [2, 3], np.array([2, 3])])
def test_a_grid_of_other_integers_becomes_one_that_can_be_saved(city, tmp_path, grid):
    replace(city, grid=grid).save(tmp_path)
    assert CityData.load(tmp_path).grid == (2, 3)


def test_readings_of_other_stations_are_an_error(city, tmp_path):
    city.save(tmp_path)
    path = tmp_path / "readings.parquet"
    readings = pd.read_parquet(path)
    readings.rename(columns={readings.columns[1]: "elsewhere"}).to_parquet(path, index=False)
    with pytest.raises(DataError, match=r"the columns of readings.parquet must be the stations"):
        CityData.load(tmp_path)


def test_a_message_is_one_printable_line_whatever_was_given():
    message = str(DataError("no\nstation \x1b[31m" + 5000 * "a"))
    assert message.startswith("no station \\x1b[31maaa")
    assert len(message) < 1000
