import json

import numpy as np
import pytest
from senseurcity_files import device_csv, stay, write_archive

from data_prep.city import CityData, DataError
from data_prep.senseurcity.readings import ANTWERP_WINDOW, read_archive
from data_prep.senseurcity.sites import antwerp_sites

T = "2020-07-01T10:"
NAN = float("nan")


@pytest.fixture
def read(tmp_path):
    """Write devices into a folder and read it."""

    def read(files, **options):
        path = write_archive(tmp_path / "archive", files)
        return read_archive(path, progress=False, **options)

    return read


def readings(city, station):
    return city.values[:, city.stations["station"].to_list().index(station)].tolist()


def test_readings_stand_at_their_minute_and_station(read):
    lang = stay("ANT_URB_LANG", T + "00", [1.5, 2.5, 3.5])
    city = read(
        {
            "Antwerp_402B00.csv": [lang[0], lang[2]],
            "Antwerp_402723.csv": stay("ANT_REF_R803  ", T + "00", [7, 8, 9], ["", "W", ""]),
        }
    )
    assert (city.name, city.quantity, city.unit, city.synthetic) == (
        "Antwerp",
        "PM2.5",
        "ug/m3",
        False,
    )
    assert city.times.astype(str).tolist() == [f"2020-07-01T10:0{i}:00" for i in range(3)]
    assert city.stations["station"].tolist() == ["ANT_REF_R803", "ANT_URB_LANG"]
    expected = np.array([[7, 1.5], [NAN, NAN], [9, 3.5]], np.float32)
    np.testing.assert_array_equal(city.values, expected)


def test_coordinates_and_cells_are_those_of_the_site_table_whatever_gps_says(read):
    rows = stay("ANT_REF_R803", T + "00", [1, 2], latitude="NaN", longitude="")
    rows[0] |= {"latitude": "1", "longitude": "2"}
    city = read({"Antwerp_402B00.csv": rows})
    official = antwerp_sites().set_index("site").loc["ANT_REF_R803"]
    station = city.stations.iloc[0]
    assert station["latitude"] == official["latitude"]
    assert station["longitude"] == official["longitude"]
    assert station["name"] == "Park Spoor Noord"
    assert station["cell"] == 621
    assert city.report["coordinates_from_gps"] == []


def test_a_device_that_moves_gives_each_site_its_readings(read):
    city = read(
        {
            "Antwerp_402B00.csv": [
                *stay("ANT_REF_R801", T + "00", [1, 2]),
                *stay("", T + "02", [3]),
                *stay("ANT_URB_BRED", T + "03", [4, 5, 6]),
                *stay("ANT_REF_R801", T + "06", [7]),
            ]
        },
        start=T + "00",
        end=T + "06",
    )
    assert readings(city, "ANT_REF_R801") == pytest.approx([1, 2, *[NAN] * 4, 7], nan_ok=True)
    assert readings(city, "ANT_URB_BRED") == pytest.approx([*[NAN] * 3, 4, 5, 6, NAN], nan_ok=True)


def test_units_at_one_site_are_averaged_over_those_with_a_valid_reading(read):
    city = read(
        {
            "Antwerp_40499C.csv": stay("ANT_REF_R801", T + "00", [1, 2, "", 4], ["", "", "", "W"]),
            "Antwerp_4043B1.csv": stay(
                "ANT_REF_R801", T + "00", [3, 7, 6, 9], ["", "Inv", "", "W"]
            ),
        }
    )
    assert readings(city, "ANT_REF_R801") == pytest.approx([2, 2, 6, NAN], nan_ok=True)


def test_the_window_leaves_out_co_locations_and_sites_of_passage(read):
    files = {
        "Antwerp_402B00.csv": [
            *stay("ANT_URB_WITT", T + "00", [0.5, 0.5]),
            *stay("ANT_REF_R801", T + "02", [1, 1]),
            *stay("ANT_URB_BRED", T + "05", [2] * 9),
            *stay("ANT_REF_R801", T + "15", [3]),
        ],
        "Antwerp_4043B1.csv": stay("ANT_REF_R801", T + "00", [5] * 20),
    }
    city = read(files)
    assert city.times[[0, -1]].astype(str).tolist() == [T + "05:00", T + "13:00"]
    assert city.stations["station"].tolist() == ["ANT_REF_R801", "ANT_URB_BRED"]
    assert readings(city, "ANT_REF_R801") == [5] * 9
    assert "ANT_URB_WITT" in city.report["sites_without_a_device"]
    assert city.report["window"]["minutes"] == 9
    assert city.report["window"]["published"]["minutes"] == 335_339

    earlier = read(files, start=T + "00")
    assert readings(earlier, "ANT_URB_WITT")[:3] == pytest.approx([0.5, 0.5, NAN], nan_ok=True)
    assert readings(earlier, "ANT_REF_R801")[1:4] == [5, 3, 3]


