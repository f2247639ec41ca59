import datetime
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_prep.city import CityData, DataError, DataWarning
from data_prep.cli import main
from data_prep.fill import distances_km, idw
from data_prep.tidy import read_tidy

STATIONS = """station,latitude,longitude,kind
007,51.20,4.40,road
B,51.25,4.45,park
C,51.30,4.50,park
D,51.22,4.41,road
"""
READINGS = """time,station,value
2024-01-01T05:00:00,B,4.5
2024-01-01T00:00:00,007,1.5
2024-01-01T00:00:00,B,-0.5
2024-01-01T01:00:00,007,inf
2024-01-01T01:00:00,007,-999
2024-01-01T01:00:00,B,
2024-01-01T05:00:00,007,2.0
2024-01-01T05:00:00,007,4.0
2024-01-01T05:00:00,007,
2024-01-01T02:00:00,X,9.0
2024-01-01T02:00:00,,9.0
2024-01-01T05:00:00,C,7.0
"""


@pytest.fixture
def write(tmp_path):
    """Write the two files into a folder named `Kleinstadt` and return it."""
    folder = tmp_path / "Kleinstadt"
    folder.mkdir()

    def write(readings=READINGS, stations=STATIONS):
        (folder / "readings.csv").write_text(readings)
        (folder / "stations.csv").write_text(stations)
        return folder

    return write


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


def test_parquet_and_csv_give_the_same_city_and_it_survives_saving(write, tmp_path):
    folder = write()
    from_csv = read_tidy(folder)
    table = pd.read_csv(folder / "readings.csv", dtype={"station": str}, parse_dates=["time"])
    table.rename(columns={"value": "pm25"}).to_parquet(folder / "readings.parquet")
    (folder / "readings.csv").unlink()
    from_parquet = read_tidy(folder)
    from_csv.save(tmp_path / "saved")
    for other in (from_parquet, CityData.load(tmp_path / "saved")):
        np.testing.assert_array_equal(other.times, from_csv.times)
        np.testing.assert_array_equal(other.values, from_csv.values)
        pd.testing.assert_frame_equal(other.stations, from_csv.stations)
        assert other.report == from_csv.report


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


def test_timezone_of_a_parquet_column_becomes_utc(write):
    folder = write()
    time = pd.date_range("2024-01-01", periods=2, freq="h", tz="Asia/Kolkata")
    table = pd.DataFrame({"time": time, "station": "B", "pm25": [1.0, 2.0], "note": "x"})
    table.to_parquet(folder / "readings.parquet")
    assert str(read_tidy(folder).times[0]) == "2023-12-31T18:30:00"


@pytest.mark.parametrize(
    ("readings", "stations", "message"),
    [
        (
            "time,value\n2024-01-01,1\n",
            STATIONS,
            r"must have the columns time, station and value, got \['time', 'value'\]; for other "
            r"names or .*, read it as csv:.*/readings\.csv with --stations .*\.csv and --columns",
        ),
        (
            READINGS,
            "station,lat,lon\nB,1,2\n",
            r"stations\.csv must have the columns station, latitude and longitude, .*'lat'.* csv:",
        ),
        ("time,station\n2024-01-01,B\n", STATIONS, r"a single numeric column besides.*got \[\]"),
        (
            "time,station,a,b\n2024-01-01,B,1,2\n",
            STATIONS,
            r"a single numeric column.*got \['a', 'b'\]",
        ),
        ("time,station,value\n2024-01-01,B,low\n", STATIONS, "value must hold numbers.*low"),
        ("time,station,value\n2024-01-01,B,1\n03/04/2024,B,1\n", STATIONS, "'03/04/2024' in row 2"),
        ("time,station,value\n,B,1\n", STATIONS, "time must be ISO 8601, got '' in row 1"),
        ("time,station,value\n1704067200,B,1\n", STATIONS, "ISO 8601, got '1704067200' in row 1"),
        (
            "time,station,value,value\n2024-01-01,B,1,2\n",
            STATIONS,
            r"readings\.csv must have different columns, got .*'value', 'value'",
        ),
        (READINGS, "station,latitude,longitude\n", r"stations\.csv must have a row for each"),
        (READINGS, STATIONS + 'E,"51,2",4.4,road\n', "a name and a position.*'E'.*'51,2'"),
        (
            "time,station,value\n2024-01-01,X,1\n",
            STATIONS,
            r"no reading of a station in stations\.csv",
        ),
        ("time,station,value\n2024-01-01,B,\n", STATIONS, "no reading that is a finite number"),
        (READINGS, STATIONS + "B,51.0,4.4,road\n", "station 'B' occurs twice"),
        (READINGS, STATIONS + "E,,4.4,road\n", "every station needs a name and a position.*'E'"),
        (
            READINGS,
            STATIONS + "E,91.0,4.4,road\n",
            "within 90 and longitude within 360 degrees.*'E'",
        ),
        ("", STATIONS, r"readings\.csv cannot be read"),
    ],
)
def test_bad_input_gives_one_clear_error(write, readings, stations, message):
    with pytest.raises(DataError, match=message):
        read_tidy(write(readings, stations))


