from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from data_prep.city import CityData

MakeCity = Callable[..., CityData]


@pytest.fixture(scope="session")
def make_city() -> MakeCity:
    """A small city: a daily cycle, an offset for each station, noise, and readings missing."""

    def make(
        times: int = 300,
        stations: int = 6,
        grid: tuple[int, int] = (5, 6),
        missing: float = 0.15,
        seed: int = 0,
    ) -> CityData:
        rng = np.random.default_rng(seed)
        hours = np.arange(times)
        values = (
            30
            + 10 * np.sin(2 * np.pi * hours / 24)[:, None]
            + rng.normal(0, 5, stations)
            + rng.normal(0, 2, (times, stations))
        )
        values[rng.random(values.shape) < missing] = np.nan
        cells = np.sort(rng.choice(grid[0] * grid[1], stations, replace=False))
        table = pd.DataFrame(
            {
                "station": [f"S{k}" for k in range(stations)],
                "latitude": 51.2 + 0.01 * (cells // grid[1]),
                "longitude": 4.4 + 0.01 * (cells % grid[1]),
                "cell": cells,
            }
        )
        return CityData(
            name="Testville",
            times=np.datetime64("2023-01-01", "s") + hours * np.timedelta64(3600, "s"),
            stations=table,
            values=values.astype(np.float32),
            grid=grid,
        )

    return make


@pytest.fixture(scope="session")
def city(make_city: MakeCity) -> CityData:
    return make_city()
