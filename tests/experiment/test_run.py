from collections.abc import Callable
from dataclasses import replace

import ipyleaflet
import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
import torch
from small_city import TINY

from data_prep.city import CityData, DataError
from tritonbn.experiment import Run, train
from tritonbn.experiment.baselines import evaluate_baseline
from tritonbn.experiment.figures.interactive import make_map
from tritonbn.experiment.networks.predict import evaluate, predict_field
from tritonbn.experiment.task.parts import split
from tritonbn.experiment.views import heatmap

MakeCity = Callable[..., CityData]


def texts(figure: matplotlib.figure.Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))


def pictures_and_popups(shown: ipyleaflet.Map) -> list[str]:
    return [
        layer.url if isinstance(layer, ipyleaflet.ImageOverlay) else layer.popup.value
        for layer in shown.layers
        if isinstance(layer, ipyleaflet.ImageOverlay | ipyleaflet.CircleMarker)
    ]


@pytest.fixture(scope="module")
def masked(city: CityData) -> Run:
    return train(city, "cnn", protocol="masked", progress=False, **TINY)


@pytest.fixture(scope="module")
def unseen(city: CityData) -> Run:
    return train(city, "cnn", protocol="unseen", seed=1, progress=False, **TINY)


@pytest.fixture(scope="module")
def fold(city: CityData, unseen: Run) -> Run:
    network = unseen.networks[3]
    return Run(city, network.config, [network])


@pytest.fixture(scope="module", params=["masked", "unseen"])
def run(request: pytest.FixtureRequest) -> Run:
    run: Run = request.getfixturevalue(request.param)
    return run


def test_the_estimates_are_those_of_the_networks(city: CityData, run: Run) -> None:
    for part in ("validation", "test"):
        tables = [evaluate(network, city, part) for network in run.networks]
        expected = pd.concat(tables, ignore_index=True)
        pd.testing.assert_frame_equal(run.estimates(part), expected)
        assert np.isin(expected["time"], city.times[split(city)[part]]).all()
    assert {*run.estimates()["station"]} == {*city.stations["station"]}


def test_only_validation_and_test_have_estimates(masked: Run) -> None:
    with pytest.raises(ValueError, match="part must be one of validation, test, got 'train'"):
        masked.estimates("train")


