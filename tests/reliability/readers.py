"""The readers of the campaign: to add one is to add an entry to `READERS`."""

import gzip
import json
import warnings
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import rdata
import xarray as xr
from reliability import sources
from senseurcity_files import stay, write_archive

from data_prep import CityData, DataError, load_city

HOURS = pd.date_range("2024-01-01", periods=6, freq="h")
STATIONS = pd.DataFrame(
    {
        "station": ["North", "East", "Süd", "West"],
        "latitude": [51.2, 51.1, 51.0, 51.15],
        "longitude": [4.4, 4.5, 4.45, 4.3],
    }
)
SITES = ("ANT_REF_R803", "ANT_REF_R801", "ANT_URB_KIPD")


class Reader(NamedTuple):
    """How a city is read from a folder.

    Attributes
    ----------
    write : callable
        Writes a small valid input into a folder and returns the file or folder to read.
    read : callable
        Reads it; that is, takes what `write` returns. Default: `load_city`.
    """

    write: Callable[[Path], Path]
    read: Callable[[Path], CityData] = load_city


def readings() -> pd.DataFrame:
    """Return the readings of a tidy city."""
    index = pd.MultiIndex.from_product([HOURS, STATIONS["station"]], names=["time", "station"])
    return pd.DataFrame({"value": np.arange(len(index)) % 7 + 0.5}, index=index).reset_index()


def tidy_csv(folder: Path) -> Path:
    STATIONS.to_csv(folder / "stations.csv", index=False)
    readings().to_csv(folder / "readings.csv", index=False)
    return folder


def tidy_parquet(folder: Path) -> Path:
    STATIONS.to_csv(folder / "stations.csv", index=False)
    readings().to_parquet(folder / "readings.parquet", index=False)
    return folder


def folder_of_readings(folder: Path) -> Path:
    STATIONS.to_csv(folder / "stations.csv", index=False)
    for name, table in readings().groupby("station"):
        place = folder / "readings" / f"station={name}"
        place.mkdir(parents=True)
        table.drop(columns="station").to_csv(place / "hours.csv", index=False)
    return folder


def prepared(folder: Path) -> Path:
    values = readings().pivot(index="time", columns="station", values="value")
    CityData(
        name="Kleinstadt",
        times=HOURS.to_numpy("datetime64[s]"),
        stations=STATIONS.assign(cell=[0, 5, 10, 15], kind="urban"),
        values=values[STATIONS["station"]].to_numpy(np.float32),
        grid=(4, 4),
        report={
            "rows": 24,
            "dropped": {"flagged": 2},
            "shared_cells": [["North", "East"]],
            "window": {
                "start": "a",
                "end": "b",
                "minutes": 9,
                "decided_by": {"start": "c", "end": "d"},
            },
        },
    ).save(folder)
    return folder


def _devices() -> dict[str, object]:
    rows = {
        f"Antwerp_{number}.csv": stay(site, "2020-07-01T10:00", [5, 6, 7, 8], ["", "", "W", ""])
        for number, site in zip(("402B00", "40499C", "4043B1"), SITES, strict=True)
    }
    sites = "location_id,city,latitude_dd,longitude_dd\nANT_REF_R803,Antwerp,51.2,4.4\n"
    return rows | {"metadata_sites.csv": sites}


def senseurcity_zip(folder: Path) -> Path:
    return _zipped(folder, _devices())


def senseurcity_folder(folder: Path) -> Path:
    return write_archive(folder / "archive", _devices())


def oslo_zip(folder: Path) -> Path:
    fixes = {"latitude": 59.9, "longitude": 10.7}
    sites = "location_id,city,latitude_dd,longitude_dd\nOSL_REF_A,Oslo,59.9,10.7\n"
    rows = {
        f"Oslo_{name}.csv": stay(f"OSL_REF_{name}", "2020-07-01T10:00", [5, 6, 7], **fixes)
        for name in "AB"
    }
    return _zipped(folder, rows | {"metadata_sites.csv": sites})


def _zipped(folder: Path, files: dict[str, object]) -> Path:
    """Write a zip whose bytes do not depend on the clock."""
    path = write_archive(folder / "archive.zip", files)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(
                zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED
            )
    return path


def hourly(folder: Path) -> Path:
    seconds = pd.date_range("2020-07-01T10:00", periods=4, freq="h").to_numpy("datetime64[s]")
    table = pd.DataFrame(
        {
            "date": np.tile(seconds.astype(float), 2),
            "PMS_PM25": [5.0, 6.0, 3333.0, 7.0] * 2,
            "Location.ID": pd.Series(np.repeat(SITES[:2], 4), dtype=object),
        }
    )
    rdata.write_rda(folder / "hourly.Rda", {"LCS_df_all1": table})
    path = folder / "hourly.Rda"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), mtime=0))
    return path


def dataset(folder: Path) -> Path:
    """Write the dataset of a city as JSON, whose mutations are those of a program."""
    city = load_city(prepared(folder))
    for file in [*folder.iterdir()]:
        file.unlink()
    path = folder / "dataset.json"
    path.write_text(json.dumps(city.to_xarray().to_dict(), default=str), encoding="utf-8")
    return path


def read_dataset(path: Path) -> CityData:
    try:
        with warnings.catch_warnings(action="ignore"):  # of what makes the dataset
            made = xr.Dataset.from_dict(json.loads(path.read_text(encoding="utf-8")))
            if "reading" in made:
                made["reading"] = made["reading"].astype("float32")
    except Exception as error:
        raise DataError("there is no dataset that could be read") from error
    return CityData.from_xarray(made)


_quietly = partial(load_city, progress=False)


def _source(name: str, write: Callable[[Path], Path]) -> Reader:
    return Reader(write, lambda path: _quietly(f"{name}:{path}"))


READERS = {
    "prepared city": Reader(prepared),
    "tidy CSV": Reader(tidy_csv),
    "tidy Parquet": Reader(tidy_parquet),
    "folder of readings": Reader(folder_of_readings),
    "SensEURCity zip, Antwerp": Reader(senseurcity_zip, _quietly),
    "SensEURCity zip, Oslo": Reader(oslo_zip, partial(_quietly, city="oslo")),
    "SensEURCity folder": Reader(senseurcity_folder, _quietly),
    "hourly means (.Rda)": Reader(hourly),
    "xarray": Reader(dataset, read_dataset),
    "AirNow": _source("airnow", sources.write_airnow),
    "AQS": _source("aqs", sources.write_aqs),
    "CSV with coordinates": _source("csv", sources.write_long_csv),
    "CSV with a column for each station": Reader(sources.write_wide_csv, sources.read_wide_csv),
    "EEA": Reader(sources.write_eea, sources.read_eea),
    "OpenAQ": _source("openaq", sources.write_openaq),
    "PurpleAir": Reader(sources.write_purpleair, sources.read_purpleair),
    "sensor.community": _source("sensor-community", sources.write_sensor_community),
}
"""All readers by what they read."""
