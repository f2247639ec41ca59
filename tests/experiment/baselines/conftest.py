from collections.abc import Callable

import numpy as np
import pytest

from tritonbn.experiment.baselines import Training, gaussian_process

STATIONS, TIMES, TESTS, WIDTH = 8, 200, 30, 3
MakeField = Callable[..., tuple[Training, np.ndarray]]


@pytest.fixture(autouse=True)
def _few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the Gaussian process learn its kernel from few readings: the time grows with the cube."""
    monkeypatch.setattr(gaussian_process, "POINTS", 90)


@pytest.fixture(scope="session")
def field() -> MakeField:
    """Windows of a field that is smooth in space and time, and the training part before them."""

    def make(horizon: int = 0, missing: float = 0.1) -> tuple[Training, np.ndarray]:
        readings, latitude, longitude = smooth_field(STATIONS, TIMES + TESTS)
        readings[np.random.default_rng(1).random(readings.shape) < missing] = np.nan
        readings[-TESTS - WIDTH :, 0] = 30.0  # somebody is always known
        training = Training(readings[:TIMES], np.arange(TIMES, dtype=float), latitude, longitude,
                            1.0, horizon)  # fmt: skip
        ends = np.arange(TIMES, TIMES + TESTS)
        return training, readings[ends[:, None] - np.arange(WIDTH)[::-1] - horizon]

    return make


def smooth_field(stations: int, times: int, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Readings (T, S) of one smooth random field that moves on, latitude and longitude (S,)."""
    rng = np.random.default_rng(seed)
    east, north = rng.uniform(0, 20, (2, stations))  # km
    waves, ways = rng.normal(0, 0.15, (2, 12)), rng.uniform(0, 2 * np.pi, 12)
    hours = np.arange(times)[:, None, None]
    phase = east[:, None] * waves[0] + north[:, None] * waves[1] + ways
    speed = rng.normal(0, 0.3, 12)
    field = 40 + 4 * np.cos(phase + speed * hours).sum(axis=2)
    return field.astype(np.float32), 50 + north / 111.2, 4 + east / (111.2 * np.cos(np.radians(50)))
