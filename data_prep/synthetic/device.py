"""Synthetic devices: when each stands where, and what it records."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from data_prep.synthetic.air import Air

COLOCATION_SITE = "ANT_REF_R801"
DEPLOYED_FROM = np.datetime64("2020-06-29T10:20", "m")  # when the last device is deployed
DEPLOYED_UNTIL = np.datetime64("2021-02-17T07:18", "m")  # when the first device is collected
DEPLOYMENT = {  # device to site, as in the real campaign
    "402723": "ANT_URB_MAER",
    "402B00": "ANT_URB_BRED",
    "4043A7": "ANT_REF_R802",
    "4043AE": "ANT_REF_R804",
    "4043B1": "ANT_REF_R801",
    "4047CD": "ANT_URB_BEGI",
    "4047D7": "ANT_REF_R817",
    "4047DD": "ANT_URB_WITT",
    "4047E0": "ANT_TRA_POTH",
    "4047E7": "ANT_URB_PEST",
    "40499C": "ANT_REF_R801",
    "40499F": "ANT_REF_R804",
    "4049A6": "ANT_REF_R802",
    "40623F": "ANT_TRA_LEOP",
    "406246": "ANT_URB_ANDR",
    "406249": "ANT_TRA_HAVE",
    "40641B": "ANT_TRA_SING",
    "406424": "ANT_URB_TURK",
    "40642B": "ANT_REF_R811",
    "4065D0": "ANT_URB_LANG",
    "4065D3": "ANT_URB_GROT",
    "4065DA": "ANT_REF_AL01",
    "4065DD": "ANT_TRA_GROT",
    "4065E0": "ANT_URB_BOEL",
    "4065E3": "ANT_TRA_HALE",
    "4065EA": "ANT_REF_M802",
    "4067B0": "ANT_TRA_DESG",
    "4067B3": "ANT_REF_R805",
    "4067BA": "ANT_URB_KIPD",
    "4067BD": "ANT_REF_R803",
    "408165": "ANT_URB_VINC",
    "408168": "ANT_URB_PARK",
    "408175": "ANT_URB_WAPP",
    "408178": "ANT_TRA_AMER",
}
WITHOUT_FLAGS = ("4043A7",)  # the file has no column with the flags of PM2.5
DEPLOYED_LAST = "408168"
RECALLED_FIRST = "402B00"
FLAGS = ("W", "Inv", "Rh.max", "Low_values", "High_values", "OutliersMin", "OutliersMax")

WARM_UP_MINUTES = 120
MOVE_MINUTES = 90
DAYS_BETWEEN_OUTAGES = 25
OUTAGE_HOURS = 8
FAULT_MINUTES = 20


@dataclass(frozen=True)
class Log:
    """The rows that one device recorded, one for each minute in which it ran.

    Parameters
    ----------
    minute : array of int64, shape (n,)
        Index into the times of the air, strictly increasing.
    site : array of int64, shape (n,)
        Index into the site table.
    pm25 : array of float32, shape (n,)
        ug/m3, never negative; NaN where there is no reading.
    flags : array of int64, shape (n,)
        Bit k is set where the flag ``FLAGS[k]`` applies.
    """

    minute: npt.NDArray[np.int64]
    site: npt.NDArray[np.int64]
    pm25: npt.NDArray[np.float32]
    flags: npt.NDArray[np.int64]


def record(air: Air, sites: pd.DataFrame, device: str, rng: np.random.Generator) -> Log:
    """Simulate what one device records.

    It stands at a reference station until its deployment in June 2020 and again from February
    2021, is off while it is moved and in some outages, warms up after each start, and measures
    with a gain, an offset, a growth in humid air and a noise of its own.

    Parameters
    ----------
    air : Air
        Of all sites.
    sites : DataFrame
        As `antwerp_sites` gives it.
    device : str
        A key of `DEPLOYMENT`.
    rng : Generator
        Source of the random numbers.

    Returns
    -------
    Log
    """
    names = sites["site"].to_list()
    home, colocation = names.index(DEPLOYMENT[device]), names.index(COLOCATION_SITE)

    site = np.full(len(air.times), home)
    running = rng.random(len(site)) > 0.002
    if home != colocation:
        first, last = np.searchsorted(air.times, _deployment_span(rng, device))
        site[:first] = site[last:] = colocation
        running[max(first - MOVE_MINUTES, 0) : first] = False
        running[last : last + MOVE_MINUTES] = False
    for _ in range(rng.poisson(len(site) / (DAYS_BETWEEN_OUTAGES * 1440))):
        start = rng.integers(len(site))
        running[start : start + int(rng.exponential(OUTAGE_HOURS * 60))] = False

    minute = np.flatnonzero(running)
    site = site[minute]
    pm25, flags = _measure(rng, air.pm25[minute, site], air.humidity[minute])
    started = np.diff(minute, prepend=-MOVE_MINUTES) >= MOVE_MINUTES
    since_start = minute - np.maximum.accumulate(np.where(started, minute, 0))
    flags |= (since_start < WARM_UP_MINUTES) * bit("W")
    return Log(minute, site, pm25, flags)


def bit(flag: str) -> int:
    """Return the bit of a flag in `Log.flags`."""
    return 1 << FLAGS.index(flag)


def flag_words(flags: npt.NDArray[np.int64]) -> npt.NDArray[np.object_]:
    """Return flags as text: empty where valid, otherwise their names separated by commas."""
    words = [
        ",".join(flag for k, flag in enumerate(FLAGS) if code >> k & 1)
        for code in range(2 ** len(FLAGS))
    ]
    return np.array(words, dtype=object)[flags]


def _deployment_span(rng: np.random.Generator, device: str) -> list[np.datetime64]:
    """Draw the first minute of the deployment and the first minute after it."""
    days_earlier, days_later = rng.uniform(0, [25, 5])
    first = DEPLOYED_FROM - np.timedelta64(int(days_earlier * 1440), "m")
    last = DEPLOYED_UNTIL + np.timedelta64(int(days_later * 1440), "m")
    if device == DEPLOYED_LAST:
        first = DEPLOYED_FROM
    if device == RECALLED_FIRST:
        last = DEPLOYED_UNTIL
    return [first, last + np.timedelta64(1, "m")]


def _measure(
    rng: np.random.Generator, truth: npt.NDArray[np.float32], humidity: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return readings, NaN where missing, and flags for true concentrations, all of shape (n,)."""
    gain = np.exp(0.08 * rng.standard_normal())
    offset = 0.6 * rng.standard_normal()
    growth = 0.04 * np.exp(0.3 * rng.standard_normal())
    wetness = np.minimum(humidity, 95) / 100
    swollen = truth * gain * (1 + growth * wetness / (1 - wetness))
    noise = rng.standard_normal(len(truth), dtype=np.float32) * (0.3 + 0.06 * truth)
    pm25 = (swollen + offset + noise).clip(0).astype(np.float32)
    flags = (humidity > 97) * bit("Rh.max")

    chance = rng.random(len(pm25), dtype=np.float32)
    too_high, too_low = chance < 0.001, chance > 0.9995
    pm25[too_high] *= rng.uniform(5, 20, too_high.sum()).astype(np.float32)
    pm25[too_low] = 0
    flags |= too_high * bit("OutliersMax") | too_low * bit("OutliersMin")
    flags |= (pm25 < 0.1) * bit("Low_values") | (pm25 > 500) * bit("High_values")

    fault = np.zeros(len(pm25), dtype=bool)
    for start in np.flatnonzero(rng.random(len(pm25)) < 5e-5):
        fault[start : start + FAULT_MINUTES] = True
    pm25[fault] = rng.uniform(0, 40)  # a stuck sensor repeats one number
    flags |= fault * bit("Inv")
    pm25[rng.random(len(pm25)) < 0.002] = np.nan
    return pm25, flags
