from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import rasterio
import rioxarray  # noqa: F401 - adds the accessor `rio`
import xarray as xr

from data_prep.city import DataError
from tritonbn.experiment import extras
from tritonbn.experiment.figures.field import draw_field
from tritonbn.experiment.maps import field_dataset, write_dataset, write_geotiffs
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.predict import predict_field
from tritonbn.experiment.networks.train import train_network
from tritonbn.experiment.views import estimate_hidden, interpolate

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


@pytest.mark.parametrize(
    ("quantity", "name"),
    [("PM10", "mass_concentration_of_pm10_ambient_aerosol_particles_in_air"), ("NO2", None)],
)
def test_a_field_has_the_standard_name_of_its_quantity(city, quantity, name):
    fields = np.ones((1, *city.grid), np.float32)
    dataset = field_dataset(replace(city, quantity=quantity), TIMES[:1], fields, "a field", ["S2"])
    assert dataset["field"].attrs.get("standard_name") == name


def test_gis_tools_know_the_reference_system_and_the_place_of_the_cells(run, city, tmp_path):
    dataset = interpolate([run], city, TIMES)
    assert dataset.rio.crs.to_epsg() == 4326
    assert dataset["field"].isel(time=0).rio.crs.to_epsg() == 4326
    netcdf, _ = write_dataset(dataset, tmp_path)
    with xr.open_dataset(netcdf) as opened:
        assert opened["field"].attrs["grid_mapping"] == "crs"
        assert opened["crs"].attrs["grid_mapping_name"] == "latitude_longitude"
        assert opened.rio.crs.to_epsg() == 4326
    with rasterio.open(netcdf) as opened:
        assert opened.crs.to_epsg() == 4326
        require_same_places(opened, dataset["field"][0], band=1)
        require_same_places(opened, dataset["field"][1], band=2)


def test_a_geotiff_of_each_time_has_the_same_values_in_the_same_places(run, city, tmp_path):
    dataset = interpolate([run], city, TIMES)
    dataset["field"][0, 1, 2] = np.nan
    written = write_geotiffs(dataset, city, tmp_path / "new")
    assert [path.name for path in written] == [
        "field_20230111T100000.tif",
        "field_20230111T200000.tif",
    ]
    assert {*(tmp_path / "new").iterdir()} == {*written}
    for path, field in zip(written, dataset["field"], strict=True):
        with rasterio.open(path) as opened:
            assert opened.crs.to_epsg() == 4326
            assert (opened.count, opened.dtypes) == (1, ("float32",))
            assert np.isnan(opened.nodata)
            assert opened.transform.a > 0 > opened.transform.e  # north at the top
            assert opened.tags()["units"] == "ug m-3"
            require_same_places(opened, field, band=1)


def require_same_places(opened, field, band):
    """Require of a raster the value of each cell of a field at its longitude and latitude."""
    values = opened.read(band)
    assert values.shape == field.shape
    for row, latitude in enumerate(field["latitude"].to_numpy()):
        for column, longitude in enumerate(field["longitude"].to_numpy()):
            pixel = opened.index(longitude, latitude)
            assert opened.xy(*pixel) == pytest.approx((longitude, latitude), abs=1e-9)
            np.testing.assert_array_equal(values[pixel], field[row, column])


def test_a_city_of_one_station_has_a_geotiff(city, tmp_path):
    alone = city.select(np.arange(6) == 2)
    field = np.ones((1, *city.grid), np.float32)
    dataset = field_dataset(alone, TIMES[:1], field, "one station", ["S2"])
    with rasterio.open(*write_geotiffs(dataset, alone, tmp_path)) as opened:
        corner = alone.stations[["longitude", "latitude"]].to_numpy()[0]  # of its cell
        row, column = opened.index(*(corner + 0.005))
        assert (city.grid[0] - 1 - row) * city.grid[1] + column == alone.cells[0]


def test_without_rioxarray_the_error_names_the_extra(run, city, tmp_path, monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"GeoTIFF needs rioxarray: .*tritonbn\[maps\]"):
        write_geotiffs(interpolate([run], city, TIMES), city, tmp_path)


def test_hidden_stations_are_estimated_without_their_readings(run, city):
    other = replace(city, values=city.values.copy())
    other.values[:, 2] += 100
    one, two = (estimate_hidden([run], each, TIMES) for each in (city, other))
    assert one.shape == (2, 6)
    np.testing.assert_array_equal(one[:, 2], two[:, 2])
    for station, cell in enumerate(city.cells):
        field = predict_field(run, city, TIMES[1], station)
        np.testing.assert_allclose(one[1, station], field.flat[cell], rtol=1e-5)


def test_stations_at_one_position_are_drawn_without_warnings(city, tmp_path, recwarn):
    places = city.stations.assign(latitude=51.2, longitude=4.4)
    field = np.full(city.grid, 20, np.float32)
    figure = draw_field(replace(city, stations=places), 250, field, np.zeros(6, bool))
    figure.savefig(tmp_path / "field.png")
    assert not [warning.message for warning in recwarn]
    left, right, bottom, top = figure.axes[0].images[0].get_extent()
    assert (left, bottom) == (4.4, 51.2)
    assert (right, top) == pytest.approx((4.46, 51.25))


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


@pytest.mark.parametrize(
    "config",
    [
        RunConfig("cnn", "scaled", "masked", steps=1, batch_size=4),
        RunConfig.preset("quick", "cnn", "scaled", design="residual", steps=1, batch_size=4),
    ],
    ids=lambda config: config.design,
)
def test_the_scale_of_a_station_is_that_of_the_training(city, tmp_path, config):
    run = train_network(city, config, tmp_path)
    latest = replace(city, times=city.times[240:], values=city.values[240:])
    (field,) = interpolate([run], city.with_readings_of(latest), TIMES[1:] - 240)["field"]
    (expected,) = interpolate([run], city, TIMES[1:])["field"]
    np.testing.assert_array_equal(field, expected)
