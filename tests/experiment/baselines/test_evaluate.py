import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_prep.city import DataError
from data_prep.tidy import read_tidy
from tritonbn.experiment.baselines import BASELINES, baselines_of, evaluate_baseline
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.predict import evaluate
from tritonbn.experiment.networks.train import train_network
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.experiment.task.scores import city_scores, station_scores

QUICK = ("mean-own", "mean", "nearest", "idw", "idw-offset")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_mean_of_the_others_is_that_of_the_last_seen_time(city, protocol):
    table = evaluate_baseline("mean", city, protocol).estimates["test"]
    back = 1 if protocol == "paper" else 0
    names = city.stations["station"].to_list()
    folds = np.empty(6, int)
    for number in range(5):
        folds[np.random.default_rng(0).permutation(6)[number::5]] = number
    for row in table.itertuples():
        time = int(np.flatnonzero(city.times == row.time)[0])
        s = names.index(row.station)
        others = folds != folds[s] if protocol == "unseen" else np.arange(6) != s
        expected = np.nanmean(city.values[time - back, others])
        assert row.estimate == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("part", ["validation", "test"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_baselines_estimate_the_readings_that_a_run_is_tested_on(
    make_city, tmp_path, protocol, part
):
    city = make_city(stations=6, missing=0.6)
    config = RunConfig("cnn", "none", protocol, steps=1, batch_size=2, timesteps=2, test_times=20)
    of_run = []
    for fold in range(5 if protocol == "unseen" else 1):
        config = replace(config, fold=fold, validation_times=10)
        run = train_network(city, config, tmp_path / str(fold))
        of_run += evaluate(run, city, part)[["time", "station", "reading"]].values.tolist()
    of_baseline = evaluate_baseline("idw", city, protocol, test_times=20).estimates[part]
    assert of_baseline[["time", "station", "reading"]].values.tolist() == of_run


def test_what_must_know_a_station_is_no_baseline_where_it_is_unseen():
    assert baselines_of("masked") == baselines_of("paper") == [*BASELINES]
    unseen = baselines_of("unseen")
    assert {"idw", "kriging", "gp", "boosting"} <= set(unseen)
    assert not {"mean-own", "idw-offset", "ridge"} & set(unseen)


def test_the_station_that_a_baseline_cannot_be_fitted_to_is_named(make_city):
    city = make_city(stations=3, missing=0)
    apart = city.values.copy()
    apart[:180:2, 2] = apart[1:180:2, :2] = np.nan  # S2 has no reading together with another one
    with pytest.raises(DataError, match="station S2: ridge regression needs two times"):
        evaluate_baseline("ridge", replace(city, values=apart), "masked")


@pytest.mark.parametrize("secret", [np.nan, 1e6])
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("name", QUICK)
def test_hidden_readings_and_the_future_change_no_estimate(city, name, protocol, secret):
    """Of each station those tested; where it is unseen those of the training, too."""
    if name not in baselines_of(protocol):
        pytest.skip("the protocol does not allow it")
    expected = evaluate_baseline(name, city, protocol).estimates
    changed = np.arange(300) >= (0 if protocol == "unseen" else 180)
    changed &= np.arange(300) % 5 > 0  # the others are still to be estimated
    for s, station in enumerate(city.stations["station"]):
        values = city.values.copy()
        values[changed, s] = secret
        blind = evaluate_baseline(name, replace(city, values=values), protocol).estimates
        for part in ("validation", "test"):
            kept = [
                table[(table["station"] == station) & table["time"].isin(city.times[~changed])]
                for table in (expected[part], blind[part])
            ]
            assert len(kept[0]) > 3
            assert kept[0].reset_index(drop=True).equals(kept[1].reset_index(drop=True))


@pytest.mark.skipif(
    "TRITONBN_REAL_DATA" not in os.environ, reason="TRITONBN_REAL_DATA names no folder of cities"
)
@pytest.mark.parametrize(("name", "sprmse"), [("kolkata_2023", 5.9), ("mexico_city_2024", 8.8)])
def test_idw_of_real_cities(name, sprmse):
    city = read_tidy(Path(os.environ["TRITONBN_REAL_DATA"]) / name)
    table = evaluate_baseline("idw", city, "masked").estimates["test"]
    assert city_scores(table, station_scores(table, city))["sprmse"] == pytest.approx(
        sprmse, rel=0.05
    )
