from dataclasses import replace

import numpy as np
import pytest
import torch

from data_prep.city import DataError
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.predict import (
    CPU_BATCH,
    evaluate,
    predict_field,
    predict_fields,
)
from tritonbn.experiment.networks.scaling import Scaler
from tritonbn.experiment.networks.trained import TrainedNetwork
from tritonbn.experiment.task.folds import Fold
from tritonbn.experiment.task.parts import split
from tritonbn.models import build_model


@pytest.fixture(params=[("convlstm", "local"), ("cnn", "global"), ("cnn", "local")])
def run(request, city):
    """A run whose model is not trained, but has statistics of its own."""
    backbone, norm = request.param
    torch.manual_seed(0)
    model = build_model(backbone, norm, city.grid, timesteps=2, head="convolution")
    model(torch.rand(8, 2, 1, *city.grid))
    config = RunConfig(backbone, norm, "paper", timesteps=2, head="convolution")
    return TrainedNetwork(model.eval(), config, Scaler.fit(city), history=[], steps=0, seconds=0.0)


def haversine(a, b) -> float:
    phi, lam, phi2, lam2 = np.radians([a.latitude, a.longitude, b.latitude, b.longitude])
    h = np.sin((phi - phi2) / 2) ** 2 + np.cos(phi) * np.cos(phi2) * np.sin((lam - lam2) / 2) ** 2
    return 2 * np.arcsin(np.sqrt(h))


def estimate(run, city, time, hidden) -> np.ndarray:
    """The field, ug/m3, one station and one cell at a time."""
    low, high = (f(city.values[split(city)["train"]]) for f in (np.nanmin, np.nanmax))
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


@pytest.mark.parametrize("part", ["validation", "test"])
def test_evaluate_hides_each_station_in_turn(run, city, part):
    run = replace(run, config=replace(run.config, test_times=9))
    within = split(city)[part]
    times = np.linspace(within.start, within.stop - 1, 9).round().astype(int)
    table = evaluate(run, city, part)
    names = city.stations["station"].to_list()
    expected = [(time, s) for time in times for s in range(6) if city.observed[time, s]]
    assert table["time"].to_list() == [city.times[time] for time, _ in expected]
    assert table["station"].to_list() == [names[s] for _, s in expected]
    for row, (time, s) in zip(table.itertuples(), expected, strict=True):
        cell = divmod(city.cells[s], city.grid[1])
        assert row.reading == city.values[time, s]
        assert row.estimate == pytest.approx(estimate(run, city, time, s)[cell], rel=1e-4)


@pytest.mark.parametrize("part", ["validation", "test"])
def test_unseen_stations_are_estimated_by_a_city_without_them(run, city, part):
    for number in range(5):
        config = replace(run.config, protocol="unseen", fold=number, test_times=9)
        fold = Fold(city, "unseen", number)
        table = evaluate(replace(run, config=config), city, part)
        names = city.stations["station"].to_numpy()
        assert set(table["station"]) == set(names[fold.held_out])
        kept = fold.windows.city
        for row in table.itertuples():
            time = int(np.flatnonzero(city.times == row.time)[0])
            field = predict_field(
                replace(run, config=replace(config, protocol="masked", fold=0)), kept, time, -1
            )
            station = int(np.flatnonzero(names == row.station)[0])
            assert row.estimate == pytest.approx(field.flat[city.cells[station]], rel=1e-5)


def test_predict_field_is_what_evaluate_scores(run, city):
    time, hidden = 280, 4
    field = predict_field(run, city, time, hidden)
    assert field.dtype == np.float32
    np.testing.assert_allclose(field, estimate(run, city, time, hidden), rtol=1e-4)


def test_predict_field_needs_the_times_before(run, city):
    with pytest.raises(DataError, match="no station of Testville has a reading at 2022-12-31T23"):
        predict_field(run, city, 0, 0)


@pytest.mark.parametrize("secret", [np.nan, 1e6])
def test_a_hidden_station_s_readings_change_no_prediction(run, city, secret):
    hidden = 3
    values = city.values.copy()
    values[:, hidden] = secret
    blind = replace(city, values=values)
    for time in range(270, 300):
        seen = predict_field(run, city, time, hidden)
        assert seen.tobytes() == predict_field(run, blind, time, hidden).tobytes()


def test_without_another_reading_there_is_no_estimate(run, city):
    alone = city.values.copy()
    alone[249, 1:] = np.nan  # the prediction of time 250 ends with time 249
    alone[249, 0] = 20.0
    fields = predict_fields(run, replace(city, values=alone), np.array([250, 251]), 0)
    assert np.isnan(fields[0]).all()
    assert np.isfinite(fields[1]).all()


def test_a_visible_station_s_readings_change_the_prediction(run, city):
    values = city.values.copy()
    values[298, 2] = 1e3
    other = replace(city, values=values)
    assert (predict_field(run, city, 299, 3) != predict_field(run, other, 299, 3)).any()


def test_progress_ends_at_the_number_of_scored_readings(run, city):
    seen: list[tuple[int, int]] = []
    total = len(evaluate(run, city, on_progress=lambda done, total: seen.append((done, total))))
    done = [number for number, _ in seen]
    assert {number for _, number in seen} == {total}
    assert done[-1] == total
    assert (np.diff([0, *done]) > 0).all()
    assert (np.diff([0, *done]) <= CPU_BATCH).all()


def test_fields_of_several_times_are_those_of_each(run, city):
    times = np.arange(260, 300)
    fields = predict_fields(run, city, times, 4)
    assert fields.shape == (40, *city.grid)
    for time, field in zip(times, fields, strict=True):
        np.testing.assert_allclose(field, predict_field(run, city, time, 4), rtol=1e-5)


def batch_statistics(city):
    torch.manual_seed(0)
    model = build_model("cnn", "local-batch", city.grid)
    config = RunConfig("cnn", "local-batch", "masked")
    return TrainedNetwork(model.eval(), config, Scaler.fit(city), history=[], steps=0, seconds=0.0)


def test_the_statistics_of_a_batch_do_not_tell_what_is_hidden(city):
    run = batch_statistics(city)
    table = evaluate(run, city)
    test = split(city)["test"]
    for s, name in enumerate(city.stations["station"]):
        values = city.values.copy()
        values[test, s] = np.where(city.observed[test, s], 1e6, np.nan)
        blind = evaluate(run, replace(city, values=values))
        own = table["station"] == name
        assert blind["estimate"][own].to_numpy().tobytes() == (
            table["estimate"][own].to_numpy().tobytes()
        )


def test_the_statistics_of_a_batch_need_several_times(city):
    with pytest.raises(
        DataError, match="statistics of the batch, which need two times or more; got one"
    ):
        predict_field(batch_statistics(city), city, 280, None)


def test_the_statistics_of_a_batch_allow_a_station_of_one_reading(city):
    values = city.values.copy()
    values[split(city)["test"].start : -1, 2] = np.nan
    values[-1, 2] = 30
    table = evaluate(batch_statistics(city), replace(city, values=values))
    assert (table["station"] == "S2").sum() == 1
    assert table["estimate"].notna().all()
