import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rdata
from rdata.conversion import to_r
from rdata.parser import RObjectType

from data_prep.city import CityData, DataError
from data_prep.cli import main
from data_prep.senseurcity.hourly import read_hourly
from data_prep.tidy import read_tidy

NAN = float("nan")
REAL = Path(os.environ.get("TRITONBN_REAL_DATA", "")) / "senseurcity_hourly" / "LCS_df_all.Rda"
needs_real_file = pytest.mark.skipif(
    "TRITONBN_REAL_DATA" not in os.environ or not REAL.is_file(),
    reason="TRITONBN_REAL_DATA names no folder with the hourly file",
)


def data_table(table, converter):
    """Return a table as R has it with the package data.table, its times as POSIXct in UTC."""

    def column(values):
        if values.dtype.kind != "M":
            return converter.convert_to_r_object(values.to_numpy())
        return to_r.build_r_object(
            RObjectType.REAL,
            value=(values - pd.Timestamp(0)).dt.total_seconds().to_numpy(),
            is_object=True,
            attributes=converter.convert_to_r_attributes(
                {"class": np.array(["POSIXct", "POSIXt"]), "tzone": "UTC"}
            ),
        )

    attributes = {
        "names": np.array([*table]),
        "class": np.array(["data.table", "data.frame"]),
        "row.names": np.arange(1, len(table) + 1),
    }
    return to_r.build_r_object(
        RObjectType.VEC,
        value=[column(table[name]) for name in table],
        is_object=True,
        attributes=converter.convert_to_r_attributes(attributes),
    )


def write(path, **tables):
    rdata.write_rda(path, tables, constructor_dict={pd.DataFrame: data_table})
    return path


def rows(device, site, first, values):
    """Return one row an hour of one device."""
    return pd.DataFrame(
        {
            "ID": f"Antwerp_{device}",
            "date": pd.date_range(f"2020-07-01T{first:02}", periods=len(values), freq="h"),
            "latitude": 51.0,  # as GPS has it: wrong
            "longitude": 4.0,
            "Location.ID": site,
            "PMS_PM10": 99.0,
            "PMS_PM25": np.array(values, np.float64),
        }
    ).astype({"ID": object, "Location.ID": object})


@pytest.fixture
def table():
    """Hours 1 to 5 in which all three sites run, and what is to be dropped or averaged."""
    return pd.concat(
        [
            rows("40499C", "ANT_REF_R801", 0, [1, 2, 3, NAN, 500, 6, 7]),
            rows("4043B1", "ANT_REF_R801", 0, [9, 4, NAN, NAN, 8, 3333, 7]),
            rows("4067BA", "ANT_TRA_KIPD", 1, [10, 20, 30, 40, 499.9, 60]),
            rows("402723", "ANT_REF_AL01", 1, [0, 0.5, -1, np.inf, 4, 5, 6]),
            rows("408178", "VITO", 2, [1, 2]),
        ],
        ignore_index=True,
    )


def test_units_are_averaged_by_hour_and_site_without_what_is_out_of_range(table, tmp_path):
    city = read_hourly(write(tmp_path / "made_up.Rda", LCS_df_all1=table))
    assert (city.name, city.quantity, city.unit, city.synthetic) == (
        "Antwerp",
        "PM2.5",
        "ug/m3",
        False,
    )
    assert city.times.astype(str).tolist() == [f"2020-07-01T0{hour}:00:00" for hour in range(1, 6)]
    assert city.stations["station"].tolist() == ["ANT_REF_AL01", "ANT_REF_R801", "ANT_URB_KIPD"]
    expected = [[0, 3, 10], [0.5, 3, 20], [NAN, NAN, 30], [NAN, 8, 40], [4, 6, 499.9]]
    np.testing.assert_array_equal(city.values, np.array(expected, np.float32))


def test_the_stations_stand_where_the_site_table_says_on_the_grid_asked_for(table, tmp_path):
    city = read_hourly(write(tmp_path / "made_up.Rda", LCS_df_all1=table), grid=(5, 4))
    assert city.grid == (5, 4)
    kipdorp = city.stations.set_index("station").loc["ANT_URB_KIPD"]
    assert (kipdorp["latitude"], kipdorp["longitude"]) == (51.2209126, 4.4074488)
    assert (kipdorp["name"], kipdorp["class"]) == ("Kipdorp", "urban")
    # Linkeroever is the north-west corner, Plantin en Moretuslei the south-east one.
    assert city.cells.tolist() == [16, 3, 5]


def test_every_row_is_kept_averaged_or_dropped_for_one_reason(table, tmp_path):
    city = read_hourly(write(tmp_path / "made_up.Rda", LCS_df_all1=table))
    report = city.report
    assert report["rows"] == len(table) == 29
    assert report["dropped"] == {
        "missing_value": 4,
        "out_of_range": 3,
        "unknown_location": 2,
        "outside_window": 7,
    }
    assert report["readings"] == city.observed.sum() == 12
    assert report["averaged_over_units"] == 1
    assert 12 + 1 + sum(report["dropped"].values()) == 29
    assert report["unknown_locations"] == {"VITO": 2}
    assert (report["source"], report["column"]) == ("made_up.Rda", "PMS_PM25")
    assert len(report["sites_without_readings"]) == 28
    assert report["shared_cells"] == []


