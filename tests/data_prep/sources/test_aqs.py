import gzip
import zipfile

import numpy as np
import pandas as pd
import pytest
from source_files import aqs
from source_files.to_map import assert_becomes_a_map

from data_prep import DataError, load_city


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    return aqs.write_year(tmp_path_factory.mktemp("aqs"))


def read(path, **options):
    return load_city(f"aqs:{path}", grid=(8, 8), progress=False, **options)


def test_a_year_becomes_a_map(year, tmp_path):
    assert_becomes_a_map(f"aqs:{year}", tmp_path)


def test_readings_stand_at_the_beginning_of_their_hour_in_utc_and_at_their_site(year):
    city = read(year)
    assert city.stations["station"].to_list() == ["06-037-1103", "06-037-1201", "06-037-4004"]
    assert {*city.stations["state"]} == {"California"}
    assert {*city.stations["county"]} == {"Los Angeles"}
    np.testing.assert_allclose(city.stations["latitude"], [34.06659, 34.19925, 33.79236])
    np.testing.assert_allclose(city.stations["longitude"], [-118.22688, -118.53276, -118.17533])
    hours = np.arange(aqs.HOURS)
    start = np.datetime64("2023-01-01T08:00:00")
    np.testing.assert_array_equal(city.times, start + hours * np.timedelta64(1, "h"))
    expected = np.arange(3) + hours[:, None] / 4
    np.testing.assert_array_equal(city.values, expected.astype(np.float32))
    assert city.report["rows"] == city.report["readings"] == 3 * aqs.HOURS
    assert "Air Quality System" in city.report["licence"]


def test_a_file_of_text_and_one_compressed_with_gzip_are_read_too(year, tmp_path):
    with zipfile.ZipFile(year) as archive:
        content = archive.read("hourly_88101_2023.csv")
    plain, compressed = tmp_path / "hourly_88101_2023.csv", tmp_path / "hourly_88101_2023.csv.gz"
    plain.write_bytes(content)
    compressed.write_bytes(gzip.compress(content))
    for path in (plain, compressed):
        np.testing.assert_array_equal(read(path).values, read(year).values)


def test_rows_that_do_not_count_have_a_reason_and_monitors_of_a_site_are_averaged(tmp_path):
    rows = [
        aqs.row("1103", 0, 1),
        aqs.row("1103", 0, 2, poc=3),
        aqs.row("1103", 1, -1.5, qualifier="IT - Wildfire-U. S."),
        aqs.row("1103", 2, 9, parameter="88502", unit="Micrograms/cubic meter (25 C)"),
        aqs.row("1103", 3, 9, parameter="81102"),
        aqs.row("1103", 4, ""),
        aqs.row("1103", 5, 9).replace("34.06659,-118.22688", ","),
    ]
    aqs.write_rows(tmp_path, rows)
    aqs.write_rows(tmp_path, [aqs.row("1103", 0, 6, parameter="88502")], "hourly_88502_2023")
    (tmp_path / "daily_88101_2023.csv").write_text("other columns")
    city = read(tmp_path)
    found = pd.Series(city.values[:, 0], city.times).dropna().to_dict()
    first = pd.Timestamp("2023-01-01T08:00:00")
    assert found == {first: 3.0, first + pd.Timedelta("1h"): -1.5}
    assert city.report["dropped"] == {
        "other_unit": 1,
        "other_quantity": 1,
        "missing_value": 1,
        "no_position": 1,
    }
    assert city.report["rows"] == len(rows) + 1
    assert city.report["averaged"] == 2
    assert city.report["files"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((",7,", ',"high",'), "Sample Measurement must be a number, got 'high' in row 2"),
        (
            ('"2023-01-01","09:00"', '"01/01/2023","09:00"'),
            "Date GMT, Time GMT must be a time .* 2",
        ),
        (("34.06659", "north"), "Latitude must be a number, got 'north' in row 2"),
    ],
)
def test_bad_rows_are_refused(tmp_path, change, message):
    rows = [aqs.row("1103", 0, 1), aqs.row("1103", 1, 7).replace(*change)]
    path = aqs.write_rows(tmp_path, rows)
    with pytest.raises(DataError, match=f"hourly_88101_2023.zip: hourly_88101_2023.csv: {message}"):
        read(path)


def test_a_file_of_another_layout_is_refused(tmp_path):
    path = tmp_path / "hourly_88101_2023.csv"
    path.write_text(aqs.HEADER.replace('"Date GMT","Time GMT"', '"Date","Time"'))
    with pytest.raises(DataError, match=r"must have the columns \['Date GMT', 'Time GMT'\], got"):
        read(path)
