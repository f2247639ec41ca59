import gzip

import numpy as np
import pytest
from source_files import purpleair as files
from source_files.to_map import assert_becomes_a_map

from data_prep import DataError, load_city
from data_prep.sources.purpleair import epa_correction

T0 = files.START
TOOL_NAME = "12345 2022-05-02 2022-05-31 60-Minute Average.csv"


@pytest.fixture(scope="module")
def sensors(tmp_path_factory):
    return files.write_sensors(tmp_path_factory.mktemp("table"))


@pytest.fixture(scope="module")
def histories(tmp_path_factory):
    return files.write_histories(tmp_path_factory.mktemp("histories"))


def read(path, **options):
    return load_city(f"purpleair:{path}", grid=(8, 8), progress=False, **options)


def values_of(city):
    """Return the readings of a city of one station by hour."""
    hours = (city.times - np.datetime64("2022-05-02T00:00:00")) // np.timedelta64(1, "h")
    return {
        int(hour): pytest.approx(float(value))
        for hour, value in zip(hours, city.values[:, 0], strict=True)
        if not np.isnan(value)
    }


def test_histories_become_a_map(histories, sensors, tmp_path):
    options = ("--sensors", str(sensors), "--correction", "epa")
    assert_becomes_a_map(f"purpleair:{histories}", tmp_path, *options)


def test_readings_stand_at_their_time_in_utc_and_place(histories, sensors):
    city = read(histories, sensors=sensors)
    assert city.stations["station"].to_list() == ["12345", "146400", "896"]
    assert city.stations["name"].to_list() == ["South Valley", "Foothills", "Del Norte"]
    np.testing.assert_allclose(city.stations["latitude"], [35.0170, 35.0539, 35.1353])
    np.testing.assert_allclose(city.stations["longitude"], [-106.657304, -106.479403, -106.584702])
    start = np.datetime64("2022-05-02T00:00:00")
    np.testing.assert_array_equal(
        city.times, start + np.arange(files.HOURS) * np.timedelta64(1, "h")
    )
    expected = np.array([5, 0, 6]) + np.arange(files.HOURS)[:, None] / 4
    np.testing.assert_array_equal(city.values, expected.astype(np.float32))


def test_the_report_has_the_terms_and_counts_every_row(histories, sensors):
    report = read(histories, sensors=sensors).report
    assert "credit PurpleAir" in report["licence"]
    assert report["rows"] == 4 * files.HOURS
    assert report["readings"] == 3 * files.HOURS
    assert report["dropped"] == {"indoor": files.HOURS}


def test_the_table_of_the_sensors_may_be_in_the_same_folder(tmp_path):
    files.write_rows(tmp_path, [files.row(896, T0, 3, 5)])
    assert values_of(read(tmp_path, sensors=files.write_sensors(tmp_path))) == {0: 4.0}


def test_one_file_is_enough_plain_or_compressed(histories, sensors, tmp_path):
    path = histories / "896.csv"
    compressed = tmp_path / "896.csv.gz"
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    city = read(path, sensors=sensors)
    assert city.values.shape == (files.HOURS, 1)
    np.testing.assert_array_equal(read(compressed, sensors=sensors).values, city.values)


def test_columns_in_any_order_and_times_with_offsets(tmp_path, sensors):
    header = "pm2.5_cf_1_b,pm2.5_atm,sensor_index,pm2.5_cf_1_a,time_stamp"
    rows = [
        "3,9,896,5,2022-05-02T00:00:00Z",
        "4,9,896,6,2022-05-02T03:00:00+02:00",
        "5,9,896,7,2022-05-01T20:00:00-06:00",
    ]
    city = read(files.write_rows(tmp_path, rows, header), sensors=sensors)
    assert values_of(city) == {0: 4.0, 1: 5.0, 2: 6.0}


def test_the_download_tool_has_the_sensor_in_the_name_of_the_file(tmp_path, sensors):
    header = "time_stamp,pm2.5_cf_1_a,pm2.5_cf_1_b"
    files.write_rows(tmp_path, ["2022-05-02T01:00:00Z,4,6"], header, TOOL_NAME)
    city = read(tmp_path, sensors=sensors)
    assert city.stations["station"].to_list() == ["12345"]
    assert values_of(city) == {1: 5.0}


def test_one_channel_counts_without_the_other(tmp_path, sensors):
    rows = [
        files.row(896, T0, 4, ""),
        files.row(896, T0 + 3600, "null", 6),
        files.row(896, T0 + 7200, "", ""),
        files.row(896, T0 + 10800, 100, 10),
    ]
    city = read(files.write_rows(tmp_path, rows), sensors=sensors)
    assert values_of(city) == {0: 4.0, 1: 6.0, 3: 55.0}
    assert city.report["dropped"] == {"missing_value": 1}
    only_b = files.write_rows(tmp_path, [f"{T0},896,7"], "time_stamp,sensor_index,pm2.5_cf_1_b")
    assert values_of(read(only_b, sensors=sensors)) == {0: 7.0}


def test_sensors_that_are_not_in_the_table_are_left_out(tmp_path, sensors):
    rows = [files.row(sensor, T0, 4, 6) for sensor in (896, 7, 7, 200001)]
    city = read(files.write_rows(tmp_path, rows), sensors=sensors)
    assert city.stations["station"].to_list() == ["896"]
    assert city.report["dropped"] == {"unknown_sensor": 2, "indoor": 1}


def test_a_table_without_names_and_types_is_enough(histories, tmp_path):
    city = read(histories, sensors=files.write_sensors(tmp_path, "sensor_index"))
    assert city.stations["station"].to_list() == ["12345", "146400", "200001", "896"]


