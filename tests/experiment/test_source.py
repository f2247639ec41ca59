from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_prep.city import CityData, DataError
from tritonbn.experiment.source import load_city

MakeCity = Callable[..., CityData]


def write_tidy(city: CityData, directory: Path) -> None:
    directory.mkdir()
    names = ["station", "latitude", "longitude"]
    city.stations[names].to_csv(directory / "stations.csv", index=False)
    readings = pd.DataFrame(city.values, index=city.times, columns=city.stations["station"])
    table = readings.rename_axis("time").reset_index().melt("time", var_name="station")
    table.to_csv(directory / "readings.csv", index=False)


def test_a_prepared_city_keeps_its_grid(city: CityData, tmp_path: Path) -> None:
    city.save(tmp_path)
    loaded = load_city(str(tmp_path))
    assert loaded.grid == (5, 6)
    np.testing.assert_array_equal(loaded.values, city.values)


def test_a_prepared_city_cannot_change_its_grid(city: CityData, tmp_path: Path) -> None:
    city.save(tmp_path)
    with pytest.raises(DataError, match=r"for the grid \(5, 6\), not \(8, 8\)"):
        load_city(str(tmp_path), (8, 8))


def test_a_tidy_city_is_put_on_the_grid_asked_for(city: CityData, tmp_path: Path) -> None:
    write_tidy(city, tmp_path / "tidy")
    assert load_city(str(tmp_path / "tidy")).grid == (32, 32)
    loaded = load_city(str(tmp_path / "tidy"), (9, 7))
    assert loaded.grid == (9, 7)
    np.testing.assert_array_equal(loaded.observed, city.observed)


def test_a_folder_that_is_no_data_set_is_answered_with_what_one_is(tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no data set: expected a prepared city"):
        load_city(str(tmp_path))


def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(DataError, match=r"notes\.txt"):
        load_city(str(tmp_path / "notes.txt"))


@pytest.mark.parametrize("data", ["senseurcity-hourly", "{path}"])
def test_the_hourly_file_is_read_by_name_or_downloaded(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.Rda"
    path.write_bytes(b"no R")
    monkeypatch.setattr("data_prep.senseurcity.hourly.download_hourly", lambda: path)
    with pytest.raises(DataError, match=r"mine\.Rda cannot be read as an R file"):
        load_city(data.format(path=path))


def test_a_path_that_does_not_exist_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a path that exists, got .*nowhere"):
        load_city(str(tmp_path / "nowhere"))
