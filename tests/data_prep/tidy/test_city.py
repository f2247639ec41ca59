import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tidy_tables import READINGS

from data_prep.city import DataWarning
from data_prep.fill import distances_km, idw
from data_prep.tidy import read_tidy


def test_readings_stand_at_their_time_and_station(write):
    city = read_tidy(write())
    assert city.name == "Kleinstadt"
    assert not city.synthetic
    assert (
        city.times.tolist()
        == pd.to_datetime(["2024-01-01T00:00", "2024-01-01T01:00", "2024-01-01T05:00"])
        .to_pydatetime()
        .tolist()
    )
    assert city.stations["station"].tolist() == ["007", "B", "C"]
    assert city.stations["kind"].tolist() == ["road", "park", "park"]
    nan = np.nan
    expected = np.array([[1.5, -0.5, nan], [nan, nan, nan], [3.0, 4.5, 7.0]], np.float32)
    np.testing.assert_array_equal(city.values, expected)


def test_the_report_counts_what_was_dropped_and_why(write):
    assert read_tidy(write()).report == {
        "rows": 12,
        "readings": 6,
        "dropped": {
            "unknown_station": 2,
            "missing_value": 2,
            "infinite_value": 1,
            "missing_code": 1,
        },
        "unknown_stations": ["X"],
        "trimmed_names": [],
        "stations_without_readings": ["D"],
        "averaged": 1,
        "shared_cells": [],
    }


def test_shared_cells_are_reported_and_the_grid_is_as_asked(write):
    city = read_tidy(write(), grid=(2, 2), name="Two by two")
    assert city.name == "Two by two"
    assert city.grid == (2, 2)
    assert city.report["shared_cells"] == [["007", "B"]]
    assert city.cells.tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2024-01-01T05:30:00+05:30", "2024-01-01T00:00:00"),
        ("2024-01-01T05:30:00Z", "2024-01-01T05:30:00"),
        ("2024-01-01 05:30", "2024-01-01T05:30:00"),
    ],
)
def test_times_with_an_offset_become_utc(write, text, utc):
    city = read_tidy(write(f"time,station,value\n{text},B,1.0\n"))
    assert city.times.tolist() == [pd.Timestamp(utc).to_pydatetime()]


# Facts and leave-one-station-out IDW figures from the notes that come with the two data sets.
@pytest.mark.parametrize(
    ("folder", "stations", "hours", "missing", "first", "sprmse"),
    [
        ("kolkata_2023", 25, 3363, 0.340, "2023-03-28T00", 5.89),
        ("mexico_city_2024", 19, 8784, 0.332, "2024-01-01T00", 8.80),
    ],
)
def test_real_cities(folder, stations, hours, missing, first, sprmse):
    if "TRITONBN_REAL_DATA" not in os.environ:
        pytest.skip("TRITONBN_REAL_DATA is not set: no real cities to read")
    city = read_tidy(Path(os.environ["TRITONBN_REAL_DATA"]) / folder)
    assert city.values.shape == (hours, stations)
    assert city.times[0] == np.datetime64(first)
    assert city.step == np.timedelta64(1, "h")
    assert 1 - city.observed.mean() == pytest.approx(missing, abs=5e-4)

    distances = distances_km(city.stations["latitude"], city.stations["longitude"])
    last = city.values[int(0.8 * hours) :]
    error = (idw(last, distances) - last).astype(np.float64)
    enough = (~np.isnan(error)).sum(axis=0) >= 24
    rmse = np.sqrt(np.nanmean(error[:, enough] ** 2, axis=0))
    assert rmse.mean() == pytest.approx(sprmse, abs=0.01)


def test_times_of_several_kinds_in_one_table(write):
    text = "2024-01-01T05:30+05:30,B,1\n2024-01-01 01:00,B,2\n2024-01-01T02:00:00.5Z,B,3\n"
    city = read_tidy(write(f"time,station,value\n{text}"))
    assert city.times.astype(str).tolist() == [f"2024-01-01T0{hour}:00:00" for hour in range(3)]
    assert city.values[:, 0].tolist() == [1, 2, 3]


def test_a_reading_that_is_infinite_in_float32_is_missing(write):
    city = read_tidy(write(f"{READINGS}2024-01-01T02:00,B,1e39\n2024-01-01T03:00,B,1e400\n"))
    assert city.report["dropped"]["infinite_value"] == 3  # one of them in READINGS
    assert np.isfinite(city.values[city.observed]).all()


def test_names_are_trimmed_and_may_be_na(write):
    folder = write(
        "time,station,value\n2024-01-01T00:00,NA,1\n2024-01-01T01:00, NA,2\n2024-01-01T01:00,B,3\n",
        "station,latitude,longitude\nNA,51.2,4.4\nB ,51.3,4.5\n",
    )
    city = read_tidy(folder)
    assert city.stations["station"].to_list() == ["NA", "B"]
    assert city.observed.tolist() == [[True, False], [True, True]]
    assert city.report["trimmed_names"] == [" NA", "B "]


def test_stations_that_the_table_lacks_are_a_warning_that_names_them(write):
    rows = "".join(f"2024-01-01,{name},1\n" for name in "BVWXYZ")
    with pytest.warns(DataWarning, match=r"csv does not have 5 of the stations .* V, W, X, \.\.\."):
        read_tidy(write(f"time,station,value\n{rows}"))


def test_stations_on_both_sides_of_the_date_line_are_neighbours(write):
    times = "".join(f"2024-01-01,{name},1\n" for name in "abc")
    folder = write(
        f"time,station,value\n{times}",
        "station,latitude,longitude\na,-16.50,179.95\nb,-16.55,-179.96\nc,-16.60,179.99\n",
    )
    city = read_tidy(folder, grid=(2, 10))
    np.testing.assert_allclose(city.stations["longitude"], [179.95, 180.04, 179.99])
    assert (city.cells % 10).tolist() == [0, 9, 4]


def test_longitudes_of_a_city_in_the_west_are_kept(write):
    stations = "station,latitude,longitude\n007,-33.1,-70.1\nB,-33.2,-70.3\n"
    assert read_tidy(write(stations=stations)).stations["longitude"].to_list() == [-70.1, -70.3]
