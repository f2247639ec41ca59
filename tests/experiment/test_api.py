from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from small_city import TINY

from data_prep.city import CityData, DataError
from tritonbn.experiment import ConfigError, Run, RunConfig, compare, load_run, train
from tritonbn.experiment.networks import train as training
from tritonbn.experiment.networks import trained as trained_network
from tritonbn.experiment.networks.folds import train_folds
from tritonbn.experiment.study import runner
from tritonbn.experiment.study.display import RunDisplay
from tritonbn.experiment.study.results import Results

MakeCity = Callable[..., CityData]
ONE: dict[str, Any] = {
    "backbones": ["cnn"],
    "designs": ["published"],
    "norms": ["none", "local"],
    "baselines": ["nearest"],
    "protocols": ["masked"],
    "seeds": 1,
}


def trained(city: CityData, directory: Path | None = None, **choices: Any) -> Run:
    return train(city, "cnn", directory=directory, progress=False, **{**TINY, **choices})


def compared(city: CityData, directory: Path | None = None) -> pd.DataFrame:
    return compare(city, directory=directory, progress=False, **ONE, **TINY)


def weights_of(run: Run) -> list[torch.Tensor]:
    return [*run.model.state_dict().values()]


def assert_same(run: Run, other: Run) -> None:
    assert run.config == other.config
    for weight, of_other in zip(weights_of(run), weights_of(other), strict=True):
        torch.testing.assert_close(weight, of_other, rtol=0, atol=0)
    shown = [one.scores().drop(columns="seconds") for one in (run, other)]
    pd.testing.assert_frame_equal(*shown)
    pd.testing.assert_frame_equal(run.estimates(), other.estimates())


@pytest.fixture(scope="module")
def in_memory(city: CityData) -> Run:
    return trained(city)


