import gzip

import numpy as np
import pandas as pd
import pytest
from source_files.to_map import assert_becomes_a_map

from data_prep import DataError, load_city
from data_prep.city import DataWarning

STATIONS = pd.DataFrame(
    {
        "station": ["North", "South", "NA"],
        "latitude": [51.25, 51.18, 51.21],
        "longitude": [4.40, 4.42, 4.46],
    }
)
HOURS = 480


@pytest.fixture(scope="module")
def readings():
    """Hourly readings, with a row for each time and a column for each station."""
    time = pd.date_range("2024-01-01", periods=HOURS, freq="h", name="time")
    values = np.random.default_rng(0).uniform(1, 60, (HOURS, 3)).round(1)
    return pd.DataFrame(values, time, STATIONS["station"].to_list())


@pytest.fixture
def long(readings):
    """The same with a row for each reading."""
    table = readings.rename_axis(columns="station").stack().rename("value").reset_index()
    return table.merge(STATIONS, on="station")


def read(path, **options):
    return load_city(f"csv:{path}", grid=(8, 8), progress=False, **options)


def assert_same_readings(city, readings):
    assert city.stations["station"].to_list() == sorted(readings)
    expected = readings[sorted(readings)]
    np.testing.assert_array_equal(city.times, expected.index.to_numpy("datetime64[s]"))
    np.testing.assert_array_equal(city.values, expected.to_numpy(np.float32))


def test_a_table_with_coordinates_becomes_a_map(long, tmp_path):
    long.to_csv(tmp_path / "mine.csv", index=False)
    assert_becomes_a_map(str(tmp_path / "mine.csv"), tmp_path / "city")


def test_a_wide_table_becomes_a_map(readings, tmp_path):
    readings.to_csv(tmp_path / "mine.csv")
    STATIONS.to_csv(tmp_path / "places.csv", index=False)
    options = ["--stations", str(tmp_path / "places.csv")]
    assert_becomes_a_map(f"csv:{tmp_path / 'mine.csv'}", tmp_path / "city", *options)


def test_coordinates_in_every_row(long, readings, tmp_path):
    long.to_csv(tmp_path / "mine.csv", index=False)
    city = load_city(tmp_path / "mine.csv", grid=(8, 8), progress=False)
    assert_same_readings(city, readings)
    assert city.name == "mine"
    places = STATIONS.set_index("station").loc[sorted(readings)]
    np.testing.assert_array_equal(city.stations[["latitude", "longitude"]], places)


@pytest.mark.parametrize(
    "names",
    [
        {"time": "Timestamp", "station": "sensor_id", "latitude": "Lat", "longitude": "lng"},
        {"time": "date_time", "station": "Site ID", "value": "PM2.5 (µg/m³)"},
        {"value": "pm25", "longitude": "LONGITUDE"},
    ],
)
def test_columns_are_recognized_by_their_usual_names(long, readings, tmp_path, names):
    long.rename(columns=names).assign(humidity=50).to_csv(tmp_path / "mine.csv", index=False)
    assert_same_readings(read(tmp_path), readings)


def test_columns_with_other_names_are_given(long, readings, tmp_path):
    long.rename(columns={"value": "Feinstaub"}).to_csv(tmp_path / "mine.csv", index=False)
    with pytest.raises(DataError, match=r"as value, got .*Feinstaub.*; .* --columns value=\.\.\."):
        read(tmp_path)
    assert_same_readings(read(tmp_path, columns={"value": "Feinstaub"}), readings)
    with pytest.raises(DataError, match=r"must have the columns \['Staub'\], got \['time', .*Fein"):
        read(tmp_path, columns={"value": "Staub"})
    with pytest.raises(DataError, match=r"columns may name time, station, .* got feinstaub"):
        read(tmp_path, columns={"feinstaub": "Feinstaub"})


def test_without_a_station_each_place_is_one(long, readings, tmp_path):
    long.drop(columns="station").to_csv(tmp_path / "mine.csv", index=False)
    city = read(tmp_path)
    assert city.stations["station"].to_list() == [
        "51.18000,4.42000",
        "51.21000,4.46000",
        "51.25000,4.40000",
    ]
    np.testing.assert_array_equal(
        city.values, readings[["South", "NA", "North"]].astype(np.float32)
    )


