"""`CityData` as an `xarray.Dataset`, and back."""

import json
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import xarray as xr

from data_prep.city import CityData, DataError

_STANDARD_NAMES = {
    quantity: f"mass_concentration_of_{name}_ambient_aerosol_particles_in_air"
    for quantity, name in (("PM1", "pm1"), ("PM2.5", "pm2p5"), ("PM10", "pm10"))
}
"""The names of quantities in the CF conventions."""

_UNIT, _CF_UNIT = "ug/m3", "ug m-3"

_COORDINATES = {
    "latitude": {"standard_name": "latitude", "units": "degrees_north"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east"},
    "cell": {"long_name": "cell of the grid: row * width + column, row 0 in the south"},
}


def to_dataset(city: CityData) -> xr.Dataset:
    """Return what `CityData.to_xarray` describes."""
    if taken := {"time", "reading"} & {*city.stations}:
        raise DataError(
            f"no column of the stations may be called {taken.pop()!r}, the name of a variable here"
        )
    reading = {"long_name": city.quantity, **cf_attributes(city)}
    columns = {
        column: ("station", city.stations[column].to_numpy(), _COORDINATES.get(column, {}))
        for column in map(str, city.stations)
    }
    facts: dict[str, Any] = {
        "Conventions": "CF-1.11",
        "name": city.name,
        "grid": [*city.grid],
        "synthetic": int(city.synthetic),  # NetCDF has no booleans
        # NetCDF changes the order of the columns and the size of integers.
        "station_columns": json.dumps(city.stations.dtypes.astype(str).to_dict()),
        "report": json.dumps(city.report),
    }
    if city.interval is not None:
        facts["interval_seconds"] = int(city.interval / np.timedelta64(1, "s"))
    return xr.Dataset(
        {"reading": (("time", "station"), city.values, reading)},
        {"time": ("time", city.times, {"standard_name": "time"}), **columns},
        facts,
    )


def cf_attributes(city: CityData) -> dict[str, str]:
    """Return the attributes of the CF conventions that state the unit and the quantity."""
    attributes = {"units": city.unit.replace(_UNIT, _CF_UNIT)}
    if city.quantity in _STANDARD_NAMES:
        attributes["standard_name"] = _STANDARD_NAMES[city.quantity]
    return attributes


def from_dataset(dataset: xr.Dataset) -> CityData:
    """Return what `CityData.from_xarray` describes."""
    try:
        facts = dataset.attrs
        reading = dataset["reading"].transpose("time", "station")
        interval = facts.get("interval_seconds")
        return CityData(
            name=facts["name"],
            times=_seconds(dataset["time"]),
            stations=_stations(dataset, json.loads(facts["station_columns"])),
            values=reading.to_numpy(),
            grid=facts["grid"],
            quantity=reading.attrs["long_name"],
            unit=reading.attrs["units"].replace(_CF_UNIT, _UNIT),
            synthetic=bool(facts["synthetic"]),
            report=json.loads(facts["report"]),
            interval=None if interval is None else np.timedelta64(int(interval), "s"),
        )
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"the dataset was not made by CityData.to_xarray: {error}") from error


def _seconds(time: xr.DataArray) -> npt.NDArray[np.datetime64]:
    with warnings.catch_warnings():  # of a text that NumPy takes for a time zone
        warnings.simplefilter("error", UserWarning)
        try:
            return time.to_numpy().astype("datetime64[s]")
        except UserWarning as error:
            raise ValueError(f"time must have no time zone: {error}") from error


def _stations(dataset: xr.Dataset, types: dict[str, str]) -> pd.DataFrame:
    """Return the table of stations; NetCDF stores a missing text as an empty one."""
    table = pd.DataFrame({column: dataset[column].to_numpy() for column in types})
    text = [column for column, dtype in types.items() if dtype in ("str", "object")]
    table[text] = table[text].replace("", np.nan)
    return table.astype({column: types[column] for column in types if column not in text})
