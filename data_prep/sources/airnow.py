"""Hourly files of AirNow, ``HourlyData_YYYYMMDDHH.dat``."""

from collections.abc import Iterator
from datetime import UTC
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data_prep.city import DataError
from data_prep.dropped import Dropped, count_dropped
from data_prep.sources.files import File
from data_prep.sources.importer import Importer, Rows
from data_prep.sources.table import numbers, read_csv, seconds
from data_prep.sources.units import convert, to_ug_m3

SITES = ("Monitoring_Site_Locations_V2.dat", "monitoring_site_locations.dat")
"""The names of the tables of sites, the newer one with a header first."""

_FORMAT: dict[str, Any] = {"delimiter": "|", "encoding": "latin-1", "quoting": False}
_COLUMNS = (
    *("valid date", "valid time", "AQSID", "site name", "GMT offset"),
    *("parameter name", "reporting units", "value", "data source"),
)
_IDS = ("AQSID", "StationID", "FullAQSID")
_PLACE = {"Latitude": "latitude", "Longitude": "longitude"}
_SITE_COLUMNS = (
    *("AQSID", "Parameter", "SiteCode", "SiteName", "Status", "AgencyID", "AgencyName"),
    *("EPARegion", "Latitude", "Longitude", "Elevation", "GMTOffset", "CountryCode"),
    *("CMSACode", "CMSAName", "MSACode", "MSAName", "StateCode", "StateName"),
    *("CountyCode", "CountyName", "CityCode", "CityName"),
)


def _rows(files: Iterator[File], dropped: Dropped, *, sites: str | Path | None = None) -> Rows:
    places_of = lru_cache(maxsize=1)(_read_sites)
    for file in files:
        places = places_of(_sites_near(file) if sites is None else Path(sites))
        for table in read_csv(file, _COLUMNS, names=_COLUMNS, **_FORMAT):
            factor = to_ug_m3(table["reporting units"])
            right = count_dropped(
                dropped,
                {
                    "other_quantity": table["parameter name"].str.strip() != "PM2.5",
                    "other_unit": np.isnan(factor),
                },
            )
            table, factor = table[right], factor[right]
            time = (table["valid date"] + " " + table["valid time"]).rename("valid date and time")
            yield places.reindex(table["AQSID"].str.strip()).assign(
                station=table["AQSID"].to_numpy(),
                site_name=table["site name"].to_numpy(),
                time=seconds(time, file, format="%m/%d/%y %H:%M", zone=UTC),
                value=convert(numbers(table["value"], file), factor),
            )


def _sites_near(file: File) -> Path:
    """Return the table of sites in the folder of a file, or in the next one above that has one."""
    for folder in file.path.parents:
        for name in SITES:
            if (folder / name).is_file():
                return folder / name
    raise DataError(
        f"{file} has no positions: put {SITES[0]} or {SITES[1]} into its folder, or give the path "
        "with sites=..., on the command line --sites"
    )


def _read_sites(path: Path) -> pd.DataFrame:
    """Return the first position of each site, by all its names."""
    file = File(path)
    with file.open() as stream:
        has_header = b"|AQSID|" in stream.readline()
    tables = []
    for table in read_csv(
        file,
        ["AQSID", *_PLACE],
        optional=_IDS[1:],
        **_FORMAT,
        names=None if has_header else _SITE_COLUMNS,
    ):
        places = pd.DataFrame({_PLACE[name]: numbers(table[name], file) for name in _PLACE})
        known = places.notna().all(axis=1) & (places != 0).any(axis=1)
        tables += [
            places.set_index(table[name].str.strip())[known.to_numpy()]
            for name in _IDS
            if name in table
        ]
    sites = pd.concat(tables)
    return sites[~sites.index.duplicated()]


AIRNOW = Importer(
    help="hourly files of AirNow (HourlyData_YYYYMMDDHH.dat)",
    licence="preliminary data under the AirNow Data Exchange Guidelines, see docs.airnowapi.org; "
    "credit the agencies that measure and the US EPA AirNow program",
    patterns=("HourlyData_*.dat",),
    rows=_rows,
)
"""Stations are sites; their names in the column `site_name`. Times mark the beginning of the hour.
Positions are those of the option `sites`; by default of the table of sites in the folder of a file,
or in the next one above that has one."""
