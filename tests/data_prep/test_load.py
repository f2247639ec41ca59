import gzip
import zipfile

import numpy as np
import pytest
from senseurcity_files import stay, write_archive

from data_prep import CityData, DataError, load_city, synthetic_city
from data_prep.load import SOURCES, is_quickly_read

ROWS = stay("ANT_REF_R803", "2020-07-01T10:00", [1, 2, 3, 4], OPCN3PM10=30)


@pytest.fixture
def prepared(tidy, tmp_path):
    load_city(tidy, grid=(5, 6)).save(tmp_path / "prepared")
    return tmp_path / "prepared"


def test_a_prepared_city_keeps_its_grid(prepared):
    loaded = load_city(prepared)
    assert loaded.grid == (5, 6)
    np.testing.assert_array_equal(loaded.values, CityData.load(prepared).values)
    with pytest.raises(DataError, match=r"for the grid \(5, 6\), not \(8, 8\)"):
        load_city(prepared, grid=(8, 8))


def test_a_tidy_city_is_put_on_the_grid_asked_for(tidy):
    assert load_city(str(tidy)).grid == (32, 32)
    loaded = load_city(tidy, grid=(9, 7), name="Kleinstadt")
    assert (loaded.grid, loaded.name) == ((9, 7), "Kleinstadt")
    assert loaded.observed.tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize("place", ["data.zip", "folder", "bare"])
def test_senseurcity_is_read_from_a_zip_or_a_folder(place, tmp_path):
    dataset = "" if place == "bare" else "dataset"
    path = write_archive(tmp_path / place, {"Antwerp_402B00.csv": ROWS}, dataset)
    city = load_city(path, quantity="OPCN3PM10", end="2020-07-01T10:01", progress=False)
    assert city.quantity == "PM10"
    assert city.values.tolist() == [[30], [30]]


def test_devices_of_another_city_are_known_in_a_folder_without_others(tmp_path):
    path = write_archive(tmp_path / "bare", {"Oslo_64A291.csv": ROWS}, "")
    with pytest.raises(DataError, match="no coordinates for"):
        load_city(path, city="oslo", progress=False)


def test_senseurcity_by_name_is_downloaded(tmp_path, monkeypatch):
    path = write_archive(tmp_path / "data.zip", {"Antwerp_402B00.csv": ROWS})
    monkeypatch.setattr("data_prep.senseurcity.readings.download", lambda progress: path)
    assert load_city("senseurcity", progress=False).values.tolist() == [[1], [2], [3], [4]]


@pytest.mark.parametrize("data", ["senseurcity-hourly", "{path}"])
def test_the_hourly_file_is_downloaded_by_name_or_read_from_a_path(data, tmp_path, monkeypatch):
    path = tmp_path / "mine.Rda"
    path.write_bytes(gzip.compress(b"no R"))
    monkeypatch.setattr("data_prep.senseurcity.hourly.download_hourly", lambda progress: path)
    with pytest.raises(DataError, match=r"mine\.Rda cannot be read as an R file"):
        load_city(data.format(path=path), progress=False)


def test_the_synthetic_city_takes_a_seed_days_and_a_grid():
    city = load_city("synthetic", seed=4, days=1, grid=(16, 20))
    expected = synthetic_city(seed=4, days=1, grid=(16, 20))
    assert city.grid == (16, 20)
    np.testing.assert_array_equal(city.values, expected.values)


def test_a_path_that_does_not_exist_is_an_error_that_lists_the_names(tmp_path):
    with pytest.raises(
        DataError,
        match=r"nowhere' does not exist; expected 'synthetic', .*openaq:PATH.* or the path of",
    ):
        load_city(tmp_path / "nowhere")


def test_a_folder_without_a_known_format_is_an_error_that_lists_the_formats(tmp_path):
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"no known format; expected .*prepared city .*SensEURCity"):
        load_city(tmp_path)


@pytest.mark.parametrize("name", ["notes.txt", "readings.parquet"])
def test_a_file_without_a_known_format_is_an_error_that_lists_the_formats(tmp_path, name):
    (tmp_path / name).write_text("nothing")
    with pytest.raises(DataError, match=rf"{name} has no known format; expected .*NAME:PATH"):
        load_city(tmp_path / name)


def test_an_archive_is_known_by_its_name_or_by_its_content(tmp_path):
    (tmp_path / "half.ZIP").write_text("nothing")
    with pytest.raises(DataError, match=r"half\.ZIP is not a complete zip file"):
        load_city(tmp_path / "half.ZIP")
    with zipfile.ZipFile(tmp_path / "content", "w") as archive:
        archive.writestr("a.txt", "")
    with pytest.raises(DataError, match=r"content is not a SensEURCity archive.*as NAME:PATH"):
        load_city(tmp_path / "content")


@pytest.mark.parametrize("name", ["R.CSV", "R.Csv.GZ"])
def test_the_case_of_a_suffix_does_not_count(tmp_path, name):
    text = b"time,station,lat,lon,value\n2024-01-01,a,51,4,1.5\n"
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("GZ") else text)
    for data in (tmp_path / name, f"csv:{tmp_path}"):
        assert load_city(data, progress=False).values.tolist() == [[1.5]]


@pytest.mark.parametrize("data", ["", "csv:"])
def test_an_empty_path_is_not_the_current_folder(data):
    with pytest.raises(
        DataError, match=r"' does not exist; expected 'synthetic', .* or the path of a file"
    ):
        load_city(data)


@pytest.mark.parametrize("grid", [8, "8x8", (0, 5)])
def test_a_wrong_grid_is_refused_before_anything_is_read(tmp_path, grid):
    (tmp_path / "stations.csv").touch()
    with pytest.raises(DataError, match="grid must be two positive integers"):
        load_city(tmp_path, grid=grid)


def test_the_grid_of_a_prepared_city_may_be_a_list(prepared):
    assert load_city(prepared, grid=[5, 6]).grid == (5, 6)


def test_an_unknown_option_is_an_error_that_lists_the_allowed_ones(tidy, prepared):
    for data, allowed in (
        ("synthetic", "'synthetic' are seed, days"),
        ("senseurcity", "'senseurcity' are city, quantity, start, end, progress"),
        ("senseurcity-hourly", "'senseurcity-hourly' are progress"),
        (tidy, "tidy' are name, progress, every, least, valid"),
        (prepared, "prepared' are none"),
    ):
        with pytest.raises(TypeError, match=f"the options of .*{allowed}, got hours"):
            load_city(data, hours=3)


def test_prepared_and_tidy_cities_are_quickly_read(tidy, prepared, tmp_path):
    (tmp_path / "data.zip").touch()
    assert is_quickly_read(tidy)
    assert is_quickly_read(str(prepared))
    assert not is_quickly_read(tmp_path / "data.zip")
    with (tidy / "readings.csv").open("r+b") as file:
        file.truncate(100_000_000)
    assert not is_quickly_read(tidy)
    assert not any(is_quickly_read(name) for name in SOURCES)
