import zipfile
from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from source_files import eea
from source_files.to_map import assert_becomes_a_map

from data_prep import DataError, load_city


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    return eea.write_download(tmp_path_factory.mktemp("download"))


@pytest.fixture(scope="module")
def metadata(tmp_path_factory):
    return eea.write_metadata(tmp_path_factory.mktemp("metadata") / "metadata.csv")


@pytest.fixture
def read(metadata):
    def read(path, **options):
        usual = {"metadata": metadata, "time_zone": "UTC+1", "grid": (8, 8), "progress": False}
        return load_city(f"eea:{path}", **usual | options)

    return read


def found(city):
    """Return the readings of the only station by time."""
    return pd.Series(city.values[:, 0], city.times).dropna().to_dict()


def test_a_download_becomes_a_map(download, metadata, tmp_path):
    options = ["--metadata", str(metadata), "--time-zone", "UTC+1"]
    assert_becomes_a_map(f"eea:{download}", tmp_path, *options)


def test_readings_stand_at_their_beginning_in_utc_and_at_their_sampling_point(download, read):
    city = read(download)
    assert city.stations["station"].to_list() == [f"BE/{point}" for point in eea.POINTS]
    assert city.stations["station_code"].to_list() == ["BETR701", "BETR702", "BETR731"]
    assert city.stations["station_name"].to_list()[1] == "44R702 - Gent, Gustaaf Callier"
    np.testing.assert_allclose(city.stations["latitude"], [51.0583, 51.0359, 51.1515])
    np.testing.assert_allclose(city.stations["longitude"], [3.7293, 3.7284, 3.7341])
    hours = np.arange(eea.HOURS)
    start = np.datetime64("2023-02-28T23:00:00")
    np.testing.assert_array_equal(city.times, start + hours * np.timedelta64(1, "h"))
    expected = np.arange(3) + hours[:, None] / 4
    np.testing.assert_array_equal(city.values, expected.astype(np.float32))
    assert city.report["rows"] == city.report["readings"] == 3 * eea.HOURS
    assert "cite the European Environment Agency" in city.report["licence"]


@pytest.mark.parametrize(
    ("time_zone", "first"),
    [("UTC", "2023-03-01T00:00"), ("Europe/Helsinki", "2023-02-28T22:00")],
)
def test_the_time_zone_is_that_of_the_option(download, read, time_zone, first):
    city = read(download / "E1a" / f"{eea.FIRST}.parquet", time_zone=time_zone)
    assert city.times[0] == np.datetime64(first)


def test_a_zip_archive_is_read_as_it_is_downloaded(download, read, tmp_path):
    path = tmp_path / "download.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in download.rglob("*.parquet"):
            archive.write(file, file.relative_to(download))
    np.testing.assert_array_equal(read(path).values, read(download).values)


def test_rows_that_do_not_count_have_a_reason(read, tmp_path):
    rows = [
        eea.row(0, 1.5),
        eea.row(1, 2.5, Validity=2),
        eea.row(2, 3.5, Validity=3),
        eea.row(3, 4.5, Validity=4),
        eea.row(4, 0.005, Unit="mg.m-3"),
        eea.row(5, 9, Validity=-1),
        eea.row(6, 9, Validity=-99),
        eea.row(7, 9, Validity=0),
        eea.row(8, 9, Validity=None),
        eea.row(0, 9, AggType="day"),
        eea.row(0, 9, AggType="var"),
        eea.row(9, 9, Pollutant=5),
        eea.row(10, 9, Unit="mg"),
        eea.row(10, 9, Unit=None),
        eea.row(11, -999),
        eea.row(12, None),
        eea.row(13, 9, "BE/SPO-UNKNOWN"),
        eea.row(14, 9, None),
    ]
    eea.write_rows(tmp_path / "point.parquet", rows)
    city = read(tmp_path, time_zone="UTC")
    values = {eea.START.replace(hour=hour): hour + 1.5 for hour in range(4)}
    assert found(city) == values | {eea.START.replace(hour=4): 5.0}
    assert city.report["dropped"] == {
        "invalid": 4,
        "other_period": 2,
        "other_quantity": 1,
        "other_unit": 2,
        "missing_code": 1,
        "missing_value": 1,
        "no_station": 1,
        "no_position": 1,
    }
    assert city.report["rows"] == len(rows)


def test_floats_and_prefixes_in_the_metadata_are_read_too(read, tmp_path):
    index = eea.SCHEMA.get_field_index("Value")
    schema = eea.SCHEMA.set(index, pa.field("Value", pa.float64()))
    path = eea.write_rows(tmp_path / "point.parquet", [eea.row(0, 0) | {"Value": 1.25}], schema)
    metadata = eea.write_metadata(tmp_path / "metadata.csv")
    metadata.write_text(metadata.read_text("utf-8-sig").replace("SPO-", "BE/SPO-"))
    city = read(path, metadata=str(metadata))
    assert city.values.item() == 1.25


