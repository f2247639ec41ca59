"""Hourly means of the SensEURCity readings in Antwerp, from a small R file."""

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
"""Upper limit of the measuring range of the PMS5003 in ug/m3."""

COLUMN = "PMS_PM25"
_COLUMNS = ("date", "Location.ID", COLUMN)


def read_hourly(
    path: str | Path | None = None, grid: tuple[int, int] = (32, 32), progress: bool = True
) -> CityData:
    """Read `LCS_df_all.Rda`, the hourly means of the devices in Antwerp, published by INERIS.

    They are means of the one-minute SensEURCity readings of PM2.5 by the PMS5003 (column `5325CAT`
    of the archive; `read_archive` reads `OPCN3PM25` by default).

    A reading is valid if it is at least 0 and below `RANGE`, since two devices report up to 3,333
    ug/m3 for days. The valid readings of units at the same site are averaged. The hours are those
    in which devices run at all sites: from the latest first row over the sites to the earliest last
    row. The last hour is left out, since it is the mean of a single minute.

    Parameters
    ----------
    path : str or Path, optional
        The file. Default: it is downloaded. Reading it needs the package `rdata`:
        ``pip install 'tritonbn[hourly]'``.
    grid : (int, int)
        Height and width in cells of the grid, which spans the stations. Default ``(32, 32)``.
    progress : bool
        Whether to show a progress bar of the download on stderr. Default True.

    Returns
    -------
    CityData
        Stations are sorted by name and have the coordinates of `antwerp_sites`. Times are in UTC,
        an hour apart, each the beginning of its hour. `report` counts the dropped readings.

    Raises
    ------
    DataError
        If `rdata` is not installed (checked before the download), `path` is not such a file, or no
        reading remains.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import pandas as pd
    >>> import rdata
    >>> from data_prep import read_hourly
    >>> hours = pd.date_range("2020-07-01T10:00", periods=4, freq="h")
    >>> table = pd.DataFrame({"date": hours.to_numpy("datetime64[s]").astype(float)})
    >>> table["PMS_PM25"] = [5.0, 6.0, 3333.0, 7.0]
    >>> table["Location.ID"] = pd.Series(["ANT_REF_R803"] * 4, dtype=object)
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "LCS_df_all.Rda")
    ...     rdata.write_rda(path, {"LCS_df_all1": table})
    ...     city = read_hourly(path)
    >>> city.values
    array([[ 5.],
           [ 6.],
           [nan]], dtype=float32)
    """
    _require_rdata()
    path = download_hourly(progress=progress) if path is None else Path(path)
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
        raise DataError(
            f"{path} has no valid reading in an hour in which devices run at all sites in Antwerp"
        )

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
            "reading the hourly means needs the package rdata: pip install 'tritonbn[hourly]'"
        )


def _read_table(path: Path) -> pd.DataFrame:
    """Read the columns `time` (UTC, full hours), `station` (str) and `value` (float64)."""
    import rdata

    if not path.is_file():
        raise DataError(f"{path} does not exist; expected the R file with the hourly means")
    try:
        with warnings.catch_warnings():
            # rdata does not know the classes POSIXct and data.table
            warnings.simplefilter("ignore")
            objects = rdata.read_rda(path)
    # the parser raises errors of many types if the bytes are not an R file
    except Exception as error:
        raise DataError(f"{path} cannot be read as an R file: {error!r}") from error
    tables = [*objects.values()] if isinstance(objects, dict) else []
    if len(tables) != 1 or not isinstance(tables[0], pd.DataFrame):
        raise DataError(f"{path} must contain exactly one table, as written by save() in R")
    (table,) = tables
    missing = [column for column in _COLUMNS if column not in table]
    if missing:
        raise DataError(f"{path} must have the columns {missing}, got {[*table]}")
    try:
        seconds, value = (
            table[column].to_numpy(np.float64, na_value=np.nan) for column in ("date", COLUMN)
        )
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{path}: the columns date and {COLUMN} must contain numbers: {error}"
        ) from error
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
