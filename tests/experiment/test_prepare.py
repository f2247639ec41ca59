import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_prep.city import CityData, DataError
from tritonbn.experiment.config import PRESETS
from tritonbn.experiment.dataset import Part, split
from tritonbn.experiment.prepare import prepare
from tritonbn.experiment.results import Results

MakeCity = Callable[..., CityData]


def quick(directory: Path, data: Path) -> Results:
    return prepare(directory, str(data), "quick", ["paper"])


@pytest.fixture(scope="module")
def data(make_city: MakeCity, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    make_city(stations=3, missing=0.05).save(directory)
    return directory


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return quick(tmp_path_factory.mktemp("out"), data)


def test_the_prepared_city_is_kept(data: Path, made: Results, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    data.rename(moved)
    try:
        again = quick(made.directory, data)
    finally:
        moved.rename(data)
    np.testing.assert_array_equal(again.city.values, made.city.values)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"preset": "paper"}, "preset is quick there, paper here"),
        ({"grid": (9, 9)}, r"grid is \(5, 6\) there, \(9, 9\) here"),
        ({"data": "synthetic"}, "data is .* there, synthetic here"),
    ],
)
def test_a_folder_with_other_results_is_refused(
    data: Path, made: Results, changed: dict[str, str], message: str
) -> None:
    same = {"data": str(data), "preset": "quick", "protocols": ["paper"], "grid": None}
    with pytest.raises(DataError, match=message) as caught:
        prepare(made.directory, **{**same, **changed})
    assert "--out" in str(caught.value)


def test_a_folder_with_results_of_other_readings_is_refused(
    make_city: MakeCity, tmp_path: Path
) -> None:
    city = make_city()
    city.save(tmp_path / "data")
    quick(tmp_path / "out", tmp_path / "data")
    quick(tmp_path / "out", tmp_path / "data")
    replace(city, values=city.values + 1).save(tmp_path / "data")
    with pytest.raises(
        DataError, match=r"the readings of .*data have changed since .*out was made"
    ):
        quick(tmp_path / "out", tmp_path / "data")


def alone_in_validation(city: CityData) -> CityData:
    values = city.values.copy()
    parts = split(city)
    values[parts["train"].stop : parts["validation"].stop, 1:] = np.nan
    return replace(city, values=values)


def sparse_in(part: Part) -> Callable[[CityData], CityData]:
    def change(city: CityData) -> CityData:
        values = city.values.copy()
        values[split(city)[part].start + 23 : split(city)[part].stop] = np.nan
        return replace(city, values=values)

    return change


def at_one_place(city: CityData) -> CityData:
    return replace(city, stations=city.stations.assign(latitude=51.2, longitude=4.4))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda city: city.select(np.arange(6) < 2), "has 2 stations; under paper each is"),
        (at_one_place, "all stations of Testville stand at one place"),
        (alone_in_validation, "no reading in its validation part that another"),
        (sparse_in("validation"), "validation part of Testville has too few readings: no station"),
        (sparse_in("test"), "test part of Testville has too few readings: no station has 24"),
    ],
)
def test_a_city_that_cannot_be_trained_on_is_refused_before_anything_is_written(
    make_city: MakeCity,
    tmp_path: Path,
    change: Callable[[CityData], CityData],
    message: str,
) -> None:
    change(make_city(missing=0.0)).save(tmp_path / "city")
    with pytest.raises(DataError, match=message):
        quick(tmp_path / "out", tmp_path / "city")
    assert not (tmp_path / "out").exists()


def test_config_json_says_what_the_results_were_made_of(data: Path, made: Results) -> None:
    facts = json.loads((made.directory / "config.json").read_text("utf-8"))
    assert facts["data"] == str(data)
    assert facts["preset"] == "quick"
    assert facts["grid"] == [5, 6]
    assert facts["settings"] == PRESETS["quick"]
    assert set(facts["versions"]) >= {"python", "torch", "tritonbn"}
