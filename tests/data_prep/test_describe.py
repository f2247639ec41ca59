import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from data_prep.city import CityData
from data_prep.describe import describe


def make(values, times=None, report=None, **more):
    values = np.array(values, np.float32)
    return CityData(
        name="Kleinstadt",
        times=pd.date_range("2024-01-01", periods=len(values), freq="h").to_numpy("datetime64[s]")
        if times is None
        else np.array(times, "datetime64[s]"),
        stations=pd.DataFrame(
            {
                "station": ["a", "b [old]"][: values.shape[1]],
                "latitude": [51.25, 51.5][: values.shape[1]],
                "longitude": [4.0, 4.125][: values.shape[1]],
                "cell": [2, 5][: values.shape[1]],
            }
        ),
        values=values,
        grid=(2, 3),
        report=report or {},
        **more,
    )


def lines(city):
    """Print a description and return its lines, as words."""
    text = io.StringIO()
    Console(file=text, width=200, markup=False).print(describe(city))
    return [" ".join(line.split()) for line in text.getvalue().splitlines()]


NAN = float("nan")


def test_the_facts_of_a_city():
    column = np.arange(1.0, 102.0)
    values = np.stack([column, np.where(column < 52, column, NAN)], axis=1)
    text = lines(make(values))
    assert text[:7] == [
        "city Kleinstadt",
        "quantity PM2.5 in ug/m3",
        "stations 2 in 2 x 3 cells",
        "span 2024-01-01 00:00:00 to 2024-01-05 04:00:00: 101 times, 60 min apart",
        f"coverage {(101 + 51) / 202:.1%}",
        f"median {np.nanmedian(values):.2f}",
        f"99th percentile {np.nanpercentile(values, 99):.2f}",
    ]
    assert "a 2 51.25000 4.00000 100.0% 51.00 100.00" in text
    assert "b [old] 5 51.50000 4.12500 50.5% 26.00 50.50" in text


def test_times_that_are_absent_are_counted():
    times = ["2024-01-01T00:00", "2024-01-01T00:10", "2024-01-01T01:00"]
    assert lines(make([[1], [2], [3]], times))[3].endswith(
        "3 times, 10 min apart, 4 absent between them"
    )
    assert lines(make([[1]], times[:1]))[3].endswith("1 times")
    assert (
        "0.5 min apart"
        in lines(make([[1], [2]], ["2024-01-01T00:00:00", "2024-01-01T00:00:30"]))[3]
    )


def test_times_between_the_steps_are_not_absent():
    times = pd.date_range("2024-01-01", periods=4, freq="30min").append(
        pd.date_range("2024-01-01T03:00", periods=9, freq="h")
    )
    assert lines(make(np.ones((13, 1)), times))[3].endswith(
        "13 times, 60 min apart, 1 absent between them"
    )
    half_hours = make(np.ones((4, 1)), times[:4], interval=np.timedelta64(1, "h"))
    assert lines(half_hours)[3].endswith("4 times, 60 min apart")


def test_a_city_without_a_reading_is_described():
    text = lines(make([[NAN], [NAN]]))
    assert text[4:7] == ["coverage 0.0%", "median -", "99th percentile -"]
    assert "a 2 51.25000 4.00000 0.0% - -" in text


def test_a_city_without_times_is_described():
    text = lines(make(np.zeros((0, 2))))
    assert text[3:7] == ["span no times", "coverage -", "median -", "99th percentile -"]
    assert "a 2 51.25000 4.00000 - - -" in text


@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_readings_are_labelled(synthetic):
    label = "city Kleinstadt, synthetic readings" if synthetic else "city Kleinstadt"
    assert lines(make([[1]], synthetic=synthetic))[0] == label


def test_the_report_is_told_without_the_details_of_devices():
    report = {
        "rows": 12345,
        "averaged": 7,
        "source": "archive.zip",
        "dropped": {"flagged": 1000, "missing_value": 2},
        "missing_columns": {"Antwerp_4043A7": "OPCN3PM25_flag"},
        "unknown_stations": ["X", "Y"],
        "nothing": [],
        "shared_cells": [["R801", "R802"], ["c", "d", "e"]],
        "devices": {"Antwerp_4043A7": {"rows": 99}},
        "window": {
            "start": "2020-07-01T00:00",
            "end": "2020-07-02T00:00",
            "minutes": 1441,
            "decided_by": {"start": "first row at PARK", "end": "given"},
            "sites": {},
            "published": {
                "start": "2020-06-29T10:20",
                "end": "2021-02-17T07:18",
                "minutes": 335339,
            },
        },
    }
    assert lines(make([[1]], report=report))[7:-3] == [
        "rows 12,345",
        "rows averaged with others 7",
        "source archive.zip",
        "dropped flagged: 1,000, missing_value: 2",
        "missing columns Antwerp_4043A7: OPCN3PM25_flag",
        "unknown stations X, Y",
        "shared cells R801 and R802; c and d and e",
        "window 2020-07-01T00:00 to 2020-07-02T00:00, 1,441 minutes; first row at PARK to given",
        "published window 2020-06-29T10:20 to 2021-02-17T07:18, 335,339 minutes",
    ]


def test_without_shared_cells_it_says_none():
    assert "shared cells none" in lines(make([[1]], report={"shared_cells": []}))
