"""Estimated fields as xarray objects, NetCDF and CSV."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

import tritonbn
from data_prep.city import CityData
from data_prep.files import atomic_path
from tritonbn.experiment.task.arrays import FloatArray, IntArray
from tritonbn.experiment.task.geography import cell_axes

STANDARD_NAMES = {"PM2.5": "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air"}
"""CF standard names by quantity."""


def field_dataset(
    city: CityData, times: IntArray, values: FloatArray, title: str, stations: Sequence[str]
) -> xr.Dataset:
    """Return estimated fields as a Dataset that follows the CF conventions 1.11.

    Parameters
    ----------
    city : CityData
        Gives the times, the positions of the cells, the quantity and the unit.
    times : array of int64, shape (T,)
        Indices of `city.times`.
    values : array of float32, shape (T, H, W)
        In the unit of the readings; row 0 in the south.
    title : str
        What the fields are.
    stations : sequence of str
        The stations that they were estimated from.

    Returns
    -------
    Dataset
        The variable ``field`` over time, latitude and longitude. The coordinates are those of the
        centres of the cells.
    """
    latitudes, longitudes = cell_axes(city)
    attributes = {
        "long_name": f"{city.quantity}, interpolated",
        "units": city.unit.replace("ug/m3", "ug m-3"),
    }
    if city.quantity in STANDARD_NAMES:
        attributes["standard_name"] = STANDARD_NAMES[city.quantity]
    coordinates = {
        "time": (
            "time",
            city.times[times].astype("datetime64[ns]"),
            {"standard_name": "time", "comment": "in the time zone of the data"},
        ),
        "latitude": (
            "latitude",
            latitudes,
            {"standard_name": "latitude", "units": "degrees_north"},
        ),
        "longitude": (
            "longitude",
            longitudes,
            {"standard_name": "longitude", "units": "degrees_east"},
        ),
    }
    return xr.Dataset(
        {"field": (("time", "latitude", "longitude"), values, attributes)},
        coordinates,
        {
            "Conventions": "CF-1.11",
            "title": title,
            "source": f"tritonbn {tritonbn.__version__}",
            "stations": "; ".join(stations),
        },
    )


def write_dataset(dataset: xr.Dataset, directory: Path) -> list[Path]:
    """Write a Dataset of `field_dataset` as ``field.nc`` (NetCDF) and ``field.csv``.

    Parameters
    ----------
    dataset : Dataset
    directory : Path
        Created if it does not exist.

    Returns
    -------
    list of Path
        The files written, each of them atomically.
    """
    encoding: dict[str, dict[str, Any]] = {
        "time": {"units": "seconds since 1970-01-01"},
        "latitude": {"_FillValue": None},
        "longitude": {"_FillValue": None},
    }
    with atomic_path(directory / "field.nc") as path:
        dataset.to_netcdf(path, engine="scipy", encoding=encoding)
    table = dataset["field"].to_dataframe().reset_index()
    with atomic_path(directory / "field.csv") as path:
        table.to_csv(path, index=False, float_format="%.6g")
    return [directory / "field.nc", directory / "field.csv"]
