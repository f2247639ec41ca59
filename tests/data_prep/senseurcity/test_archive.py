import zipfile

import pytest
from senseurcity_files import stay, write_archive

from data_prep.city import DataError
from data_prep.senseurcity.archive import open_archive, open_binary, size_of

ROWS = stay("ANT_URB_WITT", "2020-07-01T10:00", [1, 2])
FILES = {
    "Antwerp_4043B1.csv": ROWS,
    "Antwerp_402B00.csv": ROWS,
    "Oslo_64A291.csv": ROWS,
    "ANT_REF_R801_Fidas_UTC.csv": "date,PM2.5\n",
    "readme.txt": "",
}
SITES = """location_id,city,latitude_dd,longitude_dd,notes,pm10_unit
OSL_REF_KVN,Oslo,59.9323,10.72454,"quiet, no road",\u00b5g/m\u00b3
VITO, Antwerp, 51,19821, 5,03767
,Antwerp,51.2,4.4,,
ANT_REF_R801,Antwerp,51.2096166,4.4317877,,
"""


@pytest.mark.parametrize("ending", ["", ".zip"])
@pytest.mark.parametrize("folder", ["dataset", "senseurcity_data_v02/dataset", ""])
def test_devices_are_found_in_every_layout(tmp_path, ending, folder):
    path = write_archive(tmp_path / f"data{ending}", FILES, folder)
    with open_archive(path) as archive:
        assert archive.name == f"data{ending}"
        devices = archive.devices("antwerp")
        assert [file.name for file in devices] == ["Antwerp_402B00.csv", "Antwerp_4043B1.csv"]
        assert [file.name for file in archive.devices("Oslo")] == ["Oslo_64A291.csv"]
        assert archive.strays() == ["ANT_REF_R801_Fidas_UTC.csv"]
        with open_binary(devices[0]) as source:
            assert len(source.read()) == size_of(devices[0]) > 100


@pytest.mark.parametrize("ending", ["", ".zip"])
@pytest.mark.parametrize("place", ["senseurcity_data_v02/", "senseurcity_data_v02/dataset/"])
def test_the_site_table_is_read_wherever_it_lies_without_rows_that_are_broken(
    tmp_path, ending, place
):
    files = {
        "senseurcity_data_v02/dataset/Oslo_64A291.csv": ROWS,
        place + "metadata_sites.csv": SITES,
    }
    with open_archive(write_archive(tmp_path / f"data{ending}", files, "")) as archive:
        table = archive.site_table()
    assert table.to_numpy().tolist() == [
        ["OSL_REF_KVN", "Oslo", 59.9323, 10.72454],
        ["ANT_REF_R801", "Antwerp", 51.2096166, 4.4317877],
    ]


def test_without_a_site_table_no_site_is_known(tmp_path):
    with open_archive(write_archive(tmp_path / "data", FILES)) as archive:
        assert archive.site_table().empty


def test_a_city_that_is_not_there_is_told_from_those_that_are(tmp_path):
    files = FILES | {"metadata_sites.csv": SITES}
    with (
        open_archive(write_archive(tmp_path / "data", files)) as archive,
        pytest.raises(DataError, match=r"'paris'; it has antwerp \(2\), oslo \(1\); .* NAME:PATH"),
    ):
        archive.devices("paris")


def test_what_is_no_archive_is_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no zip")
    whole = write_archive(tmp_path / "whole.zip", FILES).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-100])
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "")
    for name, reason in {
        "nowhere": "does not exist",
        "empty": "no dataset folder with CSV files",
        "text.zip": "not a complete zip file",
        "cut.zip": "not a complete zip file",
        "other.zip": "no dataset folder with CSV files",
    }.items():
        with pytest.raises(DataError, match=f"{name}.*{reason}"), open_archive(tmp_path / name):
            pass
