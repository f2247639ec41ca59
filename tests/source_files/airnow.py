"""Files in the layout of AirNow."""

from datetime import datetime, timedelta
from pathlib import Path

SITES = {
    "060371103": ("Los Angeles - N. Mai", 34.06653, -118.226723),
    "060371201": ("Reseda", 34.19919, -118.532761),
    "060374004": ("Long Beach - Hudson ñ", 33.79236, -118.175333),
}
FIRST = "060371103"
START = datetime(2022, 5, 2)
V1, V2 = "monitoring_site_locations.dat", "Monitoring_Site_Locations_V2.dat"
V2_HEADER = (
    "StationID|AQSID|FullAQSID|Parameter|MonitorType|SiteCode|SiteName|Status|AgencyID|AgencyName|"
    "EPARegion|Latitude|Longitude|Elevation|GMTOffset|CountryFIPS|CBSA_ID|CBSA_Name|StateAQSCode|"
    "StateAbbreviation|CountyAQSCode|CountyName"
)


def row(
    hour: int,
    value: object,
    site: str = FIRST,
    *,
    name: str = "Reseda",
    parameter: str = "PM2.5",
    unit: str = "UG/M3",
) -> str:
    """Return a row that is valid some hours after the start."""
    time = START + timedelta(hours=hour)
    agency = "South Coast AQMD"
    return f"{time:%m/%d/%y|%H:%M}|{site}|{name}|-8|{parameter}|{unit}|{value}|{agency}"


def write_rows(folder: Path, rows: list[str], hour: int = 0) -> Path:
    """Write the file of an hour."""
    path = folder / f"HourlyData_{START + timedelta(hours=hour):%Y%m%d%H}.dat"
    path.write_bytes("\r\n".join([*rows, ""]).encode("latin-1"))
    return path


def site_row(site: str, parameter: str = "PM2.5") -> str:
    """Return a row of the older table of sites."""
    name, latitude, longitude = SITES[site]
    return (
        f"{site}|{parameter}|{site[-4:]}|{name}|Active|CA2|South Coast AQMD|R9|{latitude:.6f}|"
        f"{longitude:.6f}|92.000|-8.00|US||LOS ANGELES|31080| Los Angeles-Long Beach, CA |06|CA|"
        "06037|LOS ANGELES||"
    )


def site_row_v2(site: str, parameter: str = "PM2.5") -> str:
    """Return a row of the newer table of sites."""
    name, latitude, longitude = SITES[site]
    return (
        f"{site}|{site}|840{site}|{parameter}|Permanent|{site[-4:]}|{name}|Active|CA2|"
        f"South Coast AQMD|R9|{latitude}|{longitude}|92.0|-8.00|US|31080|Los Angeles|06|CA|037|"
        "LOS ANGELES"
    )


def write_sites(folder: Path, rows: list[str], name: str = V1) -> Path:
    """Write a table of sites."""
    path = folder / name
    path.write_bytes("\r\n".join([*rows, ""]).encode("latin-1"))
    return path


def write_archive(root: Path, hours: int) -> Path:
    """Write the files of three sites, with readings that differ by site and hour."""
    write_sites(root, [site_row(site, kind) for site in SITES for kind in ("OZONE", "PM2.5")])
    for hour in range(hours):
        rows = [
            row(hour, number + hour / 4, site, name=SITES[site][0])
            for number, site in enumerate(SITES)
        ]
        write_rows(root, [*rows, row(hour, 41, parameter="OZONE", unit="PPB")], hour)
    return root
