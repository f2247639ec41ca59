import gzip
import zipfile

import numpy as np
import pandas as pd
import pytest
from source_files import airnow
from source_files.to_map import assert_becomes_a_map

from data_prep import DataError, load_city


def read(path, **options):
    return load_city(f"airnow:{path}", grid=(8, 8), progress=False, **options)


def test_an_archive_becomes_a_map(tmp_path):
    (tmp_path / "archive").mkdir()
    archive = airnow.write_archive(tmp_path / "archive", hours=480)
    assert_becomes_a_map(f"airnow:{archive}", tmp_path / "city")


def test_readings_stand_at_the_beginning_of_their_hour_in_utc_and_at_their_site(tmp_path):
    city = read(airnow.write_archive(tmp_path, hours=30))
    assert city.stations["station"].to_list() == ["060371103", "060371201", "060374004"]
    assert city.stations["site_name"].to_list()[1:] == ["Reseda", "Long Beach - Hudson ñ"]
    np.testing.assert_allclose(city.stations["latitude"], [34.06653, 34.19919, 33.79236])
    np.testing.assert_allclose(city.stations["longitude"], [-118.226723, -118.532761, -118.175333])
    hours = np.arange(30)
    start = np.datetime64("2022-05-02T00:00:00")
    np.testing.assert_array_equal(city.times, start + hours * np.timedelta64(1, "h"))
    expected = np.arange(3) + hours[:, None] / 4
    np.testing.assert_array_equal(city.values, expected.astype(np.float32))
    assert city.report["files"] == 30
    assert city.report["rows"] == 4 * 30
    assert city.report["dropped"] == {"other_quantity": 30}
    assert "credit the agencies" in city.report["licence"]


def test_one_file_and_one_compressed_with_gzip_and_a_zip_archive_are_read_too(tmp_path):
    airnow.write_sites(tmp_path, [airnow.site_row(airnow.FIRST)])
    path = airnow.write_rows(tmp_path, [airnow.row(0, 7)])
    compressed = tmp_path / f"{path.name}.gz"
    compressed.write_bytes(gzip.compress(path.read_bytes()))
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(path, path.name)
    for given in (path, compressed, packed):
        assert read(given).values.item() == 7


def test_rows_that_do_not_count_have_a_reason(tmp_path):
    rows = [
        airnow.row(0, 1.5),
        airnow.row(1, -0.5),
        airnow.row(2, -999),
        airnow.row(3, ""),
        airnow.row(4, 9, "000000000"),
        airnow.row(5, 9, ""),
        airnow.row(6, 9, "060371201"),
        airnow.row(7, 9, parameter="PM10"),
        airnow.row(8, 9, unit="PPB"),
        airnow.row(9, 9).removesuffix("|UG/M3|9|South Coast AQMD"),
        airnow.row(10, 9).removesuffix("|9|South Coast AQMD"),
    ]
    nowhere = airnow.site_row("060371201").replace("34.199190|-118.532761", "0.000000|0.000000")
    airnow.write_sites(tmp_path, [airnow.site_row(airnow.FIRST), nowhere])
    city = read(airnow.write_rows(tmp_path, rows))
    found = pd.Series(city.values[:, 0], city.times).dropna().to_dict()
    first = pd.Timestamp(airnow.START)
    assert found == {first: 1.5, first + pd.Timedelta("1h"): -0.5}
    assert city.report["dropped"] == {
        "missing_code": 1,
        "missing_value": 2,
        "no_position": 2,
        "no_station": 1,
        "other_quantity": 1,
        "other_unit": 2,
    }
    assert city.report["rows"] == len(rows)


@pytest.mark.parametrize("site", ["060371103", "840060371103"])
def test_the_newer_table_knows_the_long_and_the_short_names_of_sites(tmp_path, site):
    airnow.write_sites(tmp_path, [airnow.V2_HEADER, airnow.site_row_v2(airnow.FIRST)], airnow.V2)
    city = read(airnow.write_rows(tmp_path, [airnow.row(0, 1, site)]))
    assert city.stations["station"].to_list() == [site]
    assert city.stations["latitude"].item() == 34.06653


def test_the_table_of_sites_is_that_of_the_folder_or_of_the_next_one_above(tmp_path):
    airnow.write_sites(tmp_path, [airnow.site_row(airnow.FIRST)])
    for day in (0, 1):
        folder = tmp_path / "2022" / f"2022050{2 + day}"
        folder.mkdir(parents=True)
        airnow.write_rows(
            folder, [airnow.row(24 * day, 1), airnow.row(24 * day, 2, "060371201")], 24 * day
        )
    airnow.write_sites(folder, [airnow.site_row("060371201")])
    city = read(tmp_path)
    np.testing.assert_array_equal(city.values, [[1, np.nan], [np.nan, 2]])
    assert city.report["dropped"] == {"no_position": 2}


def test_the_table_of_sites_may_be_elsewhere(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "here").mkdir()
    path = airnow.write_rows(tmp_path / "here", [airnow.row(0, 1)])
    sites = airnow.write_sites(tmp_path / "elsewhere", [airnow.site_row(airnow.FIRST)], "sites.txt")
    with pytest.raises(DataError, match=r"HourlyData_2022050200.dat has no positions: .* --sites"):
        read(path)
    assert read(path, sites=sites).values.item() == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("|7|", "|high|"), "value must be a number, got 'high' in row 2"),
        (("05/02/22", "2022-05-02"), "valid date and time must be a time of the format %m/%d/%y"),
        (("|South Coast AQMD", "|South Coast AQMD|1"), "HourlyData_2022050200.dat cannot be read"),
    ],
)
def test_bad_rows_are_refused(tmp_path, change, message):
    airnow.write_sites(tmp_path, [airnow.site_row(airnow.FIRST)])
    rows = [airnow.row(0, 1), airnow.row(1, 7).replace(*change)]
    path = airnow.write_rows(tmp_path, rows)
    with pytest.raises(DataError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["060371103|PM2.5|1103|Main|Active|CA2|AQMD|R9|north|1"],
            "Latitude must be a number, got",
        ),
        ([airnow.V2_HEADER], r"has no reading that counts \(no_position: 1\)"),
        ([airnow.V2_HEADER.replace("Latitude", "Lat"), "|" * 21], r"columns \['Latitude'\], got"),
    ],
)
def test_a_table_of_sites_of_another_kind_is_refused(tmp_path, rows, message):
    airnow.write_sites(tmp_path, rows)
    path = airnow.write_rows(tmp_path, [airnow.row(0, 1)])
    with pytest.raises(DataError, match=message):
        read(path)


def test_quotes_in_names_are_only_quotes(tmp_path):
    airnow.write_sites(tmp_path, [airnow.site_row(airnow.FIRST)])
    rows = [airnow.row(0, 5, name='The "Pit'), airnow.row(1, 6, name='The "Pit')]
    airnow.write_rows(tmp_path, rows)
    city = load_city(f"airnow:{tmp_path}", progress=False)
    assert city.stations["site_name"].to_list() == ['The "Pit']
    assert city.values.tolist() == [[5], [6]]
