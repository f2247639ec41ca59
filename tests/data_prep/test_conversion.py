from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from data_prep import CityData, DataError


@pytest.fixture
def city():
    """A city with everything that is awkward to store."""
    return CityData(
        name="Kleinstadt an der Mür",
        times=np.array(["2024-01-01T00:00", "2024-01-01T01:00:01", "2024-03-01"], "M8[s]"),
        stations=pd.DataFrame(
            {
                "latitude": [51.0, 51.1, 51.2],
                "kind": ["road", None, "park"],
                "station": ["a", "b", "ü"],
                "longitude": [4.0, 4.1, 4.2],
                "cell": [0, 3, 5],
                "height_m": [1.5, np.nan, 3],
                "open": [True, False, True],
                "since": pd.to_datetime(["2020-01-01", "2021-01-01", "2022-06-01"]),
            }
        ),
        values=np.array([[1, 2, np.nan], [np.nan, 0.1, -3], [4, 5, 6]], np.float32),
        grid=(2, 3),
        quantity="PM10",
        synthetic=True,
        report={"rows": 7, "window": {"start": "2024-01-01"}, "lost": ["x"]},
        interval=np.timedelta64(3600, "s"),
    )


def assert_same(city, expected):
    pd.testing.assert_frame_equal(city.stations, expected.stations)
    for field in fields(CityData):
        actual, wanted = getattr(city, field.name), getattr(expected, field.name)
        if field.name in ("times", "values"):
            assert actual.dtype == wanted.dtype
            np.testing.assert_array_equal(actual, wanted)
        elif field.name != "stations":
            assert actual == wanted
            assert type(actual) is type(wanted)


@pytest.mark.parametrize("interval", [np.timedelta64(3600, "s"), None])
def test_a_city_survives_the_conversion(city, interval):
    city = replace(city, interval=interval)
    assert_same(CityData.from_xarray(city.to_xarray()), city)


def test_a_city_survives_a_netcdf_file(city, tmp_path):
    city.to_xarray().to_netcdf(tmp_path / "city.nc", engine="scipy")
    with xr.open_dataset(tmp_path / "city.nc", engine="scipy") as dataset:
        assert_same(CityData.from_xarray(dataset), city)


def test_the_dataset_has_coordinates_units_and_standard_names(city):
    dataset = city.to_xarray()
    reading = dataset["reading"]
    assert reading.dims == ("time", "station")
    assert reading.attrs == {
        "long_name": "PM10",
        "units": "ug m-3",
        "standard_name": "mass_concentration_of_pm10_ambient_aerosol_particles_in_air",
    }
    assert set(dataset.coords) == {"time", *city.stations}
    assert float(reading.sel(station="b", time="2024-01-01T01:00:01")) == np.float32(0.1)
    assert dataset["latitude"].attrs["units"] == "degrees_north"
    assert dataset["longitude"].attrs["units"] == "degrees_east"
    assert dataset.attrs["name"] == city.name
    assert dataset.attrs["grid"] == [2, 3]
    assert dataset.attrs["synthetic"] == 1
    other = replace(city, quantity="NO2").to_xarray()["reading"]
    assert "standard_name" not in other.attrs


def test_a_part_of_the_dataset_is_a_smaller_city(city):
    dataset = city.to_xarray().isel(time=[0, 2], station=[2, 0]).transpose()
    part = CityData.from_xarray(dataset)
    assert part.stations["station"].tolist() == ["ü", "a"]
    np.testing.assert_array_equal(part.values, city.values[[0, 2]][:, [2, 0]])
    assert part.step == np.timedelta64(3600, "s")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda dataset: xr.Dataset(), "not made by CityData.to_xarray"),
        (lambda dataset: dataset.drop_vars("latitude"), "latitude"),
        (lambda dataset: dataset.drop_attrs(), "'name'"),
        (lambda dataset: dataset.astype(np.float64), "values must be float32"),
    ],
)
def test_another_dataset_is_one_clear_error(city, spoil, message):
    with pytest.raises(DataError, match=message):
        CityData.from_xarray(spoil(city.to_xarray()))


@pytest.mark.parametrize("column", ["time", "reading"])
def test_a_column_that_the_dataset_has_itself_is_an_error(city, column):
    stations = city.stations.assign(**{column: 1})
    with pytest.raises(DataError, match=f"no column of the stations may be called '{column}'"):
        replace(city, stations=stations).to_xarray()


@pytest.mark.parametrize(("fact", "value"), [("station_columns", "[]"), ("grid", [2.5, 3.0])])
def test_attributes_of_other_kinds_are_an_error(city, fact, value):
    dataset = city.to_xarray().assign_attrs({fact: value})
    with pytest.raises(DataError, match=r"was not made by CityData\.to_xarray"):
        CityData.from_xarray(dataset)
