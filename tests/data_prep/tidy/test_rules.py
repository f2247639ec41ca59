import warnings

import numpy as np
import pandas as pd
import pytest
from tidy_tables import READINGS, assert_same_city

from data_prep.city import DataError, DataWarning
from data_prep.tidy import read_tidy


def test_every_row_is_a_reading_or_dropped_for_a_reason(write):
    report = read_tidy(write(), valid=(0, 5)).report
    assert report["dropped"]["out_of_range"] == 2  # -0.5 and 7.0
    assert report["rows"] == report["readings"] + sum(report["dropped"].values()) == 12


@pytest.mark.parametrize("code", [-999.9, 9999, 99999])
def test_impossible_readings_are_a_warning_and_can_be_left_out(write, code):
    folder = write(f"{READINGS}2024-01-01T02:00,B,{code}\n2024-01-01T03:00,B,{code}\n")
    with pytest.warns(
        DataWarning, match=rf"2 of 8 readings .* {code:g} \(2 times\).*--valid=-50:1000"
    ):
        assert read_tidy(folder).observed.sum() == 7
    with warnings.catch_warnings(action="error"):
        warnings.filterwarnings("default", ".* does not have 1 of the stations")
        assert read_tidy(folder, valid=(-10, 1000)).observed.sum() == 5


def test_impossible_readings_are_a_warning_also_where_they_are_averaged(write):
    rows = "".join(f"2024-01-01T00:{minute:02},B,8\n" for minute in range(59))
    folder = write(f"time,station,value\n{rows}2024-01-01T00:59,B,9999\n")
    with pytest.warns(DataWarning, match=r"1 of 60 readings .* 9999 \(1 times\)"):
        assert read_tidy(folder, every="1h").values[0, 0] > 100


def test_the_warning_counts_readings_of_periods_that_are_left_out(write):
    rows = "".join(f"2024-01-01T00:{minute:02},B,8\n" for minute in range(60))
    folder = write(f"time,station,value\n{rows}2024-01-01T01:00,B,9999\n")
    with pytest.warns(DataWarning, match="1 of 61 readings"):
        assert read_tidy(folder, every="1h").observed.sum() == 1


def test_a_second_reading_of_some_times_makes_no_other_period_thin(write):
    rows = [f"2024-01-{day:02}T{hour:02}:00,B,8\n" for day in (1, 2) for hour in range(24)]
    folder = write(f"time,station,value\n{''.join(rows)}{''.join(rows[-20:])}")
    for every in ("1h", "1d"):
        city = read_tidy(folder, every=every)
        assert city.observed.all()
        assert city.report["dropped"] == {}


def test_times_in_the_same_64th_of_a_period_count_once(write):
    times = pd.date_range("2024-01-01", "2024-01-03", freq="6min", inclusive="left")
    first, second = times[:240], times[240::4]  # a 64th of a day is 22.5 minutes
    rows = "".join(f"{time.isoformat()},B,8\n" for time in [*first, *second])
    city = read_tidy(write(f"time,station,value\n{rows}"), every="1d")
    assert city.observed.tolist() == [[True], [True]]
    city = read_tidy(write(f"time,station,value\n{rows}"), every="1d", least=1)
    assert city.observed.tolist() == [[True], [False]]


def test_readings_are_kept_as_they_are_without_a_period(write):
    assert_same_city(read_tidy(write(), every="none"), read_tidy(write()))


def test_periods_raise_no_warning_of_a_library(write):
    with warnings.catch_warnings(action="error"):
        warnings.simplefilter("default", DataWarning)
        read_tidy(write(), every="1d", least=0)


@pytest.fixture
def scattered(write):
    """Three stations with a reading every 3 s, a second apart, for 2 hours."""
    start = np.datetime64("2024-01-01T00:00:00")
    time = start + np.arange(7200)
    station = np.array(["007", "B", "C"])[np.arange(7200) % 3]
    value = np.random.default_rng(0).uniform(0, 20, 7200)
    table = pd.DataFrame({"time": time, "station": station, "value": value})
    folder = write(table.drop(range(3600, 5000)).to_csv(index=False))
    return folder, table


def test_scattered_times_are_a_warning_that_names_the_step(scattered):
    with pytest.warns(DataWarning, match=r"every 3 s, .* every 1 s, at which 33% .*--every 1h"):
        read_tidy(scattered[0])


def test_means_of_periods_with_enough_readings(scattered):
    folder, table = scattered
    city = read_tidy(folder, every="1h", least=0.5)
    assert city.times.astype(str).tolist() == ["2024-01-01T00:00:00", "2024-01-01T01:00:00"]
    kept = table.drop(range(3600, 5000))
    expected = kept.set_index("time").groupby("station")["value"].resample("1h").mean().unstack(0)
    np.testing.assert_allclose(city.values, expected, rtol=1e-6)
    assert "too_few_in_period" not in city.report["dropped"]

    city = read_tidy(folder, every="1h")
    assert city.observed.tolist() == [[True] * 3, [False] * 3]
    assert city.report["dropped"]["too_few_in_period"] == 2200


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": "7h"}, "divides a day.*got '7h'"),
        ({"every": "1.5s"}, "divides a day.*got '1.5s'"),
        ({"every": ""}, "divides a day"),
        ({"least": None}, "a share between 0 and 1, got None"),
        ({"valid": 5}, "a smaller and a larger number, got 5"),
        ({"valid": {0, 5}}, "a smaller and a larger number"),
        ({"valid": (0,)}, "a smaller and a larger number"),
        ({"valid": (None, 5)}, "a smaller and a larger number"),
        ({"valid": (0, 1, 2)}, "a smaller and a larger number"),
        ({"every": "soon"}, "divides a day.*got 'soon'"),
        ({"every": "0s"}, "divides a day"),
        ({"every": "-1h"}, "divides a day"),
        ({"every": "NaT"}, "divides a day"),
        ({"least": 1.5}, "a share between 0 and 1, got 1.5"),
        ({"valid": (5, 5)}, "a smaller and a larger number"),
    ],
)
def test_wrong_rules_are_refused_before_anything_is_read(tmp_path, options, message):
    with pytest.raises(DataError, match=message):
        read_tidy(tmp_path / "nowhere", **options)