def test_the_first_row_with_a_position_is_the_position_of_a_sampling_point(read, tmp_path):
    path = eea.write_rows(tmp_path / "point.parquet", [eea.row(0, 1)])
    line = eea.metadata_row(eea.FIRST)
    lines = [line.replace("51.0583", ""), line, line.replace("51.0583", "52")]
    (tmp_path / "metadata.csv").write_text("\n".join([eea.METADATA_HEADER, *lines]))
    city = read(path, metadata=tmp_path / "metadata.csv")
    assert city.stations["latitude"].item() == 51.0583


@pytest.mark.parametrize(
    ("start", "time_zone", "message"),
    [
        (datetime(2023, 3, 26, 2, 30), "Europe/Rome", "exists once in Europe/Rome, got 2023-03-26"),
        (datetime(2023, 10, 29, 2, 30), "Europe/Rome", "exists once .* got 2023-10-29 .* in row 3"),
        (None, "UTC", "Start must be a time that exists once in UTC, got NaT in row 3"),
        (
            eea.START,
            "Brussels",
            "the time zone must be UTC, an offset such as UTC.1, .* 'Brussels'",
        ),
    ],
)
def test_times_must_be_unique_in_a_known_time_zone(read, tmp_path, start, time_zone, message):
    rows = [eea.row(0, 1), eea.row(1, 1, Validity=-1), eea.row(2, 1, Start=start)]
    path = eea.write_rows(tmp_path / "point.parquet", rows)
    with pytest.raises(DataError, match=message):
        read(path, time_zone=time_zone)


@pytest.mark.parametrize("option", ["metadata", "time_zone"])
def test_the_metadata_and_the_time_zone_are_needed(download, metadata, option):
    options = {"metadata": metadata, "time_zone": "UTC"}
    del options[option]
    with pytest.raises(DataError, match=f"needs {option}, on the command line --"):
        load_city(f"eea:{download}", **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Country,Longitude\nBelgium,3",
            r"must have the columns \['Sampling Point Id', 'Latitude'",
        ),
        (eea.METADATA_HEADER, r"has no reading that counts \(no_position: 1440\)"),
        (f"{eea.METADATA_HEADER}\n{'x,' * 15}x", "Latitude must be a number, got 'x' in row 1"),
        ("", "metadata.csv cannot be read"),
        (None, "metadata.csv cannot be read: .*No such file"),
    ],
)
def test_metadata_of_another_kind_are_refused(download, read, tmp_path, text, message):
    path = tmp_path / "metadata.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=message):
        read(download, metadata=path)


def test_files_of_another_kind_are_refused(read, tmp_path):
    whole = eea.write_rows(tmp_path / "point.parquet", [eea.row(hour, 1) for hour in range(50)])
    content = whole.read_bytes()
    middle = len(content) // 3
    for damaged in (
        b"",
        b"Start,Value\n",
        content[:-9],
        content[:4] + bytes(middle) + content[-middle:],
        content.replace(b"BE/SPO", b"\xff\xff/SPO"),
    ):
        whole.write_bytes(damaged)
        with pytest.raises(DataError, match=r"point.parquet cannot be read as Parquet of the EEA"):
            read(whole)


@pytest.mark.parametrize(
    ("name", "kind", "cell", "message"),
    [
        ("Value", pa.string(), "low", "cannot be read as Parquet .* 'low'"),
        ("Start", pa.string(), "2023-03-01", "timestamps without a time zone, got string"),
        ("Start", pa.timestamp("s", "UTC"), eea.START, "without a time zone, got timestamp.*UTC"),
    ],
)
def test_columns_of_another_type_are_refused(read, tmp_path, name, kind, cell, message):
    schema = eea.SCHEMA.set(eea.SCHEMA.get_field_index(name), pa.field(name, kind))
    row = eea.row(0, 1) | ({} if name == "Value" else {"Value": None}) | {name: cell}
    path = eea.write_rows(tmp_path / "point.parquet", [row], schema)
    with pytest.raises(DataError, match=message):
        read(path)


def test_a_missing_column_is_named(read, tmp_path):
    schema = eea.SCHEMA.remove(eea.SCHEMA.get_field_index("AggType"))
    path = eea.write_rows(tmp_path / "point.parquet", [eea.row(0, 1)], schema)
    with pytest.raises(
        DataError, match=r"point.parquet must have the columns \['AggType'\] once, got"
    ):
        read(path)


def test_a_row_without_a_sampling_point_does_not_count(read, tmp_path):
    eea.write_rows(tmp_path / "a.parquet", [eea.row(0, 1.5), eea.row(1, 2.5, Samplingpoint=None)])
    report = read(tmp_path).report
    assert report["dropped"] == {"no_station": 1}
    assert report["trimmed_names"] == []


def test_an_option_that_is_none_is_missing(read, download):
    with pytest.raises(DataError, match="needs metadata, on the command line --metadata"):
        read(download, metadata=None)