@pytest.mark.parametrize("missing", ["readings.csv", "stations.csv"])
def test_a_missing_file_is_named(write, missing):
    folder = write()
    (folder / missing).unlink()
    with pytest.raises(DataError, match=f"{missing} does not exist; expected stations"):
        read_tidy(folder)


def test_a_broken_parquet_file_is_named(write):
    folder = write()
    (folder / "readings.parquet").write_bytes(b"PAR1 but no more")
    with pytest.raises(DataError, match=r"readings\.parquet cannot be read"):
        read_tidy(folder)


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


def assert_same_city(got, expected):
    np.testing.assert_array_equal(got.times, expected.times)
    np.testing.assert_array_equal(got.values, expected.values)
    pd.testing.assert_frame_equal(got.stations, expected.stations)
    assert got.report == expected.report


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("partitioned", [True, False])
def test_one_file_for_each_station(write, kind, partitioned):
    folder = write()
    whole = read_tidy(folder)
    readings = pd.read_csv(folder / "readings.csv", dtype={"station": str})
    readings = readings[readings["station"].notna()]
    (folder / "readings.csv").unlink()
    for station, table in readings.groupby("station"):
        part = folder / "readings" / (f"station={station}" if partitioned else station)
        part.mkdir(parents=True)
        table = table.drop(columns="station") if partitioned else table
        write_table = table.to_csv if kind == "csv" else table.to_parquet
        write_table(part / f"part.{kind}", index=False)
    city = read_tidy(folder)
    np.testing.assert_array_equal(city.times, whole.times)
    np.testing.assert_array_equal(city.values, whole.values)
    dropped = whole.report["dropped"] | {"unknown_station": 1}
    assert city.report == whole.report | {"rows": 11, "dropped": dropped}


def test_batches_of_rows_change_nothing(write, monkeypatch):
    folder = write()
    whole = read_tidy(folder)
    monkeypatch.setattr("data_prep.stream.BATCH_ROWS", 2)
    assert_same_city(read_tidy(folder), whole)
    monkeypatch.setattr("data_prep.stream._BLOCK_BYTES", 64)
    assert_same_city(read_tidy(folder), whole)


def test_an_invalid_time_in_a_later_batch_has_its_row(write, monkeypatch):
    monkeypatch.setattr("data_prep.stream.BATCH_ROWS", 2)
    rows = "".join(f"2024-01-01T{hour:02}:00,B,{hour}\n" for hour in range(5))
    with pytest.raises(DataError, match="got 'noon' in row 6"):
        read_tidy(write(f"time,station,value\n{rows}noon,B,1\n"))


def test_the_type_of_a_column_does_not_depend_on_its_first_rows(write, monkeypatch):
    monkeypatch.setattr("data_prep.stream._BLOCK_BYTES", 64)
    rows = "".join(f"2024-01-01T{hour:02}:00,7,{hour}\n" for hour in range(20))
    city = read_tidy(
        write(
            f"time,station,value\n{rows}2024-01-02,07,2.5\n",
            "station,latitude,longitude\n7,51,4\n07,52,5\n",
        )
    )
    assert city.stations["station"].to_list() == ["7", "07"]
    assert city.values[-1, 1] == 2.5