def test_the_correction_is_the_published_one_in_each_range():
    usual = 10.48 - 4.31 + 5.75
    # 0.524 * 20 = 10.48;  0.0862 * 50 = 4.31
    smoke = 421.0 + 392.0 + 3.44
    # 0.000421 * 1000^2 = 421;  0.392 * 1000 = 392
    share = 14.64 - 13.9
    # 0.0244 * 600 = 14.64
    between = share * (151.56 + 235.2 + 3.44) + (1 - share) * (314.4 - 4.31 + 5.75)
    # 0.000421 * 600^2 = 151.56;  0.392 * 600 = 235.2;  0.524 * 600 = 314.4
    assert (usual, smoke, between) == pytest.approx((11.92, 816.44, 370.8664))
    found = epa_correction(np.array([20.0, 1000.0, 600.0]), np.full(3, 50.0))
    assert found == pytest.approx([11.92, 816.44, 370.8664])


@pytest.mark.parametrize("edge", [570.0, 611.0])
def test_the_correction_has_no_jump_but_that_of_its_rounded_share(edge):
    below, above = epa_correction(np.array([np.nextafter(edge, 0), edge]), np.full(2, 50.0))
    # The share of the quadratic is 0.0244 * 570 - 13.9 = 0.008 and 0.0244 * 611 - 13.9 = 1.0084.
    # The two equations differ by 63.5 at 570 and by 78.5 at 611.
    assert abs(above - below) == pytest.approx({570.0: 0.508, 611.0: 0.659}[edge], abs=0.002)


def test_the_correction_needs_two_channels_that_agree_and_the_humidity(tmp_path, sensors):
    rows = [
        files.row(896, T0, 19, 21, 50),  # 11.92, see above
        files.row(896, T0 + 3600, 19, "", 50),
        files.row(896, T0 + 7200, 19, 21, ""),
        files.row(896, T0 + 10800, 26.2, 13.8, 50),  # differ by 12.4, 62 % of 20
        files.row(896, T0 + 14400, 26.0, 14.0, 50),  # differ by 12.0, 60 % of 20
        files.row(896, T0 + 18000, 4.9, 0.0, 50),  # differ by less than 5
        files.row(896, T0 + 21600, "", "", ""),
    ]
    city = read(files.write_rows(tmp_path, rows), sensors=sensors, correction="epa")
    assert values_of(city) == {0: 11.92, 4: 11.92, 5: 0.524 * 2.45 - 4.31 + 5.75}
    assert city.report["dropped"] == {
        "one_channel": 1,
        "channels_disagree": 1,
        "no_humidity": 1,
        "missing_value": 1,
    }
    assert city.report["rows"] == 7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((str(T0), "2022-05-02T00:00:00"), "time_stamp must be a time with an offset.* row 1"),
        ((str(T0), "02/05/2022 00:00Z"), "time_stamp must be a time of the format ISO8601"),
        ((",4,", ",low,"), "pm2.5_cf_1_a must be a number, got 'low' in row 1"),
    ],
)
def test_bad_rows_are_refused(tmp_path, sensors, change, message):
    path = files.write_rows(tmp_path, [files.row(896, T0, 4, 6).replace(*change)])
    with pytest.raises(DataError, match=rf"history.csv: {message}"):
        read(path, sensors=sensors)


@pytest.mark.parametrize(
    ("header", "options", "message"),
    [
        ("time_stamp,pm2.5_cf_1_a", {}, "must have the column sensor_index, or a name such as"),
        ("sensor_index,pm2.5_cf_1_a", {}, r"must have the columns \['time_stamp'\]"),
        ("time_stamp,sensor_index,pm2.5_atm", {}, "pm2.5_cf_1_a and pm2.5_cf_1_b, or one of them"),
        (
            "time_stamp,sensor_index,pm2.5_cf_1_a",
            {"correction": "epa"},
            r"must have the columns \['humidity', 'pm2.5_cf_1_b'\]",
        ),
    ],
)
def test_missing_columns_are_named(tmp_path, sensors, header, options, message):
    path = files.write_rows(tmp_path, [",".join(["896"] * (header.count(",") + 1))], header)
    with pytest.raises(DataError, match=message):
        read(path, sensors=sensors, **options)


def test_the_options_are_checked(histories, sensors, tmp_path):
    with pytest.raises(DataError, match="needs sensors, on the command line --sensors"):
        read(histories)
    with pytest.raises(DataError, match="correction must be None or 'epa', got 'EPA'"):
        read(histories, sensors=sensors, correction="EPA")
    with pytest.raises(DataError, match=r"none\.csv cannot be read"):
        read(histories, sensors=tmp_path / "none.csv")


def test_a_sensor_must_be_in_the_table_once(histories, tmp_path):
    sensors = files.write_sensors(tmp_path)
    sensors.write_text(sensors.read_text() + "896,Again,0,35.0,-106.0\n")
    with pytest.raises(DataError, match=r"sensors.csv must have each sensor once, got 896 twice"):
        read(histories, sensors=sensors)
    sensors.write_text("sensor_index,latitude,longitude\n")
    with pytest.raises(DataError, match=rf"no reading that counts \(unknown_sensor: {4 * 480}\)"):
        read(histories, sensors=sensors)


def test_bounds_leave_out_sensors(histories, sensors):
    city = read(histories, sensors=sensors, bounds=(-106.6, 35.0, -106.4, 35.2))
    assert city.stations["station"].to_list() == ["146400", "896"]
    assert city.report["dropped"]["outside_bounds"] == files.HOURS