@pytest.mark.parametrize("wide", [True, False])
def test_positions_in_a_table_beside_the_readings(long, readings, tmp_path, wide):
    STATIONS.to_csv(tmp_path / "stations.csv", index=False)
    if wide:
        readings.to_csv(tmp_path / "mine.csv")
    else:
        long.drop(columns=["latitude", "longitude"]).to_csv(tmp_path / "mine.csv", index=False)
    assert_same_readings(read(tmp_path / "mine.csv"), readings)
    assert_same_readings(read(tmp_path, stations=tmp_path / "stations.csv"), readings)


def test_rows_of_an_unknown_station_are_counted(long, tmp_path):
    STATIONS[:2].to_csv(tmp_path / "stations.csv", index=False)
    long.drop(columns=["latitude", "longitude"]).to_csv(tmp_path / "mine.csv", index=False)
    with pytest.warns(DataWarning, match=r"csv does not have 1 of the stations in .* out: NA$"):
        city = read(tmp_path / "mine.csv")
    assert city.stations["station"].to_list() == ["North", "South"]
    assert city.report["dropped"] == {"unknown_station": HOURS}
    assert city.report["rows"] == 3 * HOURS


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_many_files_compressed_and_with_other_delimiters(long, readings, tmp_path, delimiter):
    for station, table in long.groupby("station"):
        text = table.to_csv(index=False, sep=delimiter)
        (tmp_path / f"{station}.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert_same_readings(read(tmp_path), readings)


@pytest.mark.parametrize(
    ("write", "options", "message"),
    [
        ({"decimal": ",", "sep": ";"}, {"decimal": ","}, r"got '[\d]+,\d' in row 1; .*decimal=','"),
        ({"encoding": "utf-16"}, {"encoding": "utf-16"}, "use encoding='utf-16'"),
        (
            {"date_format": "%d/%m/%Y %H:%M"},
            {"time_format": "%d/%m/%Y %H:%M"},
            r"of the format ISO8601, got '01/01/2024 00:00' in row 1; give --time-format, such as",
        ),
    ],
)
def test_other_notations_are_refused_with_the_option_that_reads_them(
    long, readings, tmp_path, write, options, message
):
    table = long.drop(columns=["latitude", "longitude"])
    STATIONS.to_csv(tmp_path / "stations.csv", index=False, **write | {"decimal": "."})
    table.to_csv(tmp_path / "mine.csv", index=False, **write)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "mine.csv")
    assert_same_readings(read(tmp_path / "mine.csv", **options), readings)


def test_latin_1(long, tmp_path):
    long = long.replace({"station": {"North": "Zürich"}})
    long.to_csv(tmp_path / "mine.csv", index=False, encoding="latin-1")
    with pytest.raises(DataError, match="use encoding='latin-1'"):
        read(tmp_path)
    assert "Zürich" in read(tmp_path, encoding="latin-1").stations["station"].to_list()
    with pytest.raises(
        DataError, match=r"encoding must be one of Python.*unknown encoding: klingon"
    ):
        read(tmp_path, encoding="klingon")


@pytest.mark.parametrize(
    ("cell", "options", "value", "message"),
    [
        ('"1,234.5"', {"thousands": ","}, 1234.5, "thousands=','"),
        ("<2", {"text": "missing"}, None, "text='missing'"),
        ("1.234,5", {"thousands": ".", "decimal": ","}, 1234.5, None),
        ("+1,5e2", {"decimal": ","}, 150.0, None),
        (",5", {"decimal": ","}, 0.5, None),
    ],
)
def test_odd_cells(tmp_path, cell, options, value, message):
    header = "time;station;latitude;longitude;value"
    rows = f"2024-01-01;A;51;4;{cell}\n2024-01-02;A;51;4;7\n"
    (tmp_path / "mine.csv").write_text(f"{header}\n{rows}")
    with pytest.raises(DataError, match=message or "must be a number"):
        read(tmp_path)
    city = read(tmp_path, **options)
    found = {float(number) for number in city.values.ravel() if not np.isnan(number)}
    assert found == {7.0, value} - {None}


