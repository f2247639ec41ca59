import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_prep.fill import distances_km
from data_prep.tidy import read_tidy
from tritonbn.experiment.baselines import score_idw
from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.dataset import split
from tritonbn.experiment.evaluate import evaluate, sp_scores
from tritonbn.experiment.train import train

PROTOCOLS = ("paper", "masked")


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_idw_estimates_a_station_from_the_others_at_the_last_seen_time(city, protocol):
    table = score_idw(city, RunConfig("cnn", "none", protocol))
    test = split(len(city.times))["test"]
    back = {"paper": 1, "masked": 0}[protocol]
    weights = distances_km(city.stations["latitude"], city.stations["longitude"]) ** -2
    for s in range(6):
        errors = []
        for time in range(test.start + back, test.stop):
            others = city.observed[time - back] & (np.arange(6) != s)
            if city.observed[time, s]:
                idw = np.average(city.values[time - back, others], weights=weights[s, others])
                errors.append(idw - city.values[time, s])
        assert table.loc[s, "readings"] == len(errors)
        assert table.loc[s, "rmse"] == pytest.approx(np.sqrt(np.mean(np.square(errors))))
        assert table.loc[s, "mae"] == pytest.approx(np.mean(np.abs(errors)))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_idw_is_scored_on_the_readings_that_a_run_is_scored_on(make_city, tmp_path, protocol):
    city = make_city(stations=3, missing=0.6)
    config = RunConfig("cnn", "none", protocol, steps=1, batch_size=2, timesteps=2, test_times=40)
    run = train(city, replace(config, validation_times=2), tmp_path)
    of_run, of_idw = evaluate(run, city), score_idw(city, config)
    same = ["station", "cell", "readings", "mean_reading"]
    assert of_idw[same].equals(of_run[same])


@pytest.mark.skipif(
    "TRITONBN_REAL_DATA" not in os.environ, reason="TRITONBN_REAL_DATA names no folder of cities"
)
@pytest.mark.parametrize(("name", "sprmse"), [("kolkata_2023", 5.89), ("mexico_city_2024", 8.80)])
def test_idw_of_real_cities(name, sprmse):
    city = read_tidy(Path(os.environ["TRITONBN_REAL_DATA"]) / name)
    table = score_idw(city, RunConfig("cnn", "none", "masked"))
    assert sp_scores(table)["sprmse"] == pytest.approx(sprmse, abs=0.005)
