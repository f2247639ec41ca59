"""The file of one device, as bytes: all columns of SensEURCity, in its order and format."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data_prep.synthetic.air import Air
from data_prep.synthetic.device import Log, bit, flag_words

HEADER = (
    "date,latitude,longitude,altitude,Location.ID,BMP280,SHT31HE,SHT31TE,Absolute_humidity,"
    "Td_deficit,SHT31HI,SHT31TI,CO_A4_P1,D300,NO_B4_P1,NO2_B43F_P1,5301CAT,5301CST,5325CAT,"
    "5325CST,5310CAT,5310CST,53PT003,53PT005,53PT010,53PT025,53PT050,53PT100,OPCN3PM1,OPCN3PM25,"
    "OPCN3PM10,OPCN3Bin0,OPCN3Bin1,OPCN3Bin2,OPCN3Bin3,OPCN3Bin4,OPCN3Bin5,OPCN3Bin6,OPCN3Bin7,"
    "OPCN3Bin8,OPCN3Bin9,OPCN3Bin10,OPCN3Bin11,OPCN3Bin12,OPCN3Bin13,OPCN3Bin14,OPCN3Bin15,"
    "OPCN3Bin16,OPCN3Bin17,OPCN3Bin18,OPCN3Bin19,OPCN3Bin20,OPCN3Bin21,OPCN3Bin22,OPCN3Bin23,"
    "OPCN3Hum,OPCN3Temp,OPCN3Vol,CO_A4_P1_flag,D300_flag,NO_B4_P1_flag,NO2_B43F_P1_flag,"
    "OX_A431_P1_flag,5301CAT_flag,5301CST_flag,OPCN3PM1_flag,5310CAT_flag,5310CST_flag,"
    "OPCN3PM10_flag,5325CAT_flag,5325CST_flag,OPCN3PM25_flag,BMP280_flag,SHT31HE_flag,"
    "SHT31HI_flag,SHT31TE_flag,SHT31TI_flag,Ref.Long,Ref.Lat,Ref.Press,Ref.RH,Ref.Temp,"
    "Ref.CO_ppm,Ref.CO2,Ref.NO,Ref.NO2,Ref.O3,Ref.PM10,Ref.PM2.5,Ref.PM1"
)
# How often `Location.ID` is spelled in which way.
SPELLINGS = {
    "right": 0.99,
    "space after it": 0.005,
    "slashes": 0.002,
    "hyphens": 0.002,
    "blank": 0.001,
}
# Columns that are not read: mean, standard deviation, and the step to which they are rounded.
FILLERS = {
    "BMP280": (1014.0, 6.0, 1 / 24),
    "Absolute_humidity": (7.0, 2.0, 1e-9),
    "Td_deficit": (6.0, 3.0, 1e-9),
    "CO_A4_P1": (110.0, 20.0, 1e-9),
    "D300": (420.0, 20.0, 1.0),
    "NO_B4_P1": (112.0, 6.0, 1e-9),
    "NO2_B43F_P1": (-61.0, 6.0, 1e-9),
    "53PT003": (2600.0, 400.0, 1 / 3),
    "53PT005": (760.0, 90.0, 1 / 3),
    "53PT010": (170.0, 30.0, 1 / 3),
    "53PT025": (30.0, 8.0, 1 / 3),
    "53PT050": (4.0, 2.0, 1 / 3),
    "53PT100": (2.0, 1.0, 1 / 3),
    **{f"OPCN3Bin{k}": (32 / 2.5**k, 12 / 2.5**k, 1 / 32) for k in range(24)},
    "OPCN3Hum": (35.0, 8.0, 1e-3),
    "OPCN3Temp": (20.0, 6.0, 1e-3),
    "OPCN3Vol": (124.0, 4.0, 1 / 64),
    "Ref.NO": (9.0, 3.0, 1e-2),
    "Ref.NO2": (28.0, 6.0, 1e-9),
}
CHUNK_ROWS = 50_000
POOL_SIZE = 4096

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Noise:
    """The random part of n rows of a file: everything that the log does not hold.

    Parameters
    ----------
    jitter : array of float64, shape (3, n)
        Standard normal noise of the GPS fixes and of the other sensors.
    fix : array of float64, shape (n,)
        Uniform in [0, 1); decides how good the GPS fix is.
    spelling : array of int64, shape (n,)
        Index into `SPELLINGS`.
    fillers : array of int64, shape (F, n)
        Which number of its pool each of the `FILLERS` takes.
    """

    jitter: Floats
    fix: Floats
    spelling: npt.NDArray[np.int64]
    fillers: npt.NDArray[np.int64]

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int) -> "Noise":
        """Draw the noise of `count` rows."""
        return cls(
            jitter=rng.standard_normal((3, count)),
            fix=rng.random(count),
            spelling=rng.choice(len(SPELLINGS), size=count, p=[*SPELLINGS.values()]),
            fillers=rng.integers(POOL_SIZE, size=(len(FILLERS), count)),
        )


def blank_locations(rng: np.random.Generator, count: int) -> npt.NDArray[np.bool_]:
    """Return in which of `count` rows `device_csv` leaves `Location.ID` blank, shape (count,).

    `rng` must be in the state in which `device_csv` would get it.
    """
    chunks = [Noise.draw(rng, len(rows)) for rows in _chunks(count)]
    return np.concatenate([chunk.spelling == [*SPELLINGS].index("blank") for chunk in chunks])


def device_csv(
    air: Air,
    sites: pd.DataFrame,
    log: Log,
    rng: np.random.Generator,
    without: tuple[str, ...] = (),
) -> Iterator[bytes]:
    """Yield the CSV file of a device in pieces, starting with the header.

    Parameters
    ----------
    air : Air
        Times, weather and the true concentrations for the reference columns.
    sites : DataFrame
        As `antwerp_sites` gives it.
    log : Log
        The rows that the device recorded.
    rng : Generator
        Source of the random numbers, for the `Noise`.
    without : tuple of str
        Columns to leave out. Default: none.
    """
    columns = [column for column in HEADER.split(",") if column not in without]
    empty = pa.scalar("")
    yield (",".join(columns) + "\n").encode()
    for rows in _chunks(len(log.minute)):
        chunk = Log(log.minute[rows], log.site[rows], log.pm25[rows], log.flags[rows])
        noise = Noise.draw(rng, len(rows))
        cells = _cells(noise, air, sites, chunk)
        for (column, pool), choice in zip(_pools().items(), noise.fillers, strict=True):
            cells[column] = pool.take(pa.array(choice))
        ordered = [cells.get(column, empty) for column in columns]
        lines = pc.binary_join_element_wise(
            *ordered, ",", null_handling="replace", null_replacement=""
        )
        yield ("\n".join(lines.to_pylist()) + "\n").encode()


def _chunks(count: int) -> Iterator[range]:
    return (range(count)[start : start + CHUNK_ROWS] for start in range(0, count, CHUNK_ROWS))


def _cells(noise: Noise, air: Air, sites: pd.DataFrame, log: Log) -> dict[str, pa.Array]:
    """Return the columns that depend on the log and the air, as text."""
    jitter = noise.jitter
    latitude, longitude = _gps(noise, sites, log)
    temperature, humidity = air.temperature[log.minute], air.humidity[log.minute]
    noisy_temperature = temperature + 0.02 * jitter[0]
    noisy_humidity = humidity + 0.1 * jitter[1]
    pm25 = log.pm25.astype(np.float64)
    plantower = (1.4 * pm25 + 0.3 * jitter[2]).clip(0)
    numbers = {
        "latitude": latitude,
        "longitude": longitude,
        "altitude": 3 * jitter[2],
        # In the published archive, temperature and humidity of this sensor are swapped.
        "SHT31HE": noisy_temperature,
        "SHT31TE": noisy_humidity,
        "SHT31HI": noisy_temperature + 1.5,
        "SHT31TI": noisy_humidity - 6,
        "OPCN3PM1": 0.7 * pm25,
        "OPCN3PM25": log.pm25,
        "OPCN3PM10": pm25 * (1.5 + 0.2 * np.abs(jitter[0])),
    }
    for column, share in (("5301", 0.6), ("5325", 1.0), ("5310", 1.2)):
        numbers[f"{column}CAT"] = numbers[f"{column}CST"] = np.round(share * plantower * 3) / 3
    cells = {column: _text(values) for column, values in numbers.items()}
    cells |= _reference(air, sites, log)
    cells["date"] = pa.array(np.datetime_as_string(air.times[log.minute], timezone="UTC"))
    cells["Location.ID"] = _location(noise, sites, log)

    words = flag_words(log.flags)
    quoted = pa.array([f'"{word}"' if "," in word else word for word in words])
    warm_up = pa.array(np.where(log.flags & bit("W"), "W", ""))
    for column in HEADER.split(","):
        if column.endswith("_flag") and not column.startswith(("BMP280", "SHT31")):
            cells[column] = quoted if column.startswith("OPCN3") else warm_up
    return cells


def _gps(noise: Noise, sites: pd.DataFrame, log: Log) -> tuple[Floats, Floats]:
    """Return GPS fixes: some metres off, in 1 % of the rows some 100 m, in 1 % missing."""
    metres = np.where(noise.fix < 0.01, 100.0, 4.0)
    fixes = []
    for column, jitter in zip(("latitude", "longitude"), noise.jitter[:2], strict=True):
        fix = sites[column].to_numpy(np.float64)[log.site] + 9e-6 * metres * jitter
        fixes.append(np.where(noise.fix > 0.99, np.nan, fix))
    return fixes[0], fixes[1]


def _location(noise: Noise, sites: pd.DataFrame, log: Log) -> pa.Array:
    """Return `Location.ID`: the name of the site in one of the `SPELLINGS`."""
    names = sites["site"].to_list()
    spelled = [
        names,
        [f"{name} " for name in names],
        [name.replace("_", "/") for name in names],
        [name.replace("_", "-") for name in names],
        ["" for _ in names],
    ]
    return pa.array(np.array(spelled, dtype=object)[noise.spelling, log.site])


def _reference(air: Air, sites: pd.DataFrame, log: Log) -> dict[str, pa.Array]:
    """Return the columns of the reference instruments, empty where there is no such instrument."""
    at_reference = sites["site"].str.startswith("ANT_REF").to_numpy()[log.site]
    pm25 = air.pm25[log.minute, log.site].astype(np.float64)
    numbers = {
        "Ref.Long": sites["longitude"].to_numpy(np.float64)[log.site].round(4),
        "Ref.Lat": sites["latitude"].to_numpy(np.float64)[log.site].round(4),
        "Ref.RH": air.humidity[log.minute].astype(np.float64).round(2),
        "Ref.Temp": air.temperature[log.minute].astype(np.float64).round(2),
        "Ref.PM10": (1.6 * pm25).round(1),
        "Ref.PM2.5": pm25.round(1),
        "Ref.PM1": (0.7 * pm25).round(1),
    }
    return {
        column: _text(np.where(at_reference, values, np.nan)) for column, values in numbers.items()
    }


@cache
def _pools() -> dict[str, pa.Array]:
    """Return a pool of numbers as text for each of the `FILLERS`, since formatting them is slow."""
    rng = np.random.default_rng(0)
    pools = {}
    for column, (mean, spread, step) in FILLERS.items():
        values = mean + spread * rng.standard_normal(POOL_SIZE)
        positive = values if mean < 0 else values.clip(0)
        pools[column] = _text(np.round(positive / step) * step)
    return pools


def _text(values: npt.NDArray[np.floating]) -> pa.Array:
    return pc.cast(pa.array(values.round(9), from_pandas=True), pa.string())
