from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from data_prep.city import DataError
from tritonbn.experiment.figures.field import draw_field
from tritonbn.experiment.maps import write_dataset
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.predict import predict_field
from tritonbn.experiment.networks.train import train_network
from tritonbn.experiment.views import interpolate

TIMES = np.array([250, 260])


@pytest.fixture(scope="module")
def run(city, tmp_path_factory):
    config = RunConfig("cnn", "local", "masked", steps=2, batch_size=4)
    return train_network(city, config, tmp_path_factory.mktemp("run"))


def test_the_field_is_the_reading_where_there_is_one_and_else_the_model_s(run, city):
    dataset = interpolate([run], city, TIMES)
    assert dataset["field"].dims == ("time", "latitude", "longitude")
    for values, time in zip(dataset["field"].to_numpy(), TIMES, strict=True):
        read = city.cells[city.observed[time]]
        np.testing.assert_array_equal(values.flat[read], city.values[time, city.observed[time]])
        others = np.setdiff1d(np.arange(values.size), read)
        expected = predict_field(run, city, time, None)
        # a convolution of two times may round otherwise, relative to its largest term
        rounding = 1e-6 * expected.max()
        np.testing.assert_allclose(
            values.flat[others], expected.flat[others], rtol=0, atol=rounding
        )
        hidden = predict_field(run, city, time, int(np.flatnonzero(city.observed[time])[0]))
        assert not np.allclose(values.flat[others], hidden.flat[others], rtol=1e-5)


def test_a_forecast_is_the_model_s_everywhere(city, tmp_path):
    forecast = train_network(
        city, RunConfig("cnn", "none", "paper", steps=1, batch_size=4), tmp_path
    )
    (values,) = interpolate([forecast], city, TIMES[:1])["field"].to_numpy()
    np.testing.assert_array_equal(values, predict_field(forecast, city, TIMES[0], None))


def test_held_out_stations_do_not_lend_their_readings(city, tmp_path):
    config = RunConfig("cnn", "none", "unseen", steps=1, batch_size=4)
    dataset = interpolate([train_network(city, config, tmp_path)], city, TIMES)
    held_out = config.fold_of(city).held_out
    at_stations = dataset["field"].to_numpy().reshape(2, -1)[:, city.cells]
    there = city.observed[TIMES]
    assert (at_stations == city.values[TIMES])[:, ~held_out][there[:, ~held_out]].all()
    assert (at_stations != city.values[TIMES])[:, held_out][there[:, held_out]].all()


def test_runs_of_different_protocols_are_refused(run, city):
    forecast = replace(run, config=replace(run.config, protocol="paper"))
    with pytest.raises(DataError, match="networks of one protocol, got masked and paper"):
        interpolate([run, forecast], city, TIMES)


def test_several_runs_make_their_mean(run, city, tmp_path):
    other = train_network(city, replace(run.config, seed=1), tmp_path)
    one, two = (interpolate([each], city, TIMES)["field"].to_numpy() for each in (run, other))
    together = interpolate([run, other], city, TIMES)
    np.testing.assert_allclose(together["field"], (one + two) / 2, rtol=1e-6)
    assert "cnn-dense-local-masked-0, cnn-dense-local-masked-1" in together.attrs["title"]


def test_runs_that_know_different_stations_are_refused(run, city):
    folds = [
        replace(run, config=replace(run.config, protocol="unseen", fold=fold)) for fold in (0, 1)
    ]
    with pytest.raises(DataError, match="networks that know the same stations"):
        interpolate(folds, city, TIMES)


def test_cells_lie_where_the_stations_are(run, city):
    dataset = interpolate([run], city, TIMES)
    rows, columns = np.divmod(city.cells, city.grid[1])
    half = {"latitude": 0.005, "longitude": 0.005}  # the stations stand 0.01 degrees apart
    for name, index in (("latitude", rows), ("longitude", columns)):
        middles = dataset[name].to_numpy()
        assert len(middles) == city.grid[name == "longitude"]
        assert (np.diff(middles) > 0).all()
        assert np.abs(middles[index] - city.stations[name]).max() <= half[name] + 1e-9


def test_the_files_hold_the_field_and_follow_the_conventions(run, city, tmp_path):
    dataset = interpolate([run], city, TIMES)
    written = write_dataset(dataset, tmp_path / "new")
    assert [path.name for path in written] == ["field.nc", "field.csv"]
    with xr.open_dataset(written[0]) as opened:
        np.testing.assert_array_equal(opened["field"], dataset["field"])
        assert opened["time"].to_numpy().tolist() == dataset["time"].to_numpy().tolist()
        assert opened.attrs["Conventions"] == "CF-1.11"
        assert opened["field"].attrs["units"] == "ug m-3"
        assert opened["latitude"].attrs["units"] == "degrees_north"
        assert opened["longitude"].attrs["units"] == "degrees_east"
        assert opened["time"].encoding["units"] == "seconds since 1970-01-01"
        assert "_FillValue" not in opened["latitude"].encoding  # a coordinate misses nothing
        assert opened["field"].attrs["standard_name"].startswith("mass_concentration_of_pm2p5")
    table = pd.read_csv(written[1])
    assert [*table] == ["time", "latitude", "longitude", "field"]
    np.testing.assert_allclose(table["field"], dataset["field"].to_numpy().ravel(), rtol=1e-5)


def test_what_held_out_stations_read_does_not_decide_the_colours(city):
    values = city.values.copy()
    values[250] = [20, 21, 22, 23, 24, 500]
    field = np.full(city.grid, 20, np.float32)
    figure = draw_field(replace(city, values=values), 250, field, np.arange(6) == 5)
    assert figure.axes[0].images[0].norm.vmax == 24


def test_held_out_stations_are_drawn_without_their_readings(city):
    values = city.values.copy()
    values[250] = [20, 21, 22, np.nan, 24, 25]
    field = np.full(city.grid, 20, np.float32)
    figure = draw_field(replace(city, values=values), 250, field, np.arange(6) == 5)
    ax = figure.axes[0]
    np.testing.assert_array_equal(ax.collections[0].get_array(), [20, 21, 22, 24])
    assert ax.get_legend_handles_labels()[1] == [
        "station, coloured by its reading",
        "station without a reading",
        "held-out station",
    ]


def test_a_trained_model_maps_readings_of_later(run, city):
    later = replace(city, times=city.times + np.timedelta64(365, "D"), values=city.values + 1)
    silent = later.select(np.arange(6) != 2)
    with_them = city.with_readings_of(silent)
    dataset = interpolate([run], with_them, TIMES)
    assert dataset["time"].dt.year.to_numpy().tolist() == [2024, 2024]
    values = later.values.copy()
    values[:, 2] = np.nan
    expected = interpolate([run], replace(later, values=values), TIMES)
    np.testing.assert_array_equal(dataset["field"], expected["field"])
    assert dataset.attrs["stations"] == "S0; S1; S2; S3; S4; S5"