def test_times_of_several_kinds_in_one_table(write):
    text = "2024-01-01T05:30+05:30,B,1\n2024-01-01 01:00,B,2\n2024-01-01T02:00:00.5Z,B,3\n"
    city = read_tidy(write(f"time,station,value\n{text}"))
    assert city.times.astype(str).tolist() == [f"2024-01-01T0{hour}:00:00" for hour in range(3)]
    assert city.values[:, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize("station", [[7, 8], ["7", "8"], pd.Categorical(["7", "8"])], ids=str)
def test_names_of_stations_in_parquet_may_be_numbers(write, station):
    folder = write(stations="station,latitude,longitude\n7,51,4\n8,52,5\n")
    time = pd.to_datetime(["2024-01-01", "2024-01-01"])
    pd.DataFrame({"time": time, "station": station, "value": ["1.5", "2"]}).to_parquet(
        folder / "readings.parquet"
    )
    assert read_tidy(folder).values.tolist() == [[1.5, 2.0]]


def test_a_city_that_does_not_fit_into_the_memory(write, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr("data_prep.assemble._pivot", fail)
    with pytest.raises(DataError, match="3 different times, too many for 4 stations; average"):
        read_tidy(write())


def test_nested_folders_and_odd_names(write):
    folder = write()
    (folder / "readings.csv").unlink()
    part = folder / "readings" / "station=B" / "year=2024"
    part.mkdir(parents=True)
    (part / "a.csv").write_text("time,value\n2024-01-01,1.5\n")
    (folder / "readings" / "old.csv").mkdir()
    city = read_tidy(folder)
    assert city.stations["station"].to_list() == ["B"]
    (part / "b.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="must hold files of one format"):
        read_tidy(folder)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"time": [datetime.time(1)], "station": ["B"], "value": [1.0]}, "time must be ISO 8601"),
        ({"time": ["2024-01-01"], "station": [["B"]], "value": [1.0]}, "cannot be read"),
        ({"time": ["2024-01-01"], "station": ["B"], "value": ["low"]}, "value must hold numbers"),
    ],
)
def test_odd_columns_of_parquet(write, table, message):
    folder = write()
    pd.DataFrame(table).to_parquet(folder / "readings.parquet")
    with pytest.raises(DataError, match=message):
        read_tidy(folder)


def test_text_that_is_not_utf_8(write):
    folder = write()
    (folder / "readings.csv").write_bytes(b"time,station,value\n2024-01-01,Z\xfcrich,1\n")
    with pytest.raises(DataError, match=r"read it as csv:.* --encoding latin-1"):
        read_tidy(folder)
    (folder / "readings.csv").write_text(READINGS, encoding="utf-16")
    with pytest.raises(DataError, match=r"read it as csv:.* --encoding utf-16"):
        read_tidy(folder)
    (folder / "stations.csv").write_text(STATIONS, encoding="utf-16")
    with pytest.raises(DataError, match=r"stations\.csv cannot be read: .* --encoding utf-16"):
        read_tidy(folder)


def test_the_second_of_two_files_is_named(write):
    folder = write()
    (folder / "readings.csv").unlink()
    (folder / "readings").mkdir()
    (folder / "readings" / "a.csv").write_text(READINGS)
    (folder / "readings" / "b.csv").write_text("time,station\n2024-01-01,B\n")
    with pytest.raises(DataError, match=r"b\.csv cannot be read: .*value"):
        read_tidy(folder)


def test_folders_above_the_readings_do_not_name_a_station(write, tmp_path):
    above = tmp_path / "station=A"
    shutil.copytree(write(), above / "Kleinstadt")
    assert_same_city(read_tidy(above / "Kleinstadt"), read_tidy(write()))


def test_a_reading_that_is_infinite_in_float32_is_missing(write):
    city = read_tidy(write(f"{READINGS}2024-01-01T02:00,B,1e39\n2024-01-01T03:00,B,1e400\n"))
    assert city.report["dropped"]["infinite_value"] == 3  # one of them in READINGS
    assert np.isfinite(city.values[city.observed]).all()


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


