"""Odd but legal cities."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from data_prep import CityData

HOURS = 240
LARGEST = np.finfo(np.float32).max


def city(values: np.ndarray, latitude: list[float], longitude: list[float]) -> CityData:
    """Return a city with readings of shape (T, S), on a grid of 5x6 cells."""
    stations = pd.DataFrame(
        {
            "station": [f"S{number}" for number in range(values.shape[1])],
            "latitude": latitude,
            "longitude": longitude,
            "cell": np.arange(values.shape[1]) * 4,
        }
    )
    times = np.datetime64("2024-01-01", "s") + np.arange(len(values)) * np.timedelta64(3600, "s")
    return CityData("Odd", times, stations, values.astype(np.float32), (5, 6))


def usual(stations: int = 5) -> np.ndarray:
    """Return readings of a usual city, shape (T, S)."""
    return np.random.default_rng(0).gamma(2, 6, (HOURS, stations))


LATITUDE = [51.0, 51.1, 51.2, 51.05, 51.15]
LONGITUDE = [4.0, 4.2, 4.1, 4.3, 4.05]


def _identical_positions() -> CityData:
    return city(usual(), [51.0] * 5, [4.0] * 5)


def _two_at_one_place() -> CityData:
    return city(usual(), [51.0, 51.0, *LATITUDE[2:]], [4.0, 4.0, *LONGITUDE[2:]])


def _on_a_line() -> CityData:
    return city(usual(), [51.0] * 5, LONGITUDE)


def _constant() -> CityData:
    return city(np.full((HOURS, 5), 7.0), LATITUDE, LONGITUDE)


def _zero() -> CityData:
    return city(np.zeros((HOURS, 5)), LATITUDE, LONGITUDE)


def _one_constant_station() -> CityData:
    values = usual()
    values[:, 0] = 3.0
    return city(values, LATITUDE, LONGITUDE)


def _one_reading() -> CityData:
    values = usual()
    values[1:, 0] = np.nan
    return city(values, LATITUDE, LONGITUDE)


def _no_reading() -> CityData:
    values = usual()
    values[:, 0] = np.nan
    return city(values, LATITUDE, LONGITUDE)


def _mostly_missing() -> CityData:
    values = usual()
    values[np.random.default_rng(1).random(values.shape) < 0.8] = np.nan
    return city(values, LATITUDE, LONGITUDE)


def _identical_readings() -> CityData:
    return city(usual(1).repeat(5, axis=1), LATITUDE, LONGITUDE)


def _two_identical_stations() -> CityData:
    values = usual()
    values[:, 1] = values[:, 0]
    return city(values, [51.0, 51.0, *LATITUDE[2:]], [4.0, 4.0, *LONGITUDE[2:]])


def _constant_after_training() -> CityData:
    values = usual()
    values[HOURS // 2 :] = 7.0
    return city(values, LATITUDE, LONGITUDE)


def _zero_after_training() -> CityData:
    values = usual()
    values[HOURS // 2 :] = 0.0
    return city(values, LATITUDE, LONGITUDE)


def _large_numbers() -> CityData:
    return city(usual() * 1e16, LATITUDE, LONGITUDE)


def _near_the_largest_number() -> CityData:
    return city(usual() / 100 * LARGEST, LATITUDE, LONGITUDE)


def _largest_number_once() -> CityData:
    values = usual()
    values[50, 2] = LARGEST
    return city(values, LATITUDE, LONGITUDE)


def _tiny_numbers() -> CityData:
    return city(usual() * 1e-40, LATITUDE, LONGITUDE)


def _negative() -> CityData:
    return city(-usual(), LATITUDE, LONGITUDE)


def _two_stations() -> CityData:
    return city(usual(2), LATITUDE[:2], LONGITUDE[:2])


def _three_stations() -> CityData:
    return city(usual(3), LATITUDE[:3], LONGITUDE[:3])


ODD: dict[str, Callable[[], CityData]] = {
    function.__name__.strip("_").replace("_", " "): function
    for function in (
        _identical_positions,
        _two_at_one_place,
        _on_a_line,
        _constant,
        _zero,
        _one_constant_station,
        _one_reading,
        _no_reading,
        _mostly_missing,
        _identical_readings,
        _two_identical_stations,
        _constant_after_training,
        _zero_after_training,
        _large_numbers,
        _near_the_largest_number,
        _largest_number_once,
        _tiny_numbers,
        _negative,
        _two_stations,
        _three_stations,
    )
}
