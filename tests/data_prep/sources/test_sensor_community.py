import gzip
import shutil
import zipfile

import numpy as np
import pytest
from source_files import sensor_community as files
from source_files.to_map import assert_becomes_a_map

from data_prep import DataError, load_city

SDS, SPS, PMS = files.SITES


@pytest.fixture(scope="module")
def months(tmp_path_factory):
    return files.write_months(tmp_path_factory.mktemp("csv_per_month"))


def read(path, **options):
    return load_city(f"sensor-community:{path}", grid=(8, 8), progress=False, **options)


def readings_of(city):
    """Return the readings of the first station by day and time."""
    return {
        str(time)[8:19]: float(value)
        for time, value in zip(city.times, city.values[:, 0], strict=True)
        if not np.isnan(value)
    }


def test_monthly_files_become_a_map(months, tmp_path):
    assert_becomes_a_map(f"sensor-community:{months}", tmp_path)


def test_hourly_means_stand_at_their_time_in_utc_and_place(months):
    city = read(months)
    assert city.stations["station"].to_list() == ["12345", "12347", "12349"]
    assert city.stations["sensor_type"].to_list() == ["SDS011", "SPS30", "PMS7003"]
    assert city.stations["location"].to_list() == ["6801", "6802", "6803"]
    np.testing.assert_allclose(city.stations["latitude"], [48.800, 48.774, 48.832])
    np.testing.assert_allclose(city.stations["longitude"], [9.003, 9.174, 9.231])
    start = np.datetime64("2022-05-02T00:00:00")
    np.testing.assert_array_equal(
        city.times, start + np.arange(files.HOURS) * np.timedelta64(1, "h")
    )
    expected = np.array([5, 7, 9]) + np.arange(files.HOURS)[:, None] / 4
    np.testing.assert_allclose(city.values, expected, rtol=1e-6)


def test_the_report_has_the_licence_and_counts_every_row(months):
    report = read(months).report
    assert "DbCL 1.0" in report["licence"]
    assert report["rows"] == report["readings"] == 3 * files.HOURS * files.PER_HOUR
    assert report["files"] == 3
    assert report["dropped"] == {}


def test_zipped_months_are_read_in_place(months, tmp_path):
    for path in months.iterdir():
        with zipfile.ZipFile(tmp_path / f"{path.stem}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, path.name)
    np.testing.assert_array_equal(read(tmp_path).values, read(months).values)


def test_one_file_of_a_day_is_enough_plain_or_compressed(tmp_path):
    path = files.write_rows(tmp_path, SDS, files.readings(SDS)[:96])
    city = read(path)
    assert city.values.shape == (24, 1)
    compressed = tmp_path / f"{path.name}.gz"
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read(compressed).values, city.values)


@pytest.mark.parametrize("kind", ["SDS011", "SPS30", "PMS7003", "HPM"])
def test_pm25_is_p2_in_the_files_of_every_type(tmp_path, kind):
    files.write_rows(tmp_path, SDS, [files.row(SDS, files.START, "3.80", kind)], kind)
    city = read(tmp_path)
    assert readings_of(city) == {"02T00:00:00": pytest.approx(3.8)}
    assert city.stations["sensor_type"].to_list() == [kind]


def test_sensors_for_other_quantities_and_indoors_are_left_out_and_counted(tmp_path):
    files.write_rows(tmp_path, SDS, [files.row(SDS, files.START, "5.00")])
    for kind, count in {"DHT22": 2, "BME280": 1, "PPD42NS": 4}.items():
        files.write_rows(tmp_path, SPS, [files.row(SPS, files.START, "0.62", kind)] * count, kind)
    indoors = files.write_rows(tmp_path, PMS, [files.row(PMS, files.START, "9.00")] * 5)
    indoors.rename(indoors.with_name(f"{indoors.stem}_indoor.csv"))
    city = read(tmp_path)
    assert city.stations["station"].to_list() == ["12345"]
    assert city.report["dropped"] == {"other_quantity": 3, "other_unit": 4, "indoor": 5}
    assert city.report["rows"] == 13