def test_the_published_window_is_as_long_as_the_paper_says():
    start, end, minutes = ANTWERP_WINDOW.values()
    assert (np.datetime64(end) - np.datetime64(start)).item().total_seconds() / 60 + 1 == minutes


def test_every_row_is_kept_or_dropped_for_one_reason(read):
    city = read(
        {
            "Antwerp_402B00.csv": [
                *stay(
                    "ANT_REF_R801",
                    T + "00",
                    [1, 2, "", 4, 4, 5, 6],
                    ["", "", "", "W", "W,Inv", "", ""],
                ),
                *stay("ANT_REF_R801", T + "05", [9]),
                *stay("Ispra", T + "07", [1, 1]),
            ],
            "Antwerp_402723.csv": stay("ANT_URB_LANG", T + "01", [1, 1, 1, 1, 1]),
        }
    )
    report = city.report["devices"]["Antwerp_402B00"]
    assert report["rows"] == 10
    assert report["kept"] == 2 - 1 + 1
    assert report["dropped"] == {
        "missing_value": 1,
        "flagged": 2,
        "unknown_location": 2,
        "duplicate_minute": 1,
        "outside_window": 2,
    }
    assert city.report["dropped"]["flagged"] == 2
    assert city.report["flags"] == {"W": 2, "Inv": 1}
    assert city.report["unknown_locations"] == {"Ispra": 2}
    assert city.report["rows"] == 15
    assert city.report["readings"] == city.observed.sum() == 7


def test_rows_outside_antwerp_are_dropped_and_kipdorp_has_one_name(read):
    city = read(
        {
            "Antwerp_4067BA.csv": stay("ANT_TRA_KIPD", T + "00", [1, 2, 3]),
            "Antwerp_4067B3.csv": stay("ANT_URB_KIPD ", T + "00", [3, 4, 5]),
            "Antwerp_408178.csv": [
                *stay("VITO", T + "00", [9]),
                *stay("ANT_TRA_AMER", T + "00", [6, 6, 6]),
            ],
        }
    )
    assert city.stations["station"].tolist() == ["ANT_TRA_AMER", "ANT_URB_KIPD"]
    assert readings(city, "ANT_URB_KIPD") == [2, 3, 4]
    assert city.report["unknown_locations"] == {"VITO": 1}


def test_a_device_without_the_column_is_skipped_and_named(read):
    rows = stay("ANT_URB_WITT", T + "00", [1, 2], ["W", ""])
    files = {
        "Antwerp_402B00.csv": device_csv(rows, without=["OPCN3PM25"]),
        "Antwerp_4043A7.csv": device_csv(rows, without=["OPCN3PM25_flag"]),
        "ANT_REF_R801_Fidas_UTC.csv": "not,even\na table",
    }
    city = read(files)
    assert city.report["skipped_files"] == {
        "Antwerp_402B00.csv": "no column OPCN3PM25",
        "ANT_REF_R801_Fidas_UTC.csv": "not a device",
    }
    assert city.report["missing_columns"] == {"Antwerp_4043A7": "OPCN3PM25_flag"}
    assert readings(city, "ANT_URB_WITT") == [1, 2]


def test_nothing_to_read_is_an_error_that_says_what_was_there(read):
    rows = stay("Ispra", T + "00", [1])
    files = {
        "Antwerp_402B00.csv": rows,
        "Antwerp_402723.csv": device_csv(rows, without=["OPCN3PM25"]),
    }
    with pytest.raises(
        DataError, match=r"no row of OPCN3PM25 .*'no column OPCN3PM25'.*\['Ispra'\]"
    ):
        read(files)


def test_a_damaged_device_is_named(read):
    whole = device_csv(stay("ANT_URB_WITT", T + "00", [1, 2]))
    with pytest.raises(DataError, match=r"Antwerp_4067BD\.csv is truncated"):
        read({"Antwerp_402B00.csv": whole, "Antwerp_4067BD.csv": whole[:-20]})


