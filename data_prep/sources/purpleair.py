"""PurpleAir: the history of its API, and the files of its Data Download Tool."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.city import DataError
from data_prep.sources.files import File
from data_prep.sources.importer import Dropped, Importer, Rows
from data_prep.sources.table import numbers, read_csv, seconds

Values = npt.NDArray[np.float64]

INSIDE = "1"
"""The `location_type` of a sensor in a building."""

CHANNELS = ("pm2.5_cf_1_a", "pm2.5_cf_1_b")

_TOOL_NAME = re.compile(r"(\d+) \d{4}-\d\d-\d\d \d{4}-\d\d-\d\d \d+-Minute Average")


def epa_correction(pm25: Values, humidity: Values) -> Values:
    """Correct readings as the US EPA does, for the whole range of concentrations.

    Parameters
    ----------
    pm25 : array of float64
        Mean of the channels A and B of ``pm2.5_cf_1``, in ug/m3.
    humidity : array of float64
        Relative humidity that the sensor measures, in percent.

    Returns
    -------
    array of float64
        In ug/m3. Clean and humid air can give slightly negative values.

    References
    ----------
    Barkjohn, Holder, Frederick and Clements (2022): Correction and Accuracy of PurpleAir PM2.5
    Measurements for Extreme Wildfire Smoke. Sensors 22, 9669, doi:10.3390/s22249669.

    Examples
    --------
    >>> epa_correction(np.array([20.0, 1000.0]), np.array([50.0, 50.0])).round(2)
    array([ 11.92, 816.44])
    """
    usual = 0.524 * pm25 - 0.0862 * humidity + 5.75
    smoke = 4.21e-4 * pm25**2 + 0.392 * pm25 + 3.44
    share = 0.0244 * pm25 - 13.9
    between = share * smoke + (1 - share) * usual
    return np.select([pm25 < 570, pm25 < 611], [usual, between], smoke)


def channels_disagree(a: Values, b: Values) -> npt.NDArray[np.bool_]:
    """Return where the channels differ by at least 5 ug/m3 and by 61 % of their mean.

    References
    ----------
    Barkjohn, Gantt and Clements (2021), doi:10.5194/amt-14-4617-2021: 61 % are two standard
    deviations of the differences.
    """
    difference = np.abs(a - b)
    return (difference >= 5) & (difference >= 0.61 * (a + b) / 2)


def _rows(
    files: Iterator[File], dropped: Dropped, *, sensors: Path, correction: str | None = None
) -> Rows:
    if correction not in (None, "epa"):
        raise DataError(f"correction must be None or 'epa', got {correction!r}")
    places = _read_sensors(Path(sensors))
    needed = ("time_stamp",) if correction is None else ("time_stamp", "humidity", *CHANNELS)
    for file in files:
        if file.path.resolve() == Path(sensors).resolve():
            continue  # the table of the sensors may be in the folder of the readings
        for table in read_csv(file, needed, optional=("sensor_index", *CHANNELS)):
            table = _with_sensor(table, file)
            place = places.reindex(table["sensor_index"])
            unknown, inside = place["latitude"].isna(), place["inside"].eq(True)
            dropped["unknown_sensor"] += int(unknown.sum())
            dropped["inside"] += int(inside.sum())
            ours = ~(unknown | inside).to_numpy(bool)
            table, place = table[ours], place[ours]
            channels = np.array([numbers(table[name], file) for name in CHANNELS if name in table])
            value = _mean(channels)
            right = np.ones(len(table), bool)
            if correction == "epa":
                humidity = numbers(table["humidity"], file)
                for reason, wrong in {
                    "one_channel": np.isnan(channels).sum(axis=0) == 1,
                    "channels_disagree": channels_disagree(*channels),
                    "no_humidity": np.isnan(humidity) & ~np.isnan(value),
                }.items():
                    dropped[reason] += int((right & wrong).sum())
                    right &= ~wrong
                value = epa_correction(value, humidity)
            time = _times(table["time_stamp"], file)
            yield place.reset_index(names="station").assign(time=time, value=value)[right].drop(
                columns="inside"
            )


def _read_sensors(path: Path) -> pd.DataFrame:
    """Return the latitude, the longitude, whether it is inside and the name by sensor."""
    file = File(path)
    columns = ("sensor_index", "latitude", "longitude")
    table = pd.concat(read_csv(file, columns, optional=("name", "location_type")))
    index = table["sensor_index"].str.strip()
    if index.duplicated().any():
        raise DataError(f"{file} has the sensor {index[index.duplicated()].iloc[0]} twice")
    kind = table.get("location_type", pd.Series("", table.index))
    places = pd.DataFrame(
        {
            "latitude": numbers(table["latitude"], file),
            "longitude": numbers(table["longitude"], file),
            "inside": kind.str.strip().eq(INSIDE).to_numpy(),
        },
        index=pd.Index(index),
    )
    return places.assign(name=table["name"].to_numpy()) if "name" in table else places


def _with_sensor(table: pd.DataFrame, file: File) -> pd.DataFrame:
    """Return the table with the column `sensor_index`, if need be from the name of the file."""
    if not any(name in table for name in CHANNELS):
        raise DataError(f"{file} must have the columns {CHANNELS[0]} and {CHANNELS[1]}, or one")
    if "sensor_index" in table:
        return table.assign(sensor_index=table["sensor_index"].str.strip())
    if match := _TOOL_NAME.match(file.name):
        return table.assign(sensor_index=match[1])
    raise DataError(
        f"{file} must have the column sensor_index, or a name such as "
        "'12345 2022-05-02 2022-05-31 10-Minute Average.csv'"
    )


def _mean(channels: Values) -> Values:
    """Return the mean of the channels that have a value."""
    number = (~np.isnan(channels)).sum(axis=0)
    total = np.nansum(channels, axis=0)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def _times(cells: "pd.Series[str]", file: File) -> npt.NDArray[np.int64]:
    plain = cells.str.strip()
    if plain.str.fullmatch(r"\d{9,10}").all():  # seconds since 1970
        return plain.to_numpy(np.int64)
    return seconds(cells, file)


PURPLEAIR = Importer(
    help="history of PurpleAir sensors (CSV of its API or of its Data Download Tool)",
    licence="PurpleAir's terms of service and data license, www2.purpleair.com/pages/license: "
    "credit PurpleAir, and do not pass the data on",
    patterns=("*.csv",),
    rows=_rows,
)
"""Stations are sensors that stand outside. The option `sensors` is the table of their positions,
with the columns `sensor_index`, `latitude` and `longitude`, and, if known, `name` and
`location_type`. A reading is the mean of the channels A and B of ``pm2.5_cf_1``, or the only
channel that has a value. With ``correction="epa"`` it is corrected (`epa_correction`); then it needs
both channels, which must agree (`channels_disagree`), and the humidity."""