def test_the_city_survives_saving(table, tmp_path):
    city = read_hourly(write(tmp_path / "made_up.Rda", LCS_df_all1=table))
    city.save(tmp_path / "saved")
    loaded = CityData.load(tmp_path / "saved")
    np.testing.assert_array_equal(loaded.values, city.values)
    assert loaded.report == city.report


def test_an_hour_of_which_nothing_is_known_is_a_row_of_missing_readings(table, tmp_path):
    without = table[table["date"] != "2020-07-01T03"]
    city = read_hourly(write(tmp_path / "made_up.Rda", LCS_df_all1=without))
    assert len(city.times) == 5
    assert city.observed.any(axis=1).tolist() == [True, True, False, True, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda table: table.drop(columns="PMS_PM25"),
            r"must have the columns \['PMS_PM25'\], got",
        ),
        (lambda table: table.drop(columns=["date"]), r"must have the columns \['date'\]"),
        (lambda table: table.assign(PMS_PM25=table["ID"]), "PMS_PM25 must contain numbers"),
        (lambda table: table.assign(date=table["date"].where(table.index > 1)), "2 rows have no"),
        (lambda table: table.assign(PMS_PM25=NAN), "no valid reading in an hour in which"),
        (
            lambda table: table[table["Location.ID"] == "VITO"],
            "no valid reading in an hour in which",
        ),
        (
            lambda table: table[table["date"] < "2020-07-01T02"],
            "no valid reading in an hour in which",
        ),
    ],
)
def test_a_table_of_something_else_is_one_clear_error(table, tmp_path, change, message):
    changed = change(table).reset_index(drop=True)
    with pytest.raises(DataError, match=rf"made_up\.Rda.*{message}"):
        read_hourly(write(tmp_path / "made_up.Rda", LCS_df_all1=changed))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no R",
        gzip.compress(b"no R at all", mtime=0),
        b"RDX3\nX\n\0\0",
        b"\0" * 64,
        b"PK\x03\x04zip",
    ],
)
def test_what_is_no_r_file_is_one_clear_error(tmp_path, content, recwarn):
    (tmp_path / "junk.Rda").write_bytes(content)
    with pytest.raises(DataError, match=r"junk\.Rda cannot be read as an R file"):
        read_hourly(tmp_path / "junk.Rda")
    assert not recwarn.list


def test_a_file_that_is_cut_short_is_one_clear_error(table, tmp_path):
    path = write(tmp_path / "cut.Rda", LCS_df_all1=table)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"cut\.Rda cannot be read as an R file"):
        read_hourly(path)


def test_a_file_without_one_table_is_one_clear_error(table, tmp_path):
    for number, objects in enumerate(({"a": table, "b": table}, {"a": np.arange(3.0)})):
        with pytest.raises(DataError, match=r"\.Rda must contain exactly one table"):
            read_hourly(write(tmp_path / f"{number}.Rda", **objects))


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.Rda does not exist"):
        read_hourly(tmp_path / "nowhere.Rda")


@pytest.mark.parametrize("path", [None, Path("nowhere.Rda")])
def test_without_rdata_the_error_says_what_to_install(path, monkeypatch):
    def download():
        raise AssertionError("the file is downloaded, and cannot be read")

    monkeypatch.setattr("data_prep.senseurcity.hourly.find_spec", lambda name: None)
    monkeypatch.setattr("data_prep.senseurcity.hourly.download_hourly", download)
    with pytest.raises(DataError, match=r"pip install 'tritonbn\[hourly\]'"):
        read_hourly(path)


@pytest.mark.parametrize("given", [True, False])
def test_the_command_saves_the_city_of_a_file_given_or_downloaded(
    table, tmp_path, monkeypatch, capsys, given
):
    path = write(tmp_path / "made_up.Rda", LCS_df_all1=table)
    monkeypatch.setattr("data_prep.senseurcity.hourly.download_hourly", lambda progress: path)
    data = str(path) if given else "senseurcity-hourly"
    out = tmp_path / "out"
    assert main(["prepare", data, "--out", str(out), "--grid", "8x8"]) == 0
    city = CityData.load(out)
    assert city.grid == (8, 8)
    np.testing.assert_array_equal(city.values, read_hourly(path, grid=(8, 8)).values)
    assert "out_of_range: 3" in capsys.readouterr().out


def test_the_command_tells_an_error_in_one_line(tmp_path, capsys):
    assert main(["prepare", "senseurcity-hourly:nowhere.Rda", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere.Rda does not exist")


@needs_real_file
def test_the_real_file_is_the_tidy_city():
    city = read_hourly(REAL)
    tidy = read_tidy(REAL.parents[1] / "antwerp_2020", name="Antwerp")
    assert city.name == tidy.name
    assert (city.quantity, city.unit, city.grid) == (tidy.quantity, tidy.unit, tidy.grid)
    np.testing.assert_array_equal(city.times, tidy.times)
    columns = ["station", "latitude", "longitude", "cell"]
    pd.testing.assert_frame_equal(city.stations[columns], tidy.stations[columns])
    np.testing.assert_allclose(city.values, tidy.values, rtol=2e-7)
    assert city.report["rows"] == 197_768
    assert city.report["dropped"]["out_of_range"] == 417
    assert city.report["readings"] == tidy.report["readings"] == 169_448
    kept = city.report["readings"] + city.report["averaged_over_units"]
    assert kept + sum(city.report["dropped"].values()) == 197_768
