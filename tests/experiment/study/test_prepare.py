import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_prep.city import CityData, DataError
from tritonbn.experiment.study.prepare import city_of, open_results, source_name
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.task.parts import Part, split

MakeCity = Callable[..., CityData]


def opened(
    directory: Path, data: str, preset: str = "quick", grid: tuple[int, int] | None = None
) -> Results:
    city = city_of(directory, data, grid)
    return open_results(directory, city, ["paper"], preset=preset, data=source_name(data))


def quick(directory: Path, data: Path) -> Results:
    return opened(directory, str(data))


@pytest.fixture(scope="module")
def data(make_city: MakeCity, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("data")
    make_city(stations=3, missing=0.05).save(directory)
    return directory


@pytest.fixture(scope="module")
def made(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Results:
    results = quick(tmp_path_factory.mktemp("out"), data)
    results.baseline("mean", "paper")
    return results


def test_the_prepared_city_is_kept(data: Path, made: Results, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    data.rename(moved)
    try:
        again = quick(made.directory, data)
    finally:
        moved.rename(data)
    np.testing.assert_array_equal(again.city.values, made.city.values)


def test_results_go_on_where_the_same_data_have_another_place(
    data: Path, made: Results, tmp_path: Path
) -> None:
    copy = shutil.copytree(data, tmp_path / "copy")
    assert quick(made.directory, copy).has_baseline("mean", "paper")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"preset": "paper"}, "preset is quick in the folder, but paper was requested"),
        ({"grid": (9, 9)}, r"grid is \(5, 6\) in the folder, but \(9, 9\) was requested"),
        ({"data": "synthetic"}, "data is .* in the folder, but synthetic was requested"),
    ],
)
def test_a_folder_with_other_results_is_refused(
    data: Path, made: Results, changed: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=rf"{message}; choose another folder \(--out\)"):
        opened(made.directory, **{"data": str(data), **changed})


def test_a_folder_with_results_of_other_readings_is_refused(
    make_city: MakeCity, tmp_path: Path
) -> None:
    city = make_city()
    city.save(tmp_path / "data")
    quick(tmp_path / "out", tmp_path / "data").baseline("mean", "paper")
    quick(tmp_path / "out", tmp_path / "data")
    replace(city, values=city.values + 1).save(tmp_path / "data")
    with pytest.raises(
        DataError, match=r"out holds results of a city with different readings; choose another"
    ):
        quick(tmp_path / "out", tmp_path / "data")


def test_a_folder_without_any_run_is_created_anew(
    make_city: MakeCity, data: Path, tmp_path: Path
) -> None:
    make_city(grid=(7, 8)).save(tmp_path / "other")
    quick(tmp_path / "out", tmp_path / "other")
    again = opened(tmp_path / "out", str(data), preset="paper")
    assert (again.preset, again.city.grid) == ("paper", (5, 6))


def test_another_programs_folder_is_not_created_anew(data: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", "utf-8")
    with pytest.raises(DataError, match="is not a results folder of tritonbn"):
        quick(tmp_path, data)


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
        (
            lambda city: city.select(np.arange(6) < 2),
            "from at least two others; Testville has 2 stations",
        ),
        (at_one_place, "all stations of Testville have the same position"),
        (alone_in_validation, "no reading that could be estimated from another"),
        (
            sparse_in("validation"),
            "validation part of Testville has too few readings: a score needs",
        ),
        (
            sparse_in("test"),
            "test part of Testville has too few readings: a score needs a station with 24",
        ),
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
    assert facts["settings"] == {}
    assert set(facts["versions"]) >= {"python", "torch", "tritonbn"}