def test_without_a_file_of_pm25_there_is_one_error(tmp_path):
    files.write_rows(tmp_path, SDS, [files.row(SDS, files.START, "50.00", "DHT22")] * 3, "DHT22")
    with pytest.raises(DataError, match=r"no file has the column P2.* \(3 rows\)"):
        read(tmp_path)


def test_times_have_fractions_and_offsets_in_older_files(tmp_path):
    times = {
        "2022-05-02T00:01:40": 1,
        "2022-05-02T01:02:46.949036": 2,
        "2022-05-02T02:02:46.949036+00:00": 3,
        "2022-05-02T05:00:00+02:00": 4,
    }
    rows = [files.row(SDS, time, value) for time, value in times.items()]
    files.write_rows(tmp_path, SDS, rows)
    assert readings_of(read(tmp_path)) == {f"02T0{hour}:00:00": hour + 1 for hour in range(4)}


def test_failed_and_missing_measurements_are_counted(tmp_path):
    failed = ["999", "999.90", "1999.00", "1999.90"]
    missing = ["", "nan", "NaN", "unavailable", "unknown"]
    values = ["998.9", *failed, *missing, "-999", "inf"]
    rows = [files.row(SDS, files.START, value) for value in values]
    places = [";", "0.000;0.000", "52.015;5.432"]
    rows += [files.row(SDS, files.START, "5.00", place=place) for place in places]
    files.write_rows(tmp_path, SDS, rows)
    city = read(tmp_path)
    assert readings_of(city) == {"02T00:00:00": pytest.approx(998.9)}
    assert city.report["dropped"] == {
        "failed_measurement": 4,
        "missing_value": 5,
        "missing_code": 1,
        "infinite_value": 1,
        "no_position": 2,
        "moved_station": 1,
    }
    assert city.report["rows"] == len(rows) == city.report["readings"] + 14


def test_the_period_can_be_chosen(tmp_path):
    files.write_rows(tmp_path, SDS, files.readings(SDS)[:4])
    assert readings_of(read(tmp_path, every="15min")) == {
        "02T00:00:00": 2.0,
        "02T00:15:00": 4.0,
        "02T00:30:00": 6.0,
        "02T00:45:00": 8.0,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("5.00", "low"), r"2022-05-02_sds011_sensor_12345.csv: P2 must be a number, got 'low'"),
        (("2022-05-02T", "02/05/2022 "), "timestamp must be a time of the format ISO8601.* row 2"),
        (("48.800", "north"), "lat must be a number, got 'north' in row 2"),
    ],
)
def test_bad_rows_are_refused(tmp_path, change, message):
    good = files.row(SDS, files.START, "4.00")
    bad = files.row(SDS, files.START, "5.00").replace(*change)
    files.write_rows(tmp_path, SDS, [good, bad])
    with pytest.raises(DataError, match=message):
        read(tmp_path)


def test_a_missing_column_is_named(tmp_path):
    path = files.write_rows(tmp_path, SDS, [])
    path.write_text(path.read_text().replace("timestamp;", ""))
    with pytest.raises(DataError, match=rf"{path.name} must have the columns \['timestamp'\], got"):
        read(tmp_path)


def test_bounds_leave_out_sensors(months, tmp_path):
    shutil.copytree(months, tmp_path, dirs_exist_ok=True)
    city = read(tmp_path, bounds=(9.1, 48.7, 9.3, 48.9))
    assert city.stations["station"].to_list() == ["12347", "12349"]
    assert city.report["dropped"] == {"outside_bounds": files.HOURS * files.PER_HOUR}


def test_averaging_can_be_left_out(tmp_path):
    sensor = next(iter(files.SITES))
    files.write_rows(tmp_path, sensor, files.readings(sensor)[:8])
    assert len(read(tmp_path).times) == 2
    assert len(read(tmp_path, every="none").times) == 8
