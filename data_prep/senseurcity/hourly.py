"""SensEURCity's hourly means: the real Antwerp in one small file of R."""

import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from data_prep.city import CityData, DataError
from data_prep.grid import cells_of, shared_cells
from data_prep.senseurcity.device import canonical_site
from data_prep.senseurcity.download import download_hourly
from data_prep.senseurcity.sites import antwerp_sites

RANGE = 500.0
"""Up to which concentration the PMS5003 is specified, in ug/m3."""

COLUMN = "PMS_PM25"
_COLUMNS = ("date", "Location.ID", COLUMN)


def read_hourly(path: Path | None = None, grid: tuple[int, int] = (32, 32)) -> CityData:
    """Read `LCS_df_all.Rda`, the hourly means of the Antwerp devices as INERIS published them.

    They are means of SensEURCity's one-minute readings, PM2.5 of the PMS5003 (`5325CAT` of the
    archive, not the `OPCN3PM25` that `read_archive` takes by default).

    A reading is kept when it is at least 0 and below `RANGE`: two devices report up to 3,333
    ug/m3 for days. Units that stand together are averaged, over those that have a reading.
    The times are the hours in which all sites run: from the latest first row over the sites to the
    earliest last one, which itself is left out, since it is the mean of a single minute.

    Parameters
    ----------
    path : Path, optional
        The file. Needs the package `rdata`: ``pip install 'tritonbn[hourly]'``. Default: what
        `download_hourly` returns.
    grid : (int, int)
        Height and width of the grid in cells; it spans the stations. Default ``(32, 32)``.

    Returns
    -------
    CityData
        Stations sorted by name, with the coordinates of `antwerp_sites`; times in UTC, an hour
        apart, each the beginning of its hour. `report` counts what was dropped and why.

    Raises
    ------
    DataError
        If `rdata` is not installed, which is found before anything is downloaded, `path` is no such
        file, or nothing is left to read.

    Examples
    --------
    >>> city = read_hourly()  # doctest: +SKIP
    >>> city.values.shape  # doctest: +SKIP
    (5559, 31)
    """
    _require_rdata()
    path = download_hourly() if path is None else Path(path)
    readings = _read_table(path)
    sites = antwerp_sites().rename(columns={"site": "station"})
    sites = sites.sort_values("station", ignore_index=True)

    located = readings["station"].isin(sites["station"])
    present = np.isfinite(readings["value"])
    within = readings["value"].between(0, RANGE, inclusive="left")
    rows_of_sites = readings[located].groupby("station")["time"]
    start, end = rows_of_sites.min().max(), rows_of_sites.max().min()
    inside = readings["time"].between(start, end, inclusive="left")
    kept = located & within & inside
    if not kept.any():
        raise DataError(f"{path} has no reading of an hour in which all its Antwerp sites run")

    means = readings[kept].groupby(["time", "station"])["value"].mean().unstack()
    hours = pd.date_range(start, end, freq="h", inclusive="left")
    stations = sites[sites["station"].isin(means.columns)].reset_index(drop=True)
    stations["cell"] = cells_of(stations["latitude"], stations["longitude"], grid)
    values = means.reindex(index=hours, columns=stations["station"]).to_numpy(np.float32)
    return CityData(
        name="Antwerp",
        times=hours.to_numpy("datetime64[s]"),
        stations=stations,
        values=values,
        grid=grid,
        report={
            "source": path.name,
            "column": COLUMN,
            "rows": len(readings),
            "readings": int(np.isfinite(values).sum()),
            "dropped": {
                "missing_value": int((~present).sum()),
                "out_of_range": int((present & ~within).sum()),
                "unknown_location": int((within & ~located).sum()),
                "outside_window": int((within & located & ~inside).sum()),
            },
            "averaged_over_units": int(kept.sum() - np.isfinite(values).sum()),
            "unknown_locations": readings["station"][~located]
            .replace("", "(blank)")
            .value_counts()
            .to_dict(),
            "sites_without_readings": sorted({*sites["station"]}.difference(means.columns)),
            "shared_cells": shared_cells(stations, grid),
        },
    )


def _require_rdata() -> None:
    if find_spec("rdata") is None:
        raise DataError(
            "to read the hourly means the package rdata is needed: pip install 'tritonbn[hourly]'"
        )


def _read_table(path: Path) -> pd.DataFrame:
    """Read the columns `time` (naive UTC, full hours), `station` (str) and `value` (float64)."""
    import rdata

    if not path.is_file():
        raise DataError(f"{path} does not exist; expected the R file with the hourly means")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # classes unknown to rdata: POSIXct and data.table
            objects = rdata.read_rda(path)
    except Exception as error:  # whatever a parser may stumble over in bytes that are no R file
        raise DataError(f"{path} cannot be read as an R file: {error!r}") from error
    tables = [*objects.values()] if isinstance(objects, dict) else []
    if len(tables) != 1 or not isinstance(tables[0], pd.DataFrame):
        raise DataError(f"{path} must hold one table, as save() of R writes it")
    (table,) = tables
    missing = [column for column in _COLUMNS if column not in table]
    if missing:
        raise DataError(f"{path} lacks the columns {missing}; it has {[*table]}")
    try:
        seconds, value = (
            table[column].to_numpy(np.float64, na_value=np.nan) for column in ("date", COLUMN)
        )
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: date and {COLUMN} must hold numbers: {error}") from error
    undated = int((~np.isfinite(seconds)).sum())
    if undated:
        raise DataError(f"{path} is damaged: {undated} rows have no date")
    return pd.DataFrame(
        {
            "time": seconds.astype("datetime64[s]").astype("datetime64[h]").astype("datetime64[s]"),
            "station": table["Location.ID"].fillna("").map(canonical_site).to_numpy(),
            "value": value,
        }
    )