def test_a_damaged_place_in_the_zip_is_named(tmp_path):
    rows = stay("ANT_URB_WITT", T + "00", np.random.default_rng(0).random(50).tolist())
    path = write_archive(tmp_path / "archive.zip", {"Antwerp_4067BD.csv": rows})
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"Antwerp_4067BD\.csv is truncated or damaged"):
        read_archive(path, progress=False)


SITES = """location_id,city,latitude_dd,longitude_dd
OSL_REF_KVN,Oslo,59.93,10.72
OSL-URB-SGT,Oslo,59.94,10.75
Ispra,Ispra,45.81,8.63
"""


def fixed(site, latitude, longitude):
    """Return rows whose GPS fixes are right but for one that is missing and one far off."""
    rows = stay(site, T + "00", [1, 2, 3, 4], latitude=latitude, longitude=longitude)
    rows[1] |= {"latitude": "NaN", "longitude": ""}
    rows[3] |= {"latitude": 1, "longitude": 2}
    return rows


def test_another_city_takes_its_sites_from_the_archive_and_else_from_gps(read):
    city = read(
        {
            "metadata_sites.csv": SITES,
            "Oslo_64A291.csv": fixed("OSL_URB_SGT", 50, 10),
            "Oslo_64A292.csv": fixed("OSL_URB_NEW ", 59.95, 10.71),
            "Oslo_64A293.csv": stay("Ispra", T + "00", [1, 2]),
            "Antwerp_402B00.csv": "",
        },
        city="Oslo",
    )
    assert city.name == "Oslo"
    table = city.stations[["station", "latitude", "longitude"]].to_numpy().tolist()
    assert table == [["OSL_URB_SGT", 59.94, 10.75], ["OSL_URB_NEW", 59.95, 10.71]]
    assert city.report["coordinates_from_gps"] == ["OSL_URB_NEW"]
    assert city.report["unknown_locations"] == {"Ispra": 2}
    assert "published" not in city.report["window"]


def test_a_device_without_gps_takes_the_coordinates_of_another_one_there(read):
    without = device_csv(stay("OSL_NEW_A", T + "00", [1]), without=("latitude", "longitude"))
    devices = {
        "Oslo_64A291.csv": without,
        "Oslo_64A292.csv": fixed("OSL_NEW_A", 59.95, 10.71),
        "Oslo_64A293.csv": fixed("OSL_NEW_B", 59.90, 10.75),
    }
    city = read(devices, city="oslo")
    assert city.stations["latitude"].to_list() == [59.95, 59.9]


def test_a_site_without_any_coordinates_is_an_error(read):
    with pytest.raises(DataError, match=r"no coordinates for \['ZAG_REF_IMI'\]"):
        read({"Zagreb_64C52B.csv": stay("ZAG_REF_IMI", T + "00", [1])}, city="zagreb")


def test_another_quantity_is_read_and_named(read):
    rows = stay("ANT_URB_WITT", T + "00", [1, 2], OPCN3PM10=30)
    city = read({"Antwerp_402B00.csv": rows}, quantity="OPCN3PM10")
    assert city.quantity == "PM10"
    assert readings(city, "ANT_URB_WITT") == [30, 30]
    with pytest.raises(DataError, match=r"quantity must be one of OPCN3PM1.*got 'SHT31TE'"):
        read({"Antwerp_402B00.csv": rows}, quantity="SHT31TE")


def test_zip_and_folder_give_the_same_city_and_it_survives_saving(tmp_path, capfd):
    files = {
        "Antwerp_402B00.csv": stay("ANT_REF_R802", T + "00", [1, 2, 3]),
        "Antwerp_402723.csv": stay("ANT_REF_R801", T + "00", [1, "", 3]),
    }
    folder = read_archive(write_archive(tmp_path / "data", files), grid=(8, 4), progress=False)
    assert capfd.readouterr() == ("", "")
    zipped = read_archive(
        write_archive(tmp_path / "data.zip", files, "senseurcity_data_v02/dataset"), grid=(8, 4)
    )
    zipped.save(tmp_path / "saved")
    saved = CityData.load(tmp_path / "saved")
    assert folder.grid == (8, 4)
    assert folder.report["shared_cells"] == [["ANT_REF_R801", "ANT_REF_R802"]]
    for city in (zipped, saved):
        np.testing.assert_array_equal(city.values, folder.values)
        np.testing.assert_array_equal(city.times, folder.times)
        assert city.stations.equals(folder.stations)
        assert city.report == json.loads(json.dumps(folder.report)) | {"source": "data.zip"}