def test_readings_are_kept_as_they_are_without_a_period(write):
    assert_same_city(read_tidy(write(), every="none"), read_tidy(write()))


def test_periods_raise_no_warning_of_a_library(write):
    with warnings.catch_warnings(action="error"):
        warnings.simplefilter("default", DataWarning)
        read_tidy(write(), every="1d", least=0)


def test_a_row_of_a_station_with_too_many_cells_is_refused(write):
    with pytest.raises(DataError, match=r"stations\.csv cannot be read: a row has more cells"):
        read_tidy(write(stations="station,latitude,longitude\nB,51,4,7\n"))


def test_names_are_trimmed_and_may_be_na(write):
    folder = write(
        "time,station,value\n2024-01-01T00:00,NA,1\n2024-01-01T01:00, NA,2\n2024-01-01T01:00,B,3\n",
        "station,latitude,longitude\nNA,51.2,4.4\nB ,51.3,4.5\n",
    )
    city = read_tidy(folder)
    assert city.stations["station"].to_list() == ["NA", "B"]
    assert city.observed.tolist() == [[True, False], [True, True]]
    assert city.report["trimmed_names"] == [" NA", "B "]


def test_names_that_differ_only_in_spaces_are_one(write):
    with pytest.raises(DataError, match="station 'B' occurs twice"):
        read_tidy(write(stations=f"{STATIONS}B ,51.0,4.4,road\n"))


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ('"12,5"', "--decimal ,"),
        ('"1,234.5"', "--thousands ,"),
        ('"1,234"', "--thousands ,"),
        ("<2", "--text missing"),
    ],
)
def test_a_number_in_another_notation_is_refused_with_the_option_that_reads_it(
    write, tmp_path, value, hint
):
    folder = tmp_path / "Kleinstadt"
    text = value.strip('"')
    with pytest.raises(DataError, match=rf"value must hold numbers.*'{text}'.*{hint}") as raised:
        read_tidy(write(f"time,station,value\n2024-01-01,B,{value}\n"))
    command = str(raised.value).partition(", read it as ")[2]
    assert command == f"csv:{folder}/readings.csv with --stations {folder}/stations.csv {hint}"
    data, _, *options = command.split()
    arguments = ["prepare", data, *options, "--out", str(tmp_path / "out")]
    assert main(arguments) == (2 if value == "<2" else 0)  # its only reading is missing


def test_text_in_parquet_has_no_hint_of_the_source_that_reads_csv(write):
    folder = write()
    table = {"time": ["2024-01-01"], "station": ["B"], "value": ["12,5"]}
    pd.DataFrame(table).to_parquet(folder / "readings.parquet")
    with pytest.raises(DataError, match="value must hold numbers") as raised:
        read_tidy(folder)
    assert "csv" not in str(raised.value)


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


@pytest.mark.parametrize("latitude", [-90, 89.99])
def test_stations_at_a_pole_are_refused(write, latitude):
    stations = f"station,latitude,longitude\nB,{latitude},0\nC,{latitude},120\n"
    with pytest.raises(DataError, match="within 85 degrees of the equator, got a latitude of"):
        read_tidy(write(stations=stations))


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


def test_an_empty_folder_of_readings_is_not_a_missing_one(write):
    folder = write()
    (folder / "readings.csv").unlink()
    (folder / "readings").mkdir()
    with pytest.raises(DataError, match="readings has no CSV or Parquet file; expected stations"):
        read_tidy(folder)


def test_linked_folders_and_suffixes_in_capitals_are_read(write, tmp_path):
    folder = write()
    whole = read_tidy(folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "readings.csv").rename(elsewhere / "ALL.CSV")
    (folder / "readings").mkdir()
    (folder / "readings" / "linked").symlink_to(elsewhere)
    assert_same_city(read_tidy(folder), whole)


def test_longitudes_of_a_city_in_the_west_are_kept(write):
    stations = "station,latitude,longitude\n007,-33.1,-70.1\nB,-33.2,-70.3\n"
    assert read_tidy(write(stations=stations)).stations["longitude"].to_list() == [-70.1, -70.3]
