"""Files in the layout of the OpenAQ archive."""

import gzip
from pathlib import Path

HEADER = "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value"
SITES = {
    2178: ("Del Norte", 35.1353, -106.584702),
    2179: ("South Valley", 35.0170, -106.657304),
    2180: ("Foothills", 35.0539, -106.479403),
}
HOURS = 480


def row(site: int, hour: int, value: object, parameter: str = "pm25", units: str = "µg/m³") -> str:
    """Return a row of an hour from 2022-05-02 on, in the local time of New Mexico."""
    name, latitude, longitude = SITES[site]
    time = f"2022-05-{2 + hour // 24:02}T{hour % 24:02}:00:00-06:00"
    place = f"{name}-{site},{time},{latitude},{longitude}"
    return f"{site},{site + 1000},{place},{parameter},{units},{value}"


def write_rows(root: Path, site: int, day: str, rows: list[str], header: str = HEADER) -> Path:
    """Write the file of a location and a day, such as 20220502, at its place in the archive."""
    folder = root / f"locationid={site}" / f"year={day[:4]}" / f"month={day[4:6]}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"location-{site}-{day}.csv.gz"
    path.write_bytes(gzip.compress("\n".join([header, *rows, ""]).encode()))
    return path


def write_archive(root: Path) -> Path:
    """Write the archive of three locations, with readings that differ by location and hour."""
    for site in SITES:
        for day in range(-(-HOURS // 24)):
            hours = range(24 * day, min(24 * day + 24, HOURS))
            rows = [row(site, hour, site % 10 + hour / 4) for hour in hours]
            ozone = [row(site, hour, 0.03, "o3", "ppm") for hour in hours]
            write_rows(root, site, f"202205{2 + day:02}", rows + ozone)
    return root