@pytest.fixture(scope="module")
def folder(city: CityData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one run, that of `in_memory`."""
    directory = tmp_path_factory.mktemp("folder")
    trained(city, directory)
    return directory


@pytest.fixture(scope="module")
def comparison(city: CityData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("comparison")
    compared(city, directory)
    return directory


def test_train_has_the_configuration_of_its_preset(in_memory: Run) -> None:
    assert in_memory.config == RunConfig.preset("quick", "cnn", "local", "paper", **TINY)
    assert in_memory.config.name == "cnn-dense-local-paper-0"


def test_train_in_memory_writes_nothing(
    city: CityData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trained(city, steps=1)
    assert [*tmp_path.iterdir()] == []


def test_training_in_a_folder_gives_the_numbers_of_training_in_memory(
    city: CityData, in_memory: Run, folder: Path
) -> None:
    assert_same(in_memory, load_run(folder / "runs" / in_memory.config.name))


def test_a_folder_keeps_the_step_of_a_city(make_city: MakeCity, tmp_path: Path) -> None:
    city = make_city(times=600, missing=0.0)
    kept = np.arange(len(city.times)) % 4 > 1  # the most common distance is an hour
    values = city.values[kept]
    sparse = replace(city, times=city.times[kept], values=values, interval=np.timedelta64(3, "h"))
    runs = [trained(sparse, where, design="residual") for where in (None, tmp_path)]
    assert_same(*runs)


def test_a_finished_run_is_loaded(
    city: CityData, in_memory: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(runner, "train_folds", fail)
    assert_same(in_memory, trained(city, folder))


def test_an_interrupted_run_resumes_from_its_checkpoint(
    city: CityData, in_memory: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []

    def interrupt(_: object, __: object, info: Any) -> None:
        steps.append(info.step)
        if len(steps) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(RunDisplay, "on_step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        trained(city, tmp_path)
    with pytest.warns(RuntimeWarning, match=f"the run {in_memory.config.name} is not finished"):
        half = load_run(tmp_path / "runs" / in_memory.config.name)
    assert [network.steps for network in half.networks] == [2]
    assert half.history()["step"].to_list() == [2]
    assert_same(in_memory, trained(city, tmp_path))
    assert steps == [1, 2, 3, 3, 4]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"preset": "paper"},
            "preset is quick in the folder, but paper was requested; "
            r"choose another folder \(--out\)",
        ),
        (
            {"steps": 5},
            r"settings is .*'steps': 4.* in the folder, but .*'steps': 5.* was requested",
        ),
    ],
)
def test_a_folder_with_other_results_is_refused(
    city: CityData, folder: Path, changed: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        trained(city, folder, **changed)


def test_a_folder_of_another_city_is_refused(
    city: CityData, make_city: MakeCity, folder: Path
) -> None:
    with pytest.raises(DataError, match="a city with different readings; choose another"):
        trained(replace(city, values=city.values + 1), folder)
    with pytest.raises(DataError, match="different cells and grid"):
        trained(make_city(grid=(6, 7)), folder)
    corrected = city.stations.assign(latitude=city.stations["latitude"] + [0, 0, 0, 0.004, 0, 0])
    with pytest.raises(DataError, match="a city with different positions; choose another"):
        trained(replace(city, stations=corrected), folder)


def test_scalings_have_folders_of_their_own(city: CityData, tmp_path: Path) -> None:
    runs = [trained(city, tmp_path, scaling=name) for name in ("maximum", "percentile", "all")]
    assert [run.config.scaling for run in runs] == ["maximum", "percentile", "all"]
    assert len({*(tmp_path / "runs").iterdir()}) == 3
    assert runs[2].networks[0].scaler.maximum == pytest.approx(
        float(city.values[city.observed].max())
    )


def test_the_preset_is_that_of_the_folder(city: CityData, tmp_path: Path) -> None:
    trained(city, tmp_path, preset="thorough")
    assert trained(city, tmp_path, seed=1).config.seed == 1
    with pytest.raises(
        DataError, match="preset is thorough in the folder, but quick was requested"
    ):
        trained(city, tmp_path, preset="quick")


def test_without_progress_nothing_is_printed(
    city: CityData, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trained(city, steps=1)
    trained(city, tmp_path, steps=1)
    trained(city, tmp_path, steps=1)
    assert capfd.readouterr() == ("", "")
    train(city, "cnn", **{**TINY, "steps": 1})
    assert "cnn-dense-local-paper-0: spRMSE" in capfd.readouterr().out


def test_numbers_of_numpy_are_settings(city: CityData, tmp_path: Path) -> None:
    numbers = {"steps": np.int64(2), "learning_rate": np.float32(0.5)}
    run = trained(city, tmp_path, **numbers)
    assert (run.config.steps, run.config.learning_rate) == (2, 0.5)
    assert_same(run, trained(city, tmp_path, **numbers))


def test_an_unknown_setting_is_a_type_error(city: CityData, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"settings must be among backbone, .*; got epochs"):
        trained(city, tmp_path / "out", epochs=3)
    with pytest.raises(TypeError, match=r"settings must be among backbone, .*; got epochs"):
        compare(city, directory=tmp_path / "out", progress=False, **ONE, epochs=3)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbone", "convlstm"),
        ("design", "residual"),
        ("head", "convolution"),
        ("norm", "global"),
        ("protocol", "paper"),
        ("scaling", "percentile"),
        ("seed", 3),
    ],
)
def test_a_setting_that_a_comparison_chooses_is_refused(
    city: CityData, tmp_path: Path, name: str, value: object
) -> None:
    message = f"{name}={value!r} is no setting of a comparison; give {name}s in its place"
    with pytest.raises(ConfigError, match=message):
        compare(city, directory=tmp_path / "out", progress=False, **ONE, **TINY, **{name: value})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("protocol", ["masked", "unseen"])
def test_a_single_fold_is_refused(city: CityData, tmp_path: Path, protocol: str) -> None:
    message = "fold=3 is no setting: a run has all folds of its protocol"
    with pytest.raises(ConfigError, match=message):
        trained(city, tmp_path / "out", protocol=protocol, fold=3)
    with pytest.raises(ConfigError, match=message):
        compare(city, directory=tmp_path / "out", progress=False, **ONE, **TINY, fold=3)
    assert not (tmp_path / "out").exists()


def test_a_combination_that_is_not_allowed_writes_nothing(city: CityData, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="protocol paper hides none"):
        trained(city, tmp_path / "out", design="residual", protocol="paper")
    with pytest.raises(ConfigError, match="backbone must be one of convlstm, cnn, cnn-lstm"):
        train(city, "unet", directory=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (
            {"backbones": ["cnn-lstm"], "timesteps": 1},
            ConfigError,
            "cnn-lstm needs timesteps of 2 or more, got 1",
        ),
        ({"scalings": ["maximum", "percentile"]}, DataError, "the 99th percentile of the readings"),
    ],
)
def test_what_a_network_cannot_do_is_an_error_before_any_work(
    city: CityData, tmp_path: Path, changed: dict[str, Any], error: type, message: str
) -> None:
    rain = np.where(np.arange(city.values.size).reshape(city.values.shape) % 200 == 0, 5.0, 0.0)
    dry = replace(city, values=rain.astype(np.float32))
    with pytest.raises(error, match=message):
        compare(dry, directory=tmp_path / "out", progress=False, **{**ONE, **TINY, **changed})
    assert not (tmp_path / "out" / "baselines").exists()


def test_a_baseline_that_is_left_out_is_a_warning(make_city: MakeCity) -> None:
    choices = {**ONE, "backbones": [], "baselines": ["kriging"]}
    with pytest.warns(RuntimeWarning, match="kriging-masked is left out: station S0: kriging"):
        table = compare(make_city(stations=3), progress=False, **choices)
    assert table["model"].to_list() == ["idw"]


def test_a_run_is_computed_on_the_device_asked_for(
    city: CityData, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (trained_network, training):
        monkeypatch.setattr(module, "default_device", lambda: torch.device("meta"))
    loaded = load_run(folder / "runs" / "cnn-dense-local-paper-0", device="cpu")
    for run in (loaded, trained(city, steps=1, device="cpu")):
        assert {weight.device.type for weight in weights_of(run)} == {"cpu"}


def test_compare_in_memory_gives_the_table_of_the_folder(city: CityData, comparison: Path) -> None:
    table = compared(city)
    assert [*table[["model", "norm"]].itertuples(index=False, name=None)] == [
        ("cnn-dense", "none"),
        ("cnn-dense", "local"),
        ("nearest", "-"),
        ("idw", "-"),
    ]
    written = pd.read_csv(comparison / "results.csv")
    for one in (table, written):
        del one["seconds"]
    pd.testing.assert_frame_equal(table, written)


def test_compare_reports_what_it_made_in_the_folder(comparison: Path) -> None:
    names = {path.name for path in comparison.iterdir() if path.is_file()}
    assert names >= {"report.html", "table.md", "results.csv", "stations.csv", "training.png"}
    page = (comparison / "report.html").read_text("utf-8")
    for title in ("CNN (dense)", "IDW", "Protocol masked"):
        assert title in page


def test_a_run_of_compare_is_that_of_train(city: CityData, comparison: Path) -> None:
    alone = trained(city, protocol="masked")
    assert_same(alone, load_run(comparison / "runs" / alone.config.name))


def test_a_run_with_folds_is_loaded_whole_or_by_one_fold(city: CityData, tmp_path: Path) -> None:
    whole = trained(city, tmp_path, protocol="unseen", steps=2)
    folder = tmp_path / "runs" / whole.config.name
    assert [network.config.fold for network in load_run(folder).networks] == [0, 1, 2, 3, 4]
    pd.testing.assert_frame_equal(load_run(folder).scores(), whole.scores())
    fold = load_run(folder / "fold3")
    held_out = city.stations["station"][fold.networks[0].config.fold_of(city).held_out]
    assert {*fold.estimates()["station"]} == {*held_out}
    of_whole = whole.estimates()[whole.estimates()["station"].isin(held_out)]
    pd.testing.assert_frame_equal(fold.estimates(), of_whole.reset_index(drop=True))


def test_a_run_whose_folder_names_options_in_another_order_is_loaded(
    city: CityData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"design": "residual", "without": ("idw", "hour"), "steps": 2}
    run = trained(city, tmp_path, **options)
    folder = tmp_path / "runs" / run.config.name
    old = folder.rename(folder.with_name(run.config.name.replace("idw+hour", "hour+idw")))
    facts = (old / "result.json").read_text("utf-8").replace("idw+hour", "hour+idw")
    (old / "result.json").write_text(facts, "utf-8")
    monkeypatch.setattr("tritonbn.experiment.run.evaluate_networks", None)
    pd.testing.assert_frame_equal(load_run(old).estimates(), run.estimates())
    assert Results.open(tmp_path).runs()["model"][0] == "cnn-residual-without-hour+idw"


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"design": "residual"}, r"residual networks take differences below 2 for noise, .* mg/m3"),
        ({"norm": "scaled"}, r"norm scaled takes differences below 2 for noise, .* mg/m3"),
    ],
)
def test_readings_that_hardly_vary_in_their_unit_are_refused_where_they_pass_for_noise(
    city: CityData, tmp_path: Path, choices: dict[str, Any], message: str
) -> None:
    other = replace(city, values=city.values / 1000, unit="mg/m3")
    with pytest.raises(DataError, match=message):
        trained(other, **choices)
    plural = {f"{name}s": [value] for name, value in choices.items()}
    with pytest.raises(DataError, match=message):
        compare(other, directory=tmp_path, progress=False, **{**ONE, **plural}, **TINY)
    assert not (tmp_path / "baselines").exists()


def test_other_networks_take_any_unit(city: CityData) -> None:
    other = replace(city, values=city.values / 1000, unit="mg/m3")
    runs = trained(city), trained(other)
    expected, found = (run.estimates()["estimate"].to_numpy() for run in runs)
    np.testing.assert_allclose(found, expected / 1000, rtol=1e-3)


@pytest.mark.parametrize("jobs", [0, -3])
def test_a_comparison_needs_a_job(city: CityData, jobs: int) -> None:
    with pytest.raises(ConfigError, match=f"jobs must be at least 1, got {jobs}"):
        compare(city, jobs=jobs, progress=False, **ONE, **TINY)


def test_a_folder_that_is_no_run_is_an_error(city: CityData, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no run: expected a folder in which a network was"):
        load_run(folder)
    config = RunConfig.preset("quick", "cnn", **TINY)
    train_folds(city, replace(config, steps=2), tmp_path / "alone")
    with pytest.raises(DataError, match="is not inside a results folder"):
        load_run(tmp_path / "alone")
