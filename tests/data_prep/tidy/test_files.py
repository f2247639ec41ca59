import shutil

import numpy as np
import pandas as pd
import pytest
from tidy_tables import assert_same_city

from data_prep.city import CityData, DataError
from data_prep.tidy import read_tidy


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


@pytest.mark.parametrize("station", [[7, 8], ["7", "8"], pd.Categorical(["7", "8"])], ids=str)
def test_names_of_stations_in_parquet_may_be_numbers(write, station):
    folder = write(stations="station,latitude,longitude\n7,51,4\n8,52,5\n")
    time = pd.to_datetime(["2024-01-01", "2024-01-01"])
    pd.DataFrame({"time": time, "station": station, "value": ["1.5", "2"]}).to_parquet(
        folder / "readings.parquet"
    )
    assert read_tidy(folder).values.tolist() == [[1.5, 2.0]]


def test_timezone_of_a_parquet_column_becomes_utc(write):
    folder = write()
    time = pd.date_range("2024-01-01", periods=2, freq="h", tz="Asia/Kolkata")
    table = pd.DataFrame({"time": time, "station": "B", "pm25": [1.0, 2.0], "note": "x"})
    table.to_parquet(folder / "readings.parquet")
    assert str(read_tidy(folder).times[0]) == "2023-12-31T18:30:00"


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


def test_folders_above_the_readings_do_not_name_a_station(write, tmp_path):
    above = tmp_path / "station=A"
    shutil.copytree(write(), above / "Kleinstadt")
    assert_same_city(read_tidy(above / "Kleinstadt"), read_tidy(write()))


def test_linked_folders_and_suffixes_in_capitals_are_read(write, tmp_path):
    folder = write()
    whole = read_tidy(folder)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "readings.csv").rename(elsewhere / "ALL.CSV")
    (folder / "readings").mkdir()
    (folder / "readings" / "linked").symlink_to(elsewhere)
    assert_same_city(read_tidy(folder), whole)
