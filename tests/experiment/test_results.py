from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data_prep.city import CityData
from tritonbn.experiment.baselines import estimate_by_rival
from tritonbn.experiment.config import PRESETS, WIDE
from tritonbn.experiment.dataset import split
from tritonbn.experiment.evaluate import evaluate
from tritonbn.experiment.results import Results
from tritonbn.experiment.train import load_run

SETTINGS = {"steps": 2, "batch_size": 4, "validation_times": 4, "test_times": 30}


def sprmse(tables: list[pd.DataFrame]) -> float:
    estimates = pd.concat(tables)
    errors = (estimates["estimate"].astype(float) - estimates["reading"]).groupby(
        estimates["station"]
    )
    rmse = errors.apply(lambda error: np.sqrt(np.mean(error**2)))
    assert len(rmse) == 6
    return float(rmse[errors.size() >= 24].mean())


@pytest.mark.parametrize("protocol", ["masked", "unseen"])
def test_the_settings_of_wide_networks_are_those_of_the_protocol(
    city: CityData, tmp_path: Path, protocol: str
) -> None:
    results = Results(tmp_path, {"settings": SETTINGS, "wide": WIDE}, city)
    whole, one, published = (
        results.config(model, "none", protocol, 0)
        for model in ("wide-cnn", "wide-cnn-no-window", "cnn-dense")
    )
    assert (whole.steps, whole.timesteps) == (WIDE[protocol]["steps"], 3)
    assert one == replace(whole, model="wide-cnn-no-window", timesteps=1)
    assert (published.steps, published.timesteps) == (2, 1)


@pytest.mark.parametrize("protocol", ["masked", "unseen"])
def test_validation_is_the_test_at_other_times(
    city: CityData, tmp_path: Path, protocol: str
) -> None:
    results = Results(tmp_path, {"settings": SETTINGS, "wide": {}}, city)
    config = results.config("cnn-dense", "none", protocol, 0)
    row = results.run(config)
    rival = results.rival("nearest", protocol)
    folds = [replace(config, fold=number) for number in range(5 if protocol == "unseen" else 1)]
    runs = [load_run(results.run_directory(fold), city) for fold in folds]
    tables = [evaluate(run, city, "validation") for run in runs]
    of_rival = estimate_by_rival("nearest", city, protocol, 30)["validation"]
    assert row["validation_sprmse"] == pytest.approx(sprmse(tables))
    assert rival["validation_sprmse"] == pytest.approx(sprmse([of_rival]))
    within = city.times[split(city)["validation"]]
    times = {*of_rival["time"]}
    assert len(times) == 30
    assert times == {*pd.concat(tables)["time"]}
    assert np.isin(of_rival["time"], within).all()
    written = results.runs().set_index("model")["validation_sprmse"]
    assert written[["cnn-dense", "nearest"]].to_list() == [
        row["validation_sprmse"],
        rival["validation_sprmse"],
    ]


def test_the_paper_preset_tests_networks_and_rivals_on_the_published_part(
    make_city: Callable[..., CityData], tmp_path: Path
) -> None:
    city = make_city(times=466, missing=0.0)
    tiny = {"steps": 2, "validate_every": 2, "batch_size": 4, "validation_times": 2}
    results = Results(tmp_path, {"settings": PRESETS["paper"] | tiny, "wide": {}}, city)
    results.run(results.config("cnn-dense", "none", "paper", 0))
    results.rival("ridge", "paper")
    run = load_run(tmp_path / "runs" / "cnn-dense-none-paper-0", city)
    assert (run.scaler.minimum, run.scaler.maximum) == (city.values.min(), city.values.max())
    for _, estimates in results.estimates().groupby("model"):
        assert {*estimates["time"]} == {*pd.DatetimeIndex(city.times[2 * 187 :])}
