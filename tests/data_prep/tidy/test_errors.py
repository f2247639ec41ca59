import datetime

import pandas as pd
import pytest
from tidy_tables import READINGS, STATIONS

from data_prep.city import DataError
from data_prep.cli import main
from data_prep.tidy import read_tidy


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
        ("time,station,value\nnow,B,1\n", STATIONS, "ISO 8601, got 'now' in row 1"),
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
        ("", STATIONS, r"readings\.csv cannot be read: Empty CSV file$"),
        (
            "time;station;value\n2024-01-01;B;12,5\n",
            STATIONS,
            r"cannot be read: .* for other separators, read it as csv:.*/readings\.csv with",
        ),
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


def test_an_invalid_time_in_a_later_batch_has_its_row(write, monkeypatch):
    monkeypatch.setattr("data_prep.stream.BATCH_ROWS", 2)
    rows = "".join(f"2024-01-01T{hour:02}:00,B,{hour}\n" for hour in range(5))
    with pytest.raises(DataError, match="got 'noon' in row 6"):
        read_tidy(write(f"time,station,value\n{rows}noon,B,1\n"))


def test_a_city_that_does_not_fit_into_the_memory(write, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr("data_prep.assemble._pivot", fail)
    with pytest.raises(DataError, match="3 different times, too many for 4 stations; average"):
        read_tidy(write())


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


def test_a_row_of_a_station_with_too_many_cells_is_refused(write):
    with pytest.raises(DataError, match=r"stations\.csv cannot be read: a row has more cells"):
        read_tidy(write(stations="station,latitude,longitude\nB,51,4,7\n"))


def test_names_that_differ_only_in_spaces_are_one(write):
    with pytest.raises(DataError, match="station 'B' occurs twice"):
        read_tidy(write(stations=f"{STATIONS}B ,51.0,4.4,road\n"))


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ('"12,5"', "--decimal ,"),
        ('"1,234.5"', "--thousands ,"),
        ('"1,234"', "--decimal ,"),
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


@pytest.mark.parametrize("latitude", [-90, 89.99])
def test_stations_at_a_pole_are_refused(write, latitude):
    stations = f"station,latitude,longitude\nB,{latitude},0\nC,{latitude},120\n"
    with pytest.raises(DataError, match="within 85 degrees of the equator, got a latitude of"):
        read_tidy(write(stations=stations))


def test_an_empty_folder_of_readings_is_not_a_missing_one(write):
    folder = write()
    (folder / "readings.csv").unlink()
    (folder / "readings").mkdir()
    with pytest.raises(DataError, match="readings has no CSV or Parquet file; expected stations"):
        read_tidy(folder)
