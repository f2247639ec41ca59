from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from data_prep.city import DataError
from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.dataset import Scaler, split
from tritonbn.experiment.evaluate import (
    CPU_BATCH,
    TrainedRun,
    evaluate,
    predict_field,
    sp_scores,
)
from tritonbn.models import build_model


@pytest.fixture(params=[("convlstm", "local"), ("cnn", "global"), ("cnn", "local")])
def run(request, city):
    """A run whose model is not trained, but has statistics of its own."""
    backbone, norm = request.param
    torch.manual_seed(0)
    model = build_model(backbone, norm, city.grid, timesteps=2)
    model(torch.rand(8, 2, 1, *city.grid))
    config = RunConfig(backbone, norm, "paper", timesteps=2)
    return TrainedRun(model.eval(), config, Scaler.fit(city), history=[], steps=0, seconds=0.0)


def haversine(a, b) -> float:
    phi, lam, phi2, lam2 = np.radians([a.latitude, a.longitude, b.latitude, b.longitude])
    h = np.sin((phi - phi2) / 2) ** 2 + np.cos(phi) * np.cos(phi2) * np.sin((lam - lam2) / 2) ** 2
    return 2 * np.arcsin(np.sqrt(h))


def estimate(run, city, time, hidden) -> np.ndarray:
    """The field, ug/m3, one station and one cell at a time."""
    low, high = (f(city.values[split(len(city.times))["train"]]) for f in (np.nanmin, np.nanmax))
    stations = list(city.stations.itertuples())
    x = torch.zeros(1, 2, 1, *city.grid)
    for t, at in enumerate((time - 2, time - 1)):
        known = [s for s in range(len(stations)) if city.observed[at, s] and s != hidden]
        for s, station in enumerate(stations):
            if s == hidden:
                continue
            if s in known:
                reading = city.values[at, s]
            else:
                weights = [haversine(station, stations[other]) ** -2 for other in known]
                reading = np.average(city.values[at, known], weights=weights)
            row, column = divmod(station.cell, city.grid[1])
            x[0, t, 0, row, column] = float((reading - low) / (high - low))
    with torch.no_grad():
        return run.model(x)[0, 0].numpy() * (high - low) + low


def test_evaluate_hides_each_station_in_turn(run, city):
    run = replace(run, config=replace(run.config, test_times=9))
    test = split(len(city.times))["test"]
    times = np.linspace(test.start + 2, test.stop - 1, 9).round().astype(int)
    table = evaluate(run, city)
    assert table["station"].to_list() == city.stations["station"].to_list()
    assert table["cell"].to_list() == city.cells.tolist()
    for row in table.itertuples():
        s = row.Index
        cell = divmod(row.cell, city.grid[1])
        scored = [time for time in times if city.observed[time, s]]
        readings = city.values[scored, s]
        errors = np.array([estimate(run, city, time, s)[cell] for time in scored]) - readings
        assert row.readings == len(scored)
        assert row.mean_reading == pytest.approx(readings.mean())
        assert row.rmse == pytest.approx(np.sqrt(np.mean(errors**2)), rel=1e-4)
        assert row.mae == pytest.approx(np.mean(np.abs(errors)), rel=1e-4)


def test_predict_field_is_what_evaluate_scores(run, city):
    time, hidden = 280, 4
    field = predict_field(run, city, time, hidden)
    assert field.dtype == np.float32
    np.testing.assert_allclose(field, estimate(run, city, time, hidden), rtol=1e-4)


def test_predict_field_needs_the_times_before(run, city):
    with pytest.raises(DataError, match=r"time_index must be 2 \.\. 299 in Testville, got 1"):
        predict_field(run, city, 1, 0)


@pytest.mark.parametrize("secret", [np.nan, 1e6])
def test_a_hidden_station_s_readings_change_no_prediction(run, city, secret):
    hidden = 3
    values = city.values.copy()
    values[:, hidden] = secret
    blind = replace(city, values=values)
    for time in range(270, 300):
        seen = predict_field(run, city, time, hidden)
        assert seen.tobytes() == predict_field(run, blind, time, hidden).tobytes()


def test_a_visible_station_s_readings_change_the_prediction(run, city):
    values = city.values.copy()
    values[298, 2] = 1e3
    other = replace(city, values=values)
    assert (predict_field(run, city, 299, 3) != predict_field(run, other, 299, 3)).any()


def test_progress_ends_at_the_number_of_scored_readings(run, city):
    seen: list[tuple[int, int]] = []
    table = evaluate(run, city, on_progress=lambda done, total: seen.append((done, total)))
    total = table["readings"].sum()
    assert total % CPU_BATCH > 0, "the test needs a last batch that is not full"
    assert seen[0] == (CPU_BATCH, total)
    assert seen[-1] == (total, total)


def test_a_station_without_readings_has_no_score(run, city):
    values = city.values.copy()
    values[:, 1] = np.nan
    table = evaluate(run, replace(city, values=values))
    assert table.loc[1, "readings"] == 0
    assert table.loc[1, ["rmse", "mae", "mean_reading"]].isna().all()
    assert sp_scores(table)["stations"] == 5


def test_sp_scores_average_stations_with_enough_readings():
    table = pd.DataFrame(
        {
            "readings": [24, 23, 1000],
            "rmse": [1.0, 100.0, 4.0],
            "mae": [0.5, 100.0, 3.5],
            "mean_reading": [10.0, 100.0, 20.0],
        }
    )
    assert sp_scores(table) == {"sprmse": 2.5, "spmae": 2.0, "mean_reading": 15.0, "stations": 2}
    assert sp_scores(table, min_readings=1)["stations"] == 3
    with pytest.raises(DataError, match="no station has 1001 scored readings; the most is 1000"):
        sp_scores(table, min_readings=1001)