@pytest.mark.parametrize(
    ("cell", "options", "message"),
    [
        ("1.234", {"decimal": ","}, "a number with ',' as the decimal mark, got '1.234' in row 1"),
        ("12,5", {"thousands": ","}, "and ',' between groups of three digits, got '12,5' in row 1"),
        ("0,123", {"thousands": ","}, "and ',' between groups of three digits, got '0,123'"),
        ("1,2345", {"thousands": ","}, "and ',' between groups of three digits, got '1,2345'"),
        ("1.234", {"decimal": ",", "text": "missing"}, "a number with ',' as the decimal mark"),
    ],
)
def test_marks_of_another_notation_are_refused_instead_of_misread(tmp_path, cell, options, message):
    text = f"time;station;latitude;longitude;value\n2024-01-01;A;51;4;{cell}\n"
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path, **options)


@pytest.mark.parametrize(
    ("time", "zone", "utc"),
    [
        ("2024-07-01T02:00", "UTC", "2024-07-01T02:00:00"),
        ("2024-07-01T02:00", "UTC+1", "2024-07-01T01:00:00"),
        ("2024-07-01T02:00", "UTC-03:30", "2024-07-01T05:30:00"),
        ("2024-07-01T02:00", "Europe/Brussels", "2024-07-01T00:00:00"),
        ("2024-07-01T02:00+05:00", "Europe/Brussels", "2024-06-30T21:00:00"),
    ],
)
def test_times_in_a_time_zone_become_utc(tmp_path, time, zone, utc):
    (tmp_path / "a.csv").write_text(f"time,station,lat,lon,value\n{time},A,51,4,1\n")
    assert str(read(tmp_path, time_zone=zone).times[0]) == utc


