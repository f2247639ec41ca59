"""Estimated fields as xarray objects, NetCDF, CSV and GeoTIFF."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

import tritonbn
from data_prep.city import CityData
from data_prep.conversion import cf_attributes
from data_prep.files import atomic_path
from tritonbn.experiment.extras import require_maps
from tritonbn.experiment.task.arrays import FloatArray, IntArray
from tritonbn.experiment.task.geography import cell_axes, cell_edges

WGS_84 = {
    "grid_mapping_name": "latitude_longitude",
    "geographic_crs_name": "WGS 84",
    "horizontal_datum_name": "World Geodetic System 1984",
    "reference_ellipsoid_name": "WGS 84",
    "semi_major_axis": 6378137.0,
    "inverse_flattening": 298.257223563,
    "prime_meridian_name": "Greenwich",
    "longitude_of_prime_meridian": 0.0,
    "crs_wkt": (
        'GEOGCRS["WGS 84",DATUM["World Geodetic System 1984",'
        'ELLIPSOID["WGS 84",6378137,298.257223563]],CS[ellipsoidal,2],'
        'AXIS["latitude",north],AXIS["longitude",east],'
        'ANGLEUNIT["degree",0.0174532925199433],ID["EPSG",4326]]'
    ),
}
"""The coordinate reference system as attributes of a CF grid mapping."""


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
        centres of the cells. The scalar coordinate ``crs`` holds the reference system, WGS 84.
    """
    latitudes, longitudes = cell_axes(city)
    attributes = {
        "long_name": f"{city.quantity}, interpolated",
        "grid_mapping": "crs",
        **cf_attributes(city),
    }
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
        coordinates | {"crs": ((), np.int32(0), WGS_84)},
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
    table = dataset["field"].drop_vars("crs").to_dataframe().reset_index()
    with atomic_path(directory / "field.csv") as path:
        table.round({"latitude": 6, "longitude": 6}).to_csv(path, index=False)
    return [directory / "field.nc", directory / "field.csv"]


def write_geotiffs(dataset: xr.Dataset, city: CityData, directory: Path) -> list[Path]:
    """Write the field of each time of a Dataset of `field_dataset` as a GeoTIFF.

    It has one band of float32, in which NaN means no data, with north at the top, in WGS 84.

    Parameters
    ----------
    dataset : Dataset
    city : CityData
        Gives the edges of the cells.
    directory : Path
        Created if it does not exist.

    Returns
    -------
    list of Path
        The files written, each of them atomically.

    Raises
    ------
    DataError
        If rioxarray is not installed (``pip install 'tritonbn[maps]'``).
    """
    require_maps("GeoTIFF", "rioxarray")
    import rioxarray  # noqa: F401 - adds the accessor `rio`
    from rasterio.transform import from_bounds

    west, east, south, north = cell_edges(city)
    transform = from_bounds(west, south, east, north, *city.grid[::-1])
    written = []
    for field in dataset["field"]:
        written.append(directory / f"{file_stem(field['time'].values)}.tif")
        raster = field.sortby("latitude", ascending=False)
        raster = raster.rio.write_transform(transform).rio.write_nodata(np.nan)
        with atomic_path(written[-1]) as path:
            raster.rio.to_raster(path, compress="deflate")
    return written


def file_stem(time: np.datetime64) -> str:
    """Return the name of the files of one time, without a suffix."""
    return f"field_{pd.Timestamp(time):%Y%m%dT%H%M%S}"
