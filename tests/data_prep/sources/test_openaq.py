import numpy as np
import pytest
from source_files import openaq
from source_files.to_map import assert_becomes_a_map

from data_prep import DataError, load_city


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return openaq.write_archive(tmp_path_factory.mktemp("records"))


def read(path, **options):
    return load_city(f"openaq:{path}", grid=(8, 8), progress=False, **options)


def test_the_archive_becomes_a_map(archive, tmp_path):
    assert_becomes_a_map(f"openaq:{archive}", tmp_path)


def test_readings_stand_at_their_time_in_utc_and_location(archive):
    city = read(archive)
    assert city.stations["station"].to_list() == ["2178", "2179", "2180"]
    assert city.stations["location"].to_list()[0] == "Del Norte-2178"
    np.testing.assert_allclose(city.stations["latitude"], [35.1353, 35.0170, 35.0539])
    np.testing.assert_allclose(city.stations["longitude"], [-106.584702, -106.657304, -106.479403])
    start = np.datetime64("2022-05-02T06:00:00")
    np.testing.assert_array_equal(
        city.times, start + np.arange(openaq.HOURS) * np.timedelta64(1, "h")
    )
    expected = np.array([8, 9, 0]) + np.arange(openaq.HOURS)[:, None] / 4
    np.testing.assert_array_equal(city.values, expected.astype(np.float32))


def test_the_report_has_the_licence_and_counts_every_row(archive):
    report = read(archive).report
    assert "cite OpenAQ" in report["licence"]
    assert report["files"] == 3 * 20
    assert report["rows"] == 2 * 3 * openaq.HOURS
    assert report["dropped"] == {"other_quantity": 3 * openaq.HOURS}


def test_one_file_is_enough(archive):
    (path, *_) = sorted(archive.rglob("*2178*.csv.gz"))
    assert read(path).values.shape == (24, 1)


def test_variants_and_faults_that_occur_in_the_archive(tmp_path):
    rows = [
        openaq.row(2178, 0, 1.5, units="μg/m³"),  # the Greek letter
        openaq.row(2178, 1, 0.002, units="mg/m³"),
        openaq.row(2178, 2, -999.0),
        openaq.row(2178, 3, -9.999),
        openaq.row(2178, 4, 3, units="ppm"),
        openaq.row(2178, 5, ""),
        openaq.row(2178, 6, 4),
        openaq.row(2178, 6, 4),
        openaq.row(2178, 7, 5).replace("-06:00", "Z"),
        openaq.row(2178, 8, 5).replace("35.1353,-106.584702", "0.0,0.0"),
        openaq.row(2178, 9, 5).replace("35.1353,-106.584702", "40.0,-100.0"),
    ]
    header = f"{openaq.HEADER},summary,coverage"
    quoted = [",".join(f'"{cell}"' for cell in f"{text},,".split(",")) for text in rows]
    openaq.write_rows(tmp_path, 2178, "20220502", quoted, header)
    city = read(tmp_path)
    found = {
        str(time)[8:13]: value for time, value in zip(city.times, city.values[:, 0], strict=True)
    }
    found = {time: value for time, value in found.items() if not np.isnan(value)}
    assert found == {
        "02T06": 1.5,
        "02T07": 3.5,  # the mean of 2 at 01:00-06:00 and 5 at 07:00Z
        "02T12": 4.0,
    }
    assert city.report["dropped"] == {
        "other_unit": 1,
        "missing_value": 2,
        "missing_code": 1,
        "no_position": 1,
        "moved_station": 1,
    }
    assert city.report["stations_that_moved"] == ["2178"]
    assert city.report["averaged"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("-06:00", ""), "datetime must be a time with an offset from UTC, got .* in row 1"),
        (("2022-05-02T", "02/05/2022 "), "datetime must be a time of the format ISO8601"),
        ((",1.5", ",low"), "value must be a number, got 'low' in row 1"),
        (("35.1353", "north"), "lat must be a number, got 'north' in row 1"),
        (("pm25", "o3"), r"no reading that counts \(other_quantity: 1\)"),
    ],
)
def test_bad_rows_are_refused(tmp_path, change, message):
    openaq.write_rows(tmp_path, 2178, "20220502", [openaq.row(2178, 0, 1.5).replace(*change)])
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    path = openaq.write_rows(tmp_path, 2178, "20220502", [], openaq.HEADER.replace("lat,", ""))
    with pytest.raises(DataError, match=rf"{path.name} must have the columns \['lat'\], got"):
        read(tmp_path)


def test_times_mark_the_end_of_an_hour(archive):
    days = read(archive, every="1d", least=0).times
    assert [str(day)[8:10] for day in days] == [f"{day:02}" for day in range(2, 23)]
    hours = read(archive, every="1h").times
    assert str(hours[0]) == "2022-05-02T05:00:00"
    assert len(hours) == openaq.HOURS


def test_bounds_leave_out_locations(archive):
    city = read(archive, bounds=(-106.6, 35.0, -106.4, 35.2))
    assert city.stations["station"].to_list() == ["2178", "2180"]
    assert city.report["dropped"]["outside_bounds"] == openaq.HOURS