@pytest.mark.parametrize("time", ["2024-10-27T02:30", "2024-03-31T02:30"])
def test_times_that_a_change_of_clocks_makes_unclear_are_refused(tmp_path, time):
    (tmp_path / "a.csv").write_text(f"time,station,lat,lon,value\n{time},A,51,4,1\n")
    with pytest.raises(DataError, match=f"exists once in Europe/Brussels, got '{time}' in row 1"):
        read(tmp_path, time_zone="Europe/Brussels")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "cannot be read"),
        ("time,station,lat,lon\n2024-01-01,A,51,4\n", {}, "recognized as value"),
        ("station,lat,lon,value\nA,51,4,1\n", {}, "recognized as time"),
        ("time,station,value\n2024-01-01,A,1\n", {}, "recognized as latitude and longitude"),
        ("time,station,lat,lon,value\n2024-01-01,A,51,4,1,9\n", {}, "cannot be read"),
        ("time,station,lat,lon,value\nsoon,A,51,4,1\n", {}, "got 'soon' in row 1"),
        ("time,station,lat,lon,value\n2024-01-01,A,51,4,1\n", {"time_zone": "Mars"}, "got 'Mars'"),
        ("time,station,lat,lon,value\n2024-01-01,A,51,4,1\n", {"time_zone": "UTC+1:70"}, "UTC"),
        ("time,station,lat,lon,value\n2024-01-01,A,51,4,1\n", {"time_format": "%Q"}, "'%Q'"),
        ("time,station,lat,lon,value\n2024-01-01,A,51,4,1\n", {"text": "foo"}, "'error' or 'mis"),
        (
            "time,station,lat,lon,value\n2024-01-01,A,51,4,1\n",
            {"decimal": ""},
            "decimal must be a mark",
        ),
        ("time,station,lat,lon,value\n2024-01-01,A,51,4,1\n", {"encoding": "idna"}, "encoding"),
        (
            "time,station,lat,lon,value\n2024-01-01,A,51,4,1\n",
            {"columns": {"latitude": "lat", "longitude": "lat"}},
            "columns must be different columns",
        ),
        ("time,value,value \n2024-01-01,1,2\n", {}, "the columns must have different names"),
        (
            "time,lat,lon,value,value\n2024-01-01,51,4,1,2\n",
            {},
            r"a\.csv must have the column 'value' once, got \['time', 'lat', .*, 'value'\]",
        ),
        (
            "date,time,lat,lon,value\n2024-01-01,10:00,51,4,1\n",
            {"time_format": "%H:%M"},
            "the format of times must have a year, such as %d.%m.%Y %H:%M, got '%H:%M'",
        ),
        (
            "time,lat,lon,value\n2024-01-01T10:00+05:00,51,4,1\n",
            {"time_format": "mixed"},
            "the format of times must have a year, .* got 'mixed'",
        ),
        ("time,station,lat,lon,value\n2024-01-01,A,51,4,1,9\n", {}, "more cells than the header"),
        ("time,a\n2024-01-01,1\n", {"stations": "nowhere.csv"}, r"nowhere\.csv does not exist"),
        (
            "time,a\n2024-01-01,1\n",
            {"decimal": ",", "thousands": ","},
            "not that between thousands",
        ),
    ],
)
def test_bad_input_gives_one_clear_error(tmp_path, text, options, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read(tmp_path, **options)


@pytest.mark.parametrize(
    ("option", "given", "expected"),
    [
        ("time_zone", 1, "a text"),
        ("time_format", None, "a text"),
        ("decimal", None, "a text"),
        ("thousands", 1, "a text"),
        ("encoding", 8, "a text"),
        ("columns", ["PM"], "a mapping"),
    ],
)
def test_an_option_of_another_type_is_refused(tmp_path, option, given, expected):
    (tmp_path / "a.csv").write_text("time,lat,lon,value\n2024-01-01,51,4,5\n")
    with pytest.raises(DataError, match=rf"{option} must be {expected}.* got"):
        read(tmp_path, **{option: given})


@pytest.mark.parametrize(
    ("header", "factor"),
    [("PM2.5 (mg/m3)", 1000), ("pm25 [ng/m³]", 1e-3), ("PM2.5 (µg/m³)", 1), ("value", 1)],
)
def test_the_unit_of_the_header_counts(tmp_path, header, factor):
    rows = "2024-01-01,A,51,4,5\n2024-01-02,A,51,4,-999\n"
    (tmp_path / "a.csv").write_text(f"time,station,lat,lon,{header}\n{rows}")
    city = read(tmp_path)
    assert city.values[0, 0] == pytest.approx(5 * factor)
    assert city.report["dropped"] == {"missing_code": 1}


def test_an_unknown_unit_is_refused_unless_the_column_is_given(tmp_path):
    (tmp_path / "a.csv").write_text("time,station,lat,lon,PM2.5 (raw)\n2024-01-01,A,51,4,5\n")
    with pytest.raises(DataError, match=r"must be in ug/m3, mg/m3 or ng/m3, got 'raw'; if"):
        read(tmp_path)
    assert read(tmp_path, columns={"value": "PM2.5 (raw)"}).values.tolist() == [[5.0]]


def test_the_unit_of_a_column_that_is_given_counts(tmp_path):
    (tmp_path / "a.csv").write_text("time,lat,lon,Staub (mg/m³)\n2024-01-01,51,4,0.012\n")
    city = read(tmp_path, columns={"value": "Staub (mg/m³)"})
    assert city.values.tolist() == [[12.0]]


def test_a_table_of_stations_with_other_names_is_refused(readings, tmp_path):
    STATIONS.rename(columns={"latitude": "Breite"}).to_csv(tmp_path / "stations.csv", index=False)
    readings.to_csv(tmp_path / "mine.csv")
    with pytest.raises(DataError, match=r"'Breite', .*; rename those for latitude$"):
        read(tmp_path)


def test_the_table_of_stations_may_be_named_in_another_way(readings, tmp_path, monkeypatch):
    STATIONS.to_csv(tmp_path / "places.csv", index=False)
    readings.to_csv(tmp_path / "mine.csv")
    monkeypatch.chdir(tmp_path)
    assert_same_readings(read(".", stations=tmp_path / "places.csv"), readings)


def test_coordinates_may_have_points_where_readings_have_commas(tmp_path):
    (tmp_path / "a.csv").write_text("time;lat;lon;value\n2024-01-01;51.2;4.4;12,5\n")
    assert read(tmp_path, decimal=",").values.tolist() == [[12.5]]


def test_columns_that_are_not_used_may_have_one_name(tmp_path):
    (tmp_path / "a.csv").write_text("time,lat,lon,value,flag,flag\n2024-01-01,51,4,1,x,y\n")
    assert read(tmp_path).values.tolist() == [[1.0]]


def test_a_station_has_one_column(readings, tmp_path):
    STATIONS.to_csv(tmp_path / "stations.csv", index=False)
    (tmp_path / "mine.csv").write_text("time,North,North\n2024-01-01,1,2\n")
    with pytest.raises(DataError, match="must have the column 'North' once"):
        read(tmp_path)


def test_columns_without_a_name_are_left_out_unless_they_are_given(readings, tmp_path):
    STATIONS.to_csv(tmp_path / "stations.csv", index=False)
    readings.assign(**{"": "", " ": ""}).to_csv(tmp_path / "mine.csv")
    city = read(tmp_path / "mine.csv")
    assert_same_readings(city, readings)
    assert city.report["dropped"] == {}
    readings.rename_axis(index=None).to_csv(tmp_path / "mine.csv")
    again = read(tmp_path / "mine.csv", columns={"time": "Unnamed: 0"})
    assert_same_readings(again, readings)


def test_columns_of_a_wide_table_without_a_station_are_counted(readings, tmp_path):
    STATIONS[:2].to_csv(tmp_path / "stations.csv", index=False)
    readings.to_csv(tmp_path / "mine.csv")
    with pytest.warns(DataWarning, match=r"csv does not have 1 of the stations in .* out: NA$"):
        report = read(tmp_path / "mine.csv").report
    assert report["dropped"] == {"unknown_station": HOURS}
    assert report["rows"] == 3 * HOURS


@pytest.mark.parametrize("form", ["%d-%m-%Y %H:%M", "%H:%M %d-%m-%Y", "%d.%m.%Y %H:%M"])
def test_the_end_of_a_date_is_no_offset(tmp_path, form):
    time = pd.Timestamp("2024-02-01T12:00").strftime(form)
    (tmp_path / "a.csv").write_text(f"time,station,lat,lon,value\n{time},A,51,4,1\n")
    city = read(tmp_path, time_format=form, time_zone="Europe/Berlin")
    assert str(city.times[0]) == "2024-02-01T11:00:00"


def test_a_wide_table_of_other_stations(readings, tmp_path):
    STATIONS.assign(station=["x", "y", "z"]).to_csv(tmp_path / "stations.csv", index=False)
    readings.to_csv(tmp_path / "mine.csv")
    with pytest.raises(DataError, match=r"a column for each station \['x', 'y', 'z'\], got"):
        read(tmp_path / "mine.csv")


def test_the_name_of_a_zone_in_the_times_counts_more_than_the_option(tmp_path):
    (tmp_path / "a.csv").write_text(
        "time,station,lat,lon,value\n2024-01-01 00:00 UTC,A,51,4,1\n", encoding="utf-8"
    )
    city = read(tmp_path, time_format="%Y-%m-%d %H:%M %Z", time_zone="UTC+5")
    assert city.times.astype(str).tolist() == ["2024-01-01T00:00:00"]


def test_a_decimal_comma_in_the_coordinates_is_refused_also_where_text_is_missing(tmp_path):
    rows = "2024-01-01;A;51,2;4,4;5\n2024-01-02;A;51,2;4,4;<2\n"
    (tmp_path / "a.csv").write_text(f"time;station;lat;lon;value\n{rows}")
    with pytest.raises(DataError, match=r"lat must be a number, got '51,2' .*--decimal ,"):
        read(tmp_path, text="missing")
    assert read(tmp_path, text="missing", decimal=",").values[0, 0] == 5