def test_stations_have_the_scores_of_their_estimates(city: CityData, run: Run) -> None:
    table = run.stations()
    key = {"protocol": run.config.protocol, "model": "cnn-dense", "norm": "local"}
    assert (table[[*key, "seed"]] == [*key.values(), run.config.seed]).all(axis=None)
    assert table["station"].to_list() == city.stations["station"].to_list()
    assert table["cell"].to_list() == city.cells.tolist()
    estimates = run.estimates()
    for row in table.to_dict("records"):
        here = estimates[estimates["station"] == row["station"]]
        error = here["estimate"].to_numpy(float) - here["reading"].to_numpy(float)
        assert row["readings"] == len(here)
        assert row["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
        assert row["mae"] == pytest.approx(np.mean(np.abs(error)))
        assert row["bias"] == pytest.approx(np.mean(error))
        assert row["mean_reading"] == pytest.approx(here["reading"].mean())


def test_scores_are_one_row(city: CityData, run: Run) -> None:
    (row,) = run.scores().to_dict("records")
    stations = run.stations()
    counted = stations[stations["readings"] >= 24]
    assert row["stations"] == len(counted) > 0
    assert row["sprmse"] == pytest.approx(counted["rmse"].mean())
    assert row["spmae"] == pytest.approx(counted["mae"].mean())
    estimates = run.estimates()
    error = estimates["estimate"].to_numpy(float) - estimates["reading"].to_numpy(float)
    assert row["bias"] == pytest.approx(error.mean())
    assert row["r2"] == pytest.approx(1 - (error**2).mean() / estimates["reading"].var(ddof=0))
    of_idw = evaluate_baseline("idw", city, run.config.protocol, 28).estimates["test"]
    both = estimates.merge(of_idw, on=["time", "station", "reading"])
    assert len(both) == len(estimates)
    mse = ((both["estimate_y"].astype(float) - both["reading"]) ** 2).mean()
    assert row["skill"] == pytest.approx(1 - (error**2).mean() / mse)
    assert (row["steps"], row["device"]) == (4 * len(run.networks), run.networks[0].device.type)
    assert row["seconds"] == pytest.approx(sum(network.seconds for network in run.networks))


def test_idw_is_the_reference_on_the_same_stations(city: CityData, unseen: Run) -> None:
    fold = Run(city, unseen.networks[2].config, unseen.networks[2:3])
    held_out = city.stations["station"][fold.config.fold_of(city).held_out]
    of_all = evaluate_baseline("idw", city, "unseen", 28).estimates["test"]
    expected = of_all[of_all["station"].isin(held_out)]
    pd.testing.assert_frame_equal(fold.reference.estimates["test"], expected)


def test_the_history_has_a_row_for_each_validation(run: Run) -> None:
    history = run.history()
    assert [*history] == ["norm", "seed", "fold", "step", "loss", "stopping_sprmse"]
    folds = range(len(run.networks))
    assert history["step"].to_list() == [2, 4] * len(folds)
    assert history["fold"].to_list() == [fold for fold in folds for _ in (2, 4)]
    assert set(history["norm"]) == {"local"}
    assert set(history["seed"]) == {run.config.seed}
    entries = [entry for network in run.networks for entry in network.history]
    assert history["stopping_sprmse"].to_list() == [entry["stopping_sprmse"] for entry in entries]


def test_the_training_curve_shows_each_fold(run: Run) -> None:
    (ax,) = run.training_curve().axes
    assert len(ax.lines) == len(run.networks)
    for line, (_, fold) in zip(ax.lines, run.history().groupby("fold"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), fold["step"])
        np.testing.assert_array_equal(line.get_ydata(), fold["stopping_sprmse"])


def test_a_station_is_given_by_its_name_or_cell(city: CityData, masked: Run) -> None:
    name, cell = city.stations["station"].iloc[2], int(city.cells[2])
    time = str(city.times[np.flatnonzero(city.observed[:, 2])[40]])
    shown = [
        texts(masked.heatmap(given, time)) for given in (name, cell, str(cell), np.int64(cell))
    ]
    assert shown == [shown[0]] * 4
    assert f"Station {name} (cell {cell}) is hidden" in shown[0]
    assert time.replace("T", " ")[:16] in shown[0]


def test_the_heatmap_shows_reading_and_estimate_of_the_hidden_station(
    city: CityData, masked: Run
) -> None:
    time = int(np.flatnonzero(city.observed[:, 1])[50])
    field = predict_field(masked.networks[0], city, time, 1)
    shown = texts(masked.heatmap(int(city.cells[1]), str(city.times[time])))
    assert f"true: {city.values[time, 1]:.1f}" in shown
    assert f"estimated: {field.flat[city.cells[1]]:.1f}" in shown


def test_what_cannot_be_shown_is_explained(city: CityData, masked: Run) -> None:
    time, station = (int(index) for index in np.argwhere(~city.observed)[0])
    with pytest.raises(DataError, match=f"station S{station} of Testville has no reading at"):
        masked.heatmap(f"S{station}", str(city.times[time]))
    with pytest.raises(DataError, match="Testville has no station 9999"):
        masked.heatmap(9999)
    with pytest.raises(DataError, match="Testville has no time 1999"):
        masked.field("1999-01-01")
    alone = city.values.copy()
    alone[time] = np.where(np.arange(6) == 2, 20.0, np.nan)
    with pytest.raises(DataError, match="no other station of Testville has a reading from which"):
        heatmap(masked.networks, replace(city, values=alone), time, 2)


def test_the_field_keeps_the_readings_of_the_stations(city: CityData, masked: Run) -> None:
    field = masked.field(str(city.times[100]))
    assert field.dims == ("latitude", "longitude")
    assert field.shape == city.grid
    assert field.attrs["units"] == "ug m-3"
    assert field["time"] == city.times[100]
    expected = predict_field(masked.networks[0], city, 100, None)
    np.testing.assert_array_equal(field, expected)
    seen = city.observed[100]
    np.testing.assert_array_equal(field.to_numpy().flat[city.cells[seen]], city.values[100, seen])
    assert (np.diff(field["latitude"]) > 0).all(), "row 0 is in the south"


def test_a_map_shows_the_field_and_the_readings_of_its_time(city: CityData, fold: Run) -> None:
    time = str(city.times[100])
    figure = fold.map(time)
    assert figure.get_suptitle() == "PM2.5, Testville, 2023-01-05 04:00"
    (image,) = figure.axes[0].images
    np.testing.assert_array_equal(image.get_array(), fold.field(time))
    assert "held-out station" in texts(figure)


def test_an_interactive_map_shows_the_field_and_the_readings_of_its_time(
    city: CityData, fold: Run
) -> None:
    time = str(city.times[100])
    shown = fold.interactive_map(time)
    held_out = fold.config.fold_of(city).held_out
    expected = make_map(city, 100, fold.field(time).to_numpy(), held_out)
    assert pictures_and_popups(shown) == pictures_and_popups(expected)


def test_the_model_is_a_torch_module(masked: Run) -> None:
    assert isinstance(masked.model, torch.nn.Module)
    assert masked.model is masked.networks[0].model
    assert not masked.model.training


def test_each_station_is_shown_by_the_fold_that_holds_it_out(city: CityData, unseen: Run) -> None:
    for station, name in enumerate(city.stations["station"]):
        network = unseen.network_for(unseen.hidden_station(name))
        assert network.config.fold_of(city).held_out[station]
        assert f"Station {name} " in texts(unseen.heatmap(name))


def test_networks_of_folds_have_no_common_model_or_field(city: CityData, unseen: Run) -> None:
    message = "has 5 networks, one for each fold of the stations; choose one of run.networks"
    with pytest.raises(DataError, match=message):
        _ = unseen.model
    with pytest.raises(DataError, match=message):
        unseen.field(str(city.times[100]))


def test_a_single_fold_shows_a_station_that_it_holds_out(city: CityData, fold: Run) -> None:
    held_out = fold.config.fold_of(city).held_out
    assert held_out[fold.hidden_station()]
    trained_with = city.stations["station"][~held_out].iloc[0]
    with pytest.raises(DataError, match=f"training used station {trained_with}; the stations that"):
        fold.heatmap(trained_with)


def test_a_run_says_what_it_is(masked: Run, unseen: Run) -> None:
    assert repr(masked) == "Run(cnn-dense-local-masked-0, Testville, 4 steps)"
    assert repr(unseen) == "Run(cnn-dense-local-unseen-1, Testville, 20 steps)"
