from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from data_prep.city import CityData, DataError
from tritonbn.experiment.baselines import evaluate_baseline
from tritonbn.experiment.networks.folds import fold_directory, folds_of
from tritonbn.experiment.networks.predict import evaluate
from tritonbn.experiment.networks.presets import PRESETS, RESIDUAL, RESIDUAL_HELD_OUT
from tritonbn.experiment.networks.trained import load_network
from tritonbn.experiment.study.prepare import open_results
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.study.runner import make_runs
from tritonbn.experiment.task.parts import split

SETTINGS = {"steps": 2, "batch_size": 4, "validation_times": 4, "test_times": 30}


QUIET = Console(quiet=True)


def results_in(directory: Path, city: CityData, preset: str, **settings: int) -> Results:
    return open_results(directory, city, [], preset=preset, settings=settings)


def sprmse(tables: list[pd.DataFrame]) -> float:
    estimates = pd.concat(tables)
    errors = (estimates["estimate"].astype(float) - estimates["reading"]).groupby(
        estimates["station"]
    )
    rmse = errors.apply(lambda error: np.sqrt(np.mean(error**2)))
    assert len(rmse) == 6
    return float(rmse[errors.size() >= 24].mean())


@pytest.mark.parametrize("protocol", ["masked", "unseen"])
def test_the_settings_of_residual_networks_are_those_of_the_protocol(
    city: CityData, tmp_path: Path, protocol: str
) -> None:
    results = results_in(tmp_path, city, "thorough")
    whole, one, published = (
        results.config("cnn", "none", protocol, design=design, without=without)
        for design, without in (("residual", ()), ("residual", ("window",)), ("published", ()))
    )
    steps = {"masked": RESIDUAL, "unseen": RESIDUAL_HELD_OUT}[protocol]["steps"]
    assert (whole.steps, whole.timesteps) == (steps, 3)
    assert one == replace(whole, without=("window",), timesteps=1)
    assert (published.steps, published.timesteps) == (PRESETS["thorough"]["steps"], 1)


def test_the_settings_of_the_folder_replace_those_of_the_preset(
    city: CityData, tmp_path: Path
) -> None:
    results = Results.open(results_in(tmp_path, city, "thorough", **SETTINGS).directory)
    for design in ("published", "residual"):
        config = results.config("cnn", "none", "masked", design=design)
        assert {name: getattr(config, name) for name in SETTINGS} == SETTINGS
    assert results.config("cnn", "none", "masked", steps=7).steps == 7


@pytest.mark.parametrize("protocol", ["masked", "unseen"])
def test_validation_is_the_test_at_other_times(
    city: CityData, tmp_path: Path, protocol: str
) -> None:
    results = results_in(tmp_path, city, "quick", **SETTINGS)
    config = results.config("cnn", "none", protocol)
    make_runs(results, [config], None, QUIET)
    row = results.runs().iloc[0]
    baseline = results.baseline("nearest", protocol)
    directories = [fold_directory(results.run_directory(config), fold) for fold in folds_of(config)]
    assert len(directories) == (5 if protocol == "unseen" else 1)
    tables = [evaluate(load_network(path, city), city, "validation") for path in directories]
    of_baseline = evaluate_baseline("nearest", city, protocol, 30).estimates["validation"]
    assert row["validation_sprmse"] == pytest.approx(sprmse(tables))
    assert baseline["validation_sprmse"] == pytest.approx(sprmse([of_baseline]))
    within = city.times[split(city)["validation"]]
    times = {*of_baseline["time"]}
    assert len(times) == 30
    assert times == {*pd.concat(tables)["time"]}
    assert np.isin(of_baseline["time"], within).all()
    written = results.runs().set_index("model")["validation_sprmse"]
    assert written[["cnn-dense", "nearest"]].to_list() == [
        row["validation_sprmse"],
        baseline["validation_sprmse"],
    ]


def test_the_paper_preset_tests_networks_and_baselines_on_the_published_part(
    make_city: Callable[..., CityData], tmp_path: Path
) -> None:
    city = make_city(times=466, missing=0.0)
    tiny = {"steps": 2, "validate_every": 2, "batch_size": 4, "validation_times": 2}
    results = results_in(tmp_path, city, "paper", **tiny)
    make_runs(results, [results.config("cnn", "none", "paper")], None, QUIET)
    results.baseline("ridge", "paper")
    run = load_network(tmp_path / "runs" / "cnn-dense-none-paper-0", city)
    assert (run.scaler.minimum, run.scaler.maximum) == (city.values.min(), city.values.max())
    for _, estimates in results.estimates().groupby("model"):
        assert {*estimates["time"]} == {*pd.DatetimeIndex(city.times[2 * 187 :])}


def test_a_station_may_be_called_na(city: CityData, tmp_path: Path) -> None:
    names = ["NA", *city.stations["station"][1:]]
    renamed = replace(city, stations=city.stations.assign(station=names))
    results = results_in(tmp_path, renamed, "quick", **SETTINGS)
    results.baseline("nearest", "paper")
    assert {*results.stations()["station"]} == {*names}


def test_what_an_interrupted_process_did_not_write_is_written_by_the_next(
    city: CityData, tmp_path: Path
) -> None:
    results = results_in(tmp_path, city, "quick", **SETTINGS)
    configs = [results.config("cnn", "none", "paper")]
    make_runs(results, configs, None, QUIET)
    expected = (tmp_path / "results.csv").read_text("utf-8")
    (tmp_path / "results.csv").unlink()
    (tmp_path / "in-progress").write_text("of a process that was killed", "utf-8")
    make_runs(results, configs, None, QUIET)
    assert (tmp_path / "results.csv").read_text("utf-8") == expected
    assert not (tmp_path / "in-progress").exists()


@pytest.mark.parametrize(
    "name", ["result.json", "estimates.parquet", "validation.parquet", "stations.csv"]
)
def test_a_damaged_file_is_an_error_that_says_what_to_remove(
    city: CityData, tmp_path: Path, name: str
) -> None:
    results = results_in(tmp_path, city, "quick", **SETTINGS)
    results.baseline("idw", "paper")
    (tmp_path / "baselines" / "idw-paper" / name).write_bytes(b"")

    def read() -> None:
        results.write_tables()
        results.reference("paper")

    with pytest.raises(DataError, match=rf"{name} cannot be read: .*; remove the folder .*idw"):
        read()
