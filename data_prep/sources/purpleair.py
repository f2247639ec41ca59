"""PurpleAir: the history of its API, and the files of its Data Download Tool."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.city import DataError
from data_prep.dropped import Dropped, count_dropped
from data_prep.sources.files import File
from data_prep.sources.importer import Importer, Rows
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
    >>> import numpy as np
    >>> from data_prep.sources.purpleair import epa_correction
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
    places = _read_sensors(File(Path(sensors)))
    corrected = correction == "epa"
    needed = ["time_stamp", *(("humidity", *CHANNELS) if corrected else ())]
    optional = ["sensor_index", *(() if corrected else CHANNELS)]
    for file in files:
        if file.path.resolve() == Path(sensors).resolve():
            continue  # the table of the sensors may be in the folder of the readings
        for table in read_csv(file, needed, optional=optional):
            sensor = _sensors_of(table, file)
            place = places.reindex(sensor).reset_index(names="station")
            inside = place.pop("inside").eq(True).to_numpy(bool)
            channels = _channels(table, file)
            value = channels.mean(axis=1).to_numpy(np.float64)
            reasons = {"unknown_sensor": ~sensor.isin(places.index), "indoor": inside}
            if corrected:
                humidity = numbers(table["humidity"], file)
                reasons |= {
                    "one_channel": channels.isna().sum(axis=1).to_numpy() == 1,
                    "channels_disagree": channels_disagree(*channels.to_numpy().T),
                    "no_humidity": np.isnan(humidity) & ~np.isnan(value),
                }
                value = epa_correction(value, humidity)
            right = count_dropped(dropped, reasons)
            yield place.assign(time=_times(table["time_stamp"], file), value=value)[right]


def _read_sensors(file: File) -> pd.DataFrame:
    """Return where each sensor is, whether it is inside, and its name, if the table has names."""
    columns = ("sensor_index", "latitude", "longitude")
    table = pd.concat(read_csv(file, columns, optional=("name", "location_type")))
    sensors = table["sensor_index"].str.strip()
    if (twice := sensors[sensors.duplicated()]).size:
        raise DataError(f"{file} must have each sensor once, got {twice.iloc[0]} twice")
    kind = table.get("location_type", pd.Series("", table.index))
    return (
        table.filter(["name"])
        .assign(
            latitude=numbers(table["latitude"], file),
            longitude=numbers(table["longitude"], file),
            inside=kind.str.strip() == INSIDE,
        )
        .set_index(sensors)
    )


def _sensors_of(table: pd.DataFrame, file: File) -> "pd.Index[str]":
    """Return the column `sensor_index`, or what the name of the file says."""
    if "sensor_index" in table:
        return pd.Index(table["sensor_index"].str.strip())
    if match := _TOOL_NAME.match(file.name):
        return pd.Index([match[1]] * len(table))
    raise DataError(
        f"{file} must have the column sensor_index, or a name such as "
        "'12345 2022-05-02 2022-05-31 10-Minute Average.csv'"
    )


def _channels(table: pd.DataFrame, file: File) -> pd.DataFrame:
    """Return the readings of the channels that the file has."""
    present = [name for name in CHANNELS if name in table]
    if not present:
        raise DataError(f"{file} must have the columns {' and '.join(CHANNELS)}, or one of them")
    return pd.DataFrame({name: numbers(table[name], file) for name in present})


def _times(cells: "pd.Series[str]", file: File) -> npt.NDArray[np.int64]:
    plain = cells.str.strip()
    if plain.str.fullmatch(r"\d{9,10}").all():  # seconds since 1970
        return plain.to_numpy(np.int64)
    return seconds(cells, file)


PURPLEAIR = Importer(
    help="history of PurpleAir sensors (CSV of its API or of its Data Download Tool)",
    licence="PurpleAir's terms of service and data license, www2.purpleair.com/pages/license: "
    "credit PurpleAir; they limit whom you may pass the data on to",
    patterns=("*.csv",),
    rows=_rows,
)
"""Stations are sensors that stand outside. The option `sensors` is the table of their positions,
with the columns `sensor_index`, `latitude` and `longitude`, and, if known, `name` and
`location_type`. A reading is the mean of the channels A and B of ``pm2.5_cf_1``, or the only
channel that has a value. With ``correction="epa"`` it is corrected (`epa_correction`), and needs
both channels, which must agree (`channels_disagree`), and the humidity."""
