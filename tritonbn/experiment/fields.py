"""The interpolated field of a city: as a figure, a table and a file for GIS tools."""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr
from matplotlib import rc_context
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from data_prep.city import CityData, DataError
from data_prep.files import atomic_path
from tritonbn.experiment.citymap import COLORMAP, CityMap
from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.dataset import IntArray, time_index
from tritonbn.experiment.evaluate import TrainedRun, predict_fields
from tritonbn.experiment.folds import Fold
from tritonbn.experiment.geography import cell_axes
from tritonbn.experiment.plots import STYLE, label, save, unit
from tritonbn.experiment.protocol import PROTOCOLS

STANDARD_NAMES = {"PM2.5": "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air"}
"""CF standard names by quantity."""


def times_of(city: CityData, wanted: Sequence[str]) -> IntArray:
    """Find times of a city.

    Parameters
    ----------
    city : CityData
    wanted : sequence of str
        ISO 8601.

    Returns
    -------
    array of int64
        Their indices, in the order of time.

    Raises
    ------
    DataError
        If the city has not one of them; the message names it.
    """
    return np.unique(np.array([time_index(city, text) for text in wanted], np.int64))


def interpolate(runs: Sequence[TrainedRun], city: CityData, times: IntArray) -> xr.Dataset:
    """Estimate the whole city from the readings of all stations that the runs know.

    Parameters
    ----------
    runs : sequence of TrainedRun
        From `load_run`. Of several, such as those of all seeds, the mean is taken.
    city : CityData
        The readings.
    times : array of int64, shape (T,)
        Indices of `city.times`.

    Returns
    -------
    Dataset
        The variable ``field`` over time, latitude and longitude, in the unit of the readings, with
        the attributes of the CF conventions 1.11; its cells are named by their middles.

    Raises
    ------
    DataError
        If there is no reading to estimate one of the times from, or the runs know different
        stations, or are of different protocols.
    """
    protocols = sorted({run.config.protocol for run in runs})
    if len(protocols) > 1:
        raise DataError(f"runs of {' and '.join(protocols)} make no field together")
    known, *others = (Fold.of(city, run.config).windows.city.stations["station"] for run in runs)
    if any(not other.equals(known) for other in others):
        raise DataError(
            "runs that know different stations make no field together; choose several seeds of one "
            "fold"
        )
    latitudes, longitudes = cell_axes(city)
    values = np.mean([predict_fields(run, city, times, hidden=None) for run in runs], axis=0)
    attributes = {
        "long_name": f"{city.quantity}, interpolated",
        "units": city.unit.replace("ug/m3", "ug m-3"),
    }
    if city.quantity in STANDARD_NAMES:
        attributes["standard_name"] = STANDARD_NAMES[city.quantity]
    axes = {
        "time": (
            "time",
            city.times[times].astype("datetime64[ns]"),
            {"standard_name": "time", "comment": "as the data has it, whatever its time zone"},
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
        axes,
        {
            "Conventions": "CF-1.11",
            "title": f"{label(city)}, interpolated by "
            + ", ".join(_name(run.config) for run in runs),
            "source": f"tritonbn {version('tritonbn')}",
            "stations": "; ".join(known),
        },
    )


def _name(config: RunConfig) -> str:
    fold = f" (fold {config.fold})" if PROTOCOLS[config.protocol].folds > 1 else ""
    return config.name + fold


def write_field(
    dataset: xr.Dataset, city: CityData, absent: npt.NDArray[np.bool_], directory: Path
) -> list[Path]:
    """Write a field as ``field.nc``, ``field.csv`` and a PNG for each time.

    Parameters
    ----------
    dataset : Dataset
        From `interpolate`.
    city : CityData
        The readings, drawn upon it.
    absent : array of bool, shape (S,)
        The stations that the runs know nothing of.
    directory : Path
        Is made if it is not there.

    Returns
    -------
    list of Path
        What was written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    table = dataset["field"].to_dataframe().reset_index()
    encoding: dict[str, dict[str, Any]] = {
        "time": {"units": "seconds since 1970-01-01"},
        "latitude": {"_FillValue": None},
        "longitude": {"_FillValue": None},
    }
    with atomic_path(directory / "field.nc") as path:
        dataset.to_netcdf(path, engine="scipy", encoding=encoding)
    with atomic_path(directory / "field.csv") as path:
        table.to_csv(path, index=False, float_format="%.6g")
    written = [directory / "field.nc", directory / "field.csv"]
    for stamp, values in zip(dataset["time"].values, dataset["field"].values, strict=True):
        time = int(np.flatnonzero(city.times == stamp)[0])
        written.append(directory / f"field_{pd.Timestamp(stamp):%Y%m%dT%H%M%S}.png")
        save(draw_field(city, time, values, absent), written[-1])
    return written


def draw_field(
    city: CityData, time: int, field: npt.NDArray[np.float32], absent: npt.NDArray[np.bool_]
) -> Figure:
    """Draw the field of one time, (H, W), and the readings upon it, on one scale of colours.

    Of the stations that are absent, (S,), the run knows nothing.
    """
    highest = np.nanmax([np.nanmax(city.values[time, ~absent]), field.max()])
    scale = Normalize(0, float(highest))
    place = CityMap(city, time, scale, absent)
    when = np.datetime_as_string(city.times[time], "m").replace("T", " ")
    with rc_context(STYLE):
        figure = Figure((6, 1.2 + 4.4 * place.height()), layout="constrained")
        figure.suptitle(f"{label(city)}, {when}")
        ax = figure.subplots()
        place.draw(ax, field)
        ax.set(xlabel="longitude (°)", ylabel="latitude (°)")
        figure.colorbar(
            ScalarMappable(scale, COLORMAP), ax=ax, label=f"{city.quantity} ({unit(city)})"
        )
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure
