"""A made-up Antwerp in the true archive layout, from a seed."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from data_prep.city import DataError
from data_prep.files import atomic_path
from data_prep.senseurcity.archive import SYNTHETIC_COMMENT
from data_prep.senseurcity.sites import antwerp_sites
from data_prep.synthetic.air import Air, make_air
from data_prep.synthetic.device import COLOCATION_SITE, DEPLOYMENT, WITHOUT_FLAGS, record
from data_prep.synthetic.layout import device_csv

DATASET = "senseurcity_data_v02/dataset"


def write_archive(
    path: Path,
    *,
    start: str | np.datetime64,
    end: str | np.datetime64,
    seed: int = 0,
    progress: bool = True,
) -> None:
    """Write an archive of 34 devices on the 31 Antwerp sites, as SensEURCity publishes them.

    Parameters
    ----------
    path : Path
        The zip to write, whole or not at all. A day takes 26 MB unpacked and 9 MB in the zip.
    start, end : str or datetime64
        First and last minute, UTC. Devices are deployed from June 2020 to February 2021 and
        stand together at one reference station before and after.
    seed : int
        The same arguments give the same bytes. Default 0.
    progress : bool
        Whether to show a progress bar. Default True.

    Raises
    ------
    DataError
        If `end` is not after `start`.
    """
    times = pd.date_range(start, end, freq="min").to_numpy("datetime64[s]")
    if len(times) < 2:
        raise DataError(f"end must be after start, got start {start} and end {end}")
    sites = antwerp_sites()
    rng_of_air, *rngs = np.random.default_rng(seed).spawn(1 + len(DEPLOYMENT))
    air = make_air(times, sites, rng_of_air)
    with (
        atomic_path(path) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        with archive.open(f"{DATASET}/{COLOCATION_SITE}_Fidas_UTC.csv", "w") as file:
            file.write(_fidas_csv(air, sites).encode())
        archive.comment = SYNTHETIC_COMMENT
        devices = track(
            DEPLOYMENT,
            "Writing the synthetic archive",
            console=Console(stderr=True),
            transient=True,
            disable=not progress,
        )
        for device, rng in zip(devices, rngs, strict=True):
            log = record(air, sites, device, rng)
            without = ("OPCN3PM25_flag",) if device in WITHOUT_FLAGS else ()
            pieces = device_csv(air, sites, log, rng, without)
            with archive.open(f"{DATASET}/Antwerp_{device}.csv", "w", force_zip64=True) as file:
                for piece in pieces:
                    file.write(piece)


def _fidas_csv(air: Air, sites: pd.DataFrame) -> str:
    """Return the hourly file of a reference instrument that lies among the devices."""
    site = sites["site"].to_list().index(COLOCATION_SITE)
    table = pd.DataFrame({"date": air.times[::60], "PM2.5": air.pm25[::60, site].round(1)})
    return table.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ", lineterminator="\n")
