"""Files in the layout of the pre-generated hourly files of the US EPA Air Quality System."""

import zipfile
from datetime import datetime, timedelta
from pathlib import Path

HEADER = (
    '"State Code","County Code","Site Num","Parameter Code","POC","Latitude","Longitude","Datum",'
    '"Parameter Name","Date Local","Time Local","Date GMT","Time GMT","Sample Measurement",'
    '"Units of Measure","MDL","Uncertainty","Qualifier","Method Type","Method Code","Method Name",'
    '"State Name","County Name","Date of Last Change"'
)
SITES = {
    "1103": (34.06659, -118.22688),
    "1201": (34.19925, -118.53276),
    "4004": (33.79236, -118.17533),
}
UNIT = "Micrograms/cubic meter (LC)"
HOURS = 480


def row(
    site: str,
    hour: int,
    value: object,
    *,
    poc: int = 1,
    parameter: str = "88101",
    unit: str = UNIT,
    qualifier: str = "",
) -> str:
    """Return a row of an hour from 2023-01-01 on, in the standard time of Los Angeles."""
    latitude, longitude = SITES[site]
    local = datetime(2023, 1, 1) + timedelta(hours=hour)
    times = ",".join(f'"{time:%Y-%m-%d}","{time:%H:%M}"' for time in (local, local + _BEHIND))
    return (
        f'"06","037","{site}","{parameter}",{poc},{latitude},{longitude},"WGS84",'
        f'"PM2.5 - Local Conditions",{times},{value},"{unit}",5,"","{qualifier}","FEM","170",'
        '"Met One BAM-1020 Mass Monitor w/VSCC - Beta Attenuation","California","Los Angeles",'
        '"2023-05-19"'
    )


_BEHIND = timedelta(hours=8)


def write_rows(folder: Path, rows: list[str], name: str = "hourly_88101_2023") -> Path:
    """Write a zip archive with one CSV file."""
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{name}.csv", "\n".join([HEADER, *rows, ""]))
    return path


def write_year(folder: Path) -> Path:
    """Write the file of three sites, with readings that differ by site and hour."""
    rows = [
        row(site, hour, number + hour / 4)
        for number, site in enumerate(SITES)
        for hour in range(HOURS)
    ]
    return write_rows(folder, rows)
