"""A synthetic city, made in memory."""

import numpy as np
import pandas as pd

from data_prep.arguments import whole_number
from data_prep.city import CityData
from data_prep.grid import cells_of, shared_cells
from data_prep.senseurcity.device import Device
from data_prep.senseurcity.readings import mean_over_units
from data_prep.senseurcity.sites import antwerp_sites
from data_prep.senseurcity.window import find_window
from data_prep.synthetic.air import Air, make_air
from data_prep.synthetic.device import DEPLOYMENT, WITHOUT_FLAGS, record
from data_prep.synthetic.layout import blank_locations

FIRST_MINUTE = np.datetime64("2020-07-06T00:00", "m")
"""The first minute of the city. All devices are then deployed."""


def synthetic_city(seed: int = 0, days: int = 14, grid: tuple[int, int] = (32, 32)) -> CityData:
    """Make a city of synthetic readings, modelled on the SensEURCity campaign in Antwerp.

    The 34 devices stand at the 31 sites of the campaign and record synthetic air: daily and weekly
    cycles, episodes, plumes and traffic. They have gains, offsets, noise, outages and flags.
    A flagged reading is missing, and the units at one site are averaged: the city equals what
    `read_archive` reads from the archive that `write_archive` writes for the same period and seed.

    Parameters
    ----------
    seed : int
        Seed of the random numbers. Default 0.
    days : int
        Length of the period in days, from 2020-07-06 00:00 UTC. Default 14.
    grid : (int, int)
        Height and width of the grid in cells. Default ``(32, 32)``.

    Returns
    -------
    CityData
        Marked as synthetic: PM2.5 of 31 stations, a reading a minute. The same arguments give
        identical readings.

    Raises
    ------
    DataError
        If `seed` is no whole number, or `days` is none of at least 1.

    Examples
    --------
    >>> from data_prep import synthetic_city
    >>> city = synthetic_city(days=1)
    >>> city.name, city.values.shape
    ('Antwerp (synthetic)', (1440, 31))
    """
    seed, days = whole_number(seed, "seed", 0), whole_number(days, "days", 1)
    start, end = period(days)
    times = pd.date_range(start, end, freq="min").to_numpy("datetime64[s]")
    sites = antwerp_sites()
    rng_of_air, *rngs = np.random.default_rng(seed).spawn(1 + len(DEPLOYMENT))
    air = make_air(times, sites, rng_of_air)
    devices = [_device(air, sites, name, rng) for name, rng in zip(DEPLOYMENT, rngs, strict=True)]
    window, _ = find_window(devices, start, end)
    stations = sites.rename(columns={"site": "station"})
    stations["cell"] = cells_of(stations["latitude"], stations["longitude"], grid)
    values = mean_over_units(devices, stations["station"].to_list(), window)
    return CityData(
        name="Antwerp (synthetic)",
        times=window.times,
        stations=stations,
        values=values,
        grid=grid,
        synthetic=True,
        report={
            "source": "synthetic",
            "seed": seed,
            "days": days,
            "readings": int(np.isfinite(values).sum()),
            "shared_cells": shared_cells(stations, grid),
        },
    )


def period(days: int) -> tuple[np.datetime64, np.datetime64]:
    """Return the first and the last minute of a synthetic city.

    Raises
    ------
    DataError
        If `days` is not a whole number of at least 1.
    """
    days = whole_number(days, "days", 1)
    return FIRST_MINUTE, FIRST_MINUTE + np.timedelta64(days * 1440 - 1, "m")


def _device(air: Air, sites: pd.DataFrame, name: str, rng: np.random.Generator) -> Device:
    """Let a device record the air, and return its readings as `read_device` would."""
    log = record(air, sites, name, rng)
    located = ~blank_locations(rng, len(log.minute))
    flagged = (log.flags > 0) & (name not in WITHOUT_FLAGS)
    start = air.times[0].astype("datetime64[m]").astype(np.int64)
    return Device(
        name=f"Antwerp_{name}",
        sites=sites["site"].to_list(),
        minute=(start + log.minute[located]).astype(np.int32),
        site=log.site[located].astype(np.int16),
        value=np.where(flagged, np.nan, log.pm25.round(9))[located].astype(np.float32),
        fixes=pd.DataFrame(),
        report={},
    )
