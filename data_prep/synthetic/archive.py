"""Synthetic data as an archive in the layout of SensEURCity."""

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from data_prep.arguments import whole_number
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
    """Write synthetic data of 34 devices as an archive in the layout of SensEURCity.

    The archive has the columns, the flags and the irregularities of the published one, and is
    marked as synthetic. `synthetic_city` returns the same readings without a file.

    Parameters
    ----------
    path : Path
        The zip file to write. After an error there is no file. A day takes 9 MB, 26 MB unpacked.
    start, end : str or datetime64
        First and last minute, UTC. The devices are deployed from June 2020 to February 2021;
        before and after, they stand together at one reference station.
    seed : int
        Seed of the random numbers; the same arguments give an identical file. Default 0.
    progress : bool
        Whether to show a progress bar on stderr. Default True.

    Raises
    ------
    DataError
        If `end` is not after `start`, or one of them is not a time, or `seed` is no whole number.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from data_prep import read_archive
    >>> from data_prep.synthetic import write_archive
    >>> span = {"start": "2020-08-01T00:00", "end": "2020-08-01T00:59"}
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "archive.zip")
    ...     write_archive(path, **span, progress=False)
    ...     city = read_archive(path, **span, progress=False)
    >>> city.values.shape
    (60, 31)
    """
    seed = whole_number(seed, "seed", 0)
    try:
        times = pd.date_range(start, end, freq="min").to_numpy("datetime64[s]")
    except (TypeError, ValueError) as error:
        raise DataError(f"start and end must be times, got {start} and {end}: {error}") from error
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
    """Return the hourly file of a reference instrument, which is stored among the device files."""
    site = sites["site"].to_list().index(COLOCATION_SITE)
    table = pd.DataFrame({"date": air.times[::60], "PM2.5": air.pm25[::60, site].round(1)})
    return table.to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%SZ", lineterminator="\n")
