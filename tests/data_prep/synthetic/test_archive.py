import csv
import io
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_prep.city import DataError
from data_prep.senseurcity.readings import read_archive
from data_prep.synthetic import write_archive

DATASET = "senseurcity_data_v02/dataset/"


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Six hours of all devices."""
    path = tmp_path_factory.mktemp("synthetic") / "archive.zip"
    write_archive(path, start="2020-08-01T00:00", end="2020-08-01T05:59", seed=3, progress=False)
    return path


def read_rows(archive, device):
    with zipfile.ZipFile(archive) as files, files.open(f"{DATASET}Antwerp_{device}.csv") as file:
        return list(csv.DictReader(io.TextIOWrapper(file, "utf-8")))


def test_the_archive_holds_34_devices_and_a_stray_file(archive):
    names = zipfile.ZipFile(archive).namelist()
    devices = [n for n in names if re.fullmatch(DATASET + r"Antwerp_[0-9A-F]{6}\.csv", n)]
    assert len(devices) == 34
    assert set(names) - set(devices) == {f"{DATASET}ANT_REF_R801_Fidas_UTC.csv"}


def test_one_device_has_no_flag_column_for_pm25(archive):
    header = read_rows(archive, "4043A7")[0].keys()
    other = read_rows(archive, "402B00")[0].keys()
    assert set(other) - set(header) == {"OPCN3PM25_flag"}
    assert "OX_A431_P1_flag" in other
    assert "OX_A431_P1" not in other


def test_the_header_is_that_of_the_real_archive(archive):
    if "TRITONBN_REAL_DATA" not in os.environ:
        pytest.skip("TRITONBN_REAL_DATA is not set: no excerpt of the real archive")
    excerpt = Path(os.environ["TRITONBN_REAL_DATA"]) / "senseurcity_excerpt/dataset"
    with (excerpt / "Antwerp_402B00.csv").open() as file:
        header = next(csv.reader(file))
    assert list(read_rows(archive, "402B00")[0]) == header


def test_rows_look_like_the_real_ones(archive):
    rows = read_rows(archive, "4067BD")
    assert 300 < len(rows) <= 360
    assert all(re.fullmatch(r"2020-08-01T0[0-5]:[0-5]\d:00Z", row["date"]) for row in rows)
    assert [row["date"] for row in rows] == sorted({row["date"] for row in rows})
    names = {row["Location.ID"] for row in rows}
    assert len(names) > 1
    assert {name.strip().replace("/", "_").replace("-", "_") for name in names} <= {
        "ANT_REF_R803",
        "",
    }
    latitude = np.array([float(row["latitude"] or "nan") for row in rows])
    assert np.nanmedian(latitude) == pytest.approx(51.2286443, abs=1e-5)
    # The outer sensor's columns are swapped: HE holds degrees, TE holds percent.
    assert float(rows[0]["SHT31HE"]) < 40 < float(rows[0]["SHT31TE"])
    assert {row["OPCN3PM25_flag"] for row in rows[:60]} == {"W"}
    assert rows[-1]["OPCN3PM25_flag"] == ""
    assert all(None not in row and None not in row.values() for row in rows)
    with zipfile.ZipFile(archive) as files:
        size = files.getinfo(f"{DATASET}Antwerp_4067BD.csv").file_size
    assert 450 < size / len(rows) < 650


def test_the_reader_gets_the_valid_readings_back(archive):
    city = read_archive(archive, progress=False)
    station = city.stations["station"].to_list().index("ANT_REF_R803")
    read = pd.Series(city.values[:, station], city.times).dropna()
    written = {
        np.datetime64(row["date"].removesuffix("Z"), "s"): np.float32(row["OPCN3PM25"])
        for row in read_rows(archive, "4067BD")
        if row["OPCN3PM25"] and not row["OPCN3PM25_flag"] and row["Location.ID"]
    }
    assert len(read) > 200
    expected = pd.Series(written)[lambda kept: kept.index >= city.times[0]]
    np.testing.assert_array_equal(read.index, expected.index)
    np.testing.assert_array_equal(read, expected)


def test_a_seed_gives_identical_bytes(archive, tmp_path):
    span = {"start": "2020-08-01T00:00", "end": "2020-08-01T05:59", "progress": False}
    write_archive(tmp_path / "same.zip", seed=3, **span)
    write_archive(tmp_path / "other.zip", seed=4, **span)
    assert (tmp_path / "same.zip").read_bytes() == archive.read_bytes()
    assert (tmp_path / "other.zip").read_bytes() != archive.read_bytes()


def test_an_end_before_the_start_is_an_error_and_leaves_nothing(tmp_path):
    with pytest.raises(DataError, match="end must be after start, got start 2020-08-02"):
        write_archive(tmp_path / "a.zip", start="2020-08-02", end="2020-08-01")
    assert not [*tmp_path.iterdir()]


def test_an_interrupted_archive_leaves_nothing(tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("data_prep.synthetic.archive.record", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_archive(tmp_path / "a.zip", start="2020-08-01", end="2020-08-02", progress=False)
    assert not [*tmp_path.iterdir()]


def test_an_archive_that_is_kept_still_says_that_it_is_synthetic(archive):
    city = read_archive(archive, progress=False)
    assert city.synthetic
    assert city.name == "Antwerp (synthetic)"


def test_what_is_no_time_is_an_error_and_leaves_no_file(tmp_path):
    with pytest.raises(DataError, match="start and end must be times, got soon and later"):
        write_archive(tmp_path / "archive.zip", start="soon", end="later")
    assert not any(tmp_path.iterdir())
