"""Small valid inputs of the sources of files, and how they are read."""

import zipfile
from pathlib import Path

from source_files import airnow, aqs, eea, openaq, purpleair, sensor_community

from data_prep import CityData, load_city

HOURS = 6


def write_openaq(folder: Path) -> Path:
    for number, site in enumerate(openaq.SITES):
        rows = [openaq.row(site, hour, number + hour / 4) for hour in range(HOURS)]
        openaq.write_rows(folder, site, "20220502", rows)
    return folder


def write_airnow(folder: Path) -> Path:
    return airnow.write_archive(folder, HOURS)


def write_aqs(folder: Path) -> Path:
    sites = enumerate(aqs.SITES)
    rows = [
        aqs.row(site, hour, number + hour / 4) for number, site in sites for hour in range(HOURS)
    ]
    path = aqs.write_rows(folder, rows)
    with zipfile.ZipFile(path) as archive:
        (name,) = archive.namelist()
        content = archive.read(name)
    with zipfile.ZipFile(path, "w") as archive:  # whose bytes do not depend on the clock
        member = zipfile.ZipInfo(name, (2023, 1, 1, 0, 0, 0))
        archive.writestr(member, content, zipfile.ZIP_DEFLATED)
    return path


def write_eea(folder: Path) -> Path:
    for number, point in enumerate(eea.POINTS):
        rows = [eea.row(hour, number + hour / 4, f"BE/{point}") for hour in range(HOURS)]
        eea.write_rows(folder / f"{point}.parquet", rows)
    eea.write_metadata(folder / "metadata.csv")
    return folder


def read_eea(path: Path) -> CityData:
    options = {"metadata": path / "metadata.csv", "time_zone": "UTC+1"}
    return load_city(f"eea:{path}", progress=False, **options)


def write_purpleair(folder: Path) -> Path:
    purpleair.write_sensors(folder)
    for sensor in purpleair.SENSORS:
        rows = [
            purpleair.row(sensor, purpleair.START + 3600 * hour, hour + 1, hour + 2)
            for hour in range(HOURS)
        ]
        purpleair.write_rows(folder, rows, name=f"{sensor}.csv")
    return folder


def read_purpleair(path: Path) -> CityData:
    options = {"sensors": path / "sensors.csv", "correction": "epa"}
    return load_city(f"purpleair:{path}", progress=False, **options)


def write_sensor_community(folder: Path) -> Path:
    for sensor in sensor_community.SITES:
        rows = sensor_community.readings(sensor)[: HOURS * sensor_community.PER_HOUR]
        sensor_community.write_rows(folder, sensor, rows)
    return folder


def write_long_csv(folder: Path) -> Path:
    rows = [
        f"2024-01-01T{hour:02}:00+01:00,{name},{latitude},4.4,{hour + 0.5}"
        for hour in range(HOURS)
        for name, latitude in (("North", 51.2), ("South", 51.1))
    ]
    (folder / "mine.csv").write_text("\n".join(["time,station,lat,lon,value", *rows, ""]))
    return folder


def write_wide_csv(folder: Path) -> Path:
    rows = [f"2024-01-01T{hour:02}:00;{hour},5;{hour},7" for hour in range(HOURS)]
    (folder / "mine.csv").write_text("\n".join(["time;North;South", *rows, ""]))
    places = "station;latitude;longitude\nNorth;51,2;4,4\nSouth;51,1;4,5\n"
    (folder / "stations.csv").write_text(places)
    return folder


def read_wide_csv(path: Path) -> CityData:
    return load_city(f"csv:{path}", progress=False, decimal=",", text="missing", every="1h")
