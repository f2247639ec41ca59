"""From the readings of a city to the input of a model: parts, scaling, windows, the grid."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from data_prep.city import CityData, DataError
from data_prep.fill import distances_km, fill

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Part = Literal["train", "validation", "test"]


def time_index(city: CityData, wanted: str) -> int:
    """Find a time of a city, given in ISO 8601 as the city has it; `DataError` if it has none."""
    first, last = city.times[[0, -1]]
    try:
        stamp = pd.to_datetime(wanted, format="ISO8601")
        (found,) = np.flatnonzero(city.times == stamp.tz_localize(None).to_datetime64())
    except ValueError as error:
        raise DataError(
            f"{city.name} has no time {wanted}; it has times from {first} to {last}"
        ) from error
    if stamp.tzinfo is not None:
        raise DataError(f"a time must be as the city has it, such as {first}, got {wanted}")
    return int(found)


PURGE = np.timedelta64(24, "h")
"""Left out between two parts, as readings are much like those of the hours before."""


PARTS = {"6:2:2": PURGE, "161:26:46": np.timedelta64(0, "h")}
"""Shares of training, validation and test, and what is left out between them: this package's, and
the published ones, in days."""

DEFAULT_PARTS = "6:2:2"


def split(city: CityData, parts: str = DEFAULT_PARTS) -> dict[Part, slice]:
    """Cut the times of a city into train, validation and test, in their order.

    Parameters
    ----------
    city : CityData
    parts : str
        A key of `PARTS`. The times that it leaves out, at the start of validation and test, are in
        no part. Default ``"6:2:2"``.
    """
    times = len(city.times)
    purge = int(np.ceil(PARTS[parts] / city.step))
    shares = [*map(int, parts.split(":"))]
    first, second = (times * part // sum(shares) for part in (shares[0], sum(shares[:2])))
    return {
        "train": slice(0, first),
        "validation": slice(min(first + purge, second), second),
        "test": slice(min(second + purge, times), times),
    }


SCALINGS = {
    "maximum": "maximum",
    "percentile": "99th percentile",
    "all": "maximum of all parts",
}
"""What becomes 1: of the training part the maximum or the 99th percentile, or, as published, the
maximum of all readings, which tells training something of the test."""


@dataclass(frozen=True)
class Scaler:
    """One minimum and one maximum over all stations, which become 0 and 1.

    Parameters
    ----------
    minimum, maximum : float
        In the unit of the readings.
    """

    minimum: float
    maximum: float

    @classmethod
    def fit(cls, city: CityData, scaling: str = "maximum", parts: str = DEFAULT_PARTS) -> "Scaler":
        """Take both from observed readings.

        Parameters
        ----------
        city : CityData
        scaling : str
            A key of `SCALINGS`. Default ``"maximum"``.
        parts : str
            A key of `PARTS`. Default ``"6:2:2"``.

        Raises
        ------
        DataError
            If there are no two different readings to take them from.
        """
        part = slice(None) if scaling == "all" else split(city, parts)["train"]
        readings = city.values[part][city.observed[part]]
        if readings.size == 0 or readings.min() == readings.max():
            raise DataError(
                f"{city.name} has no two different readings in its training part to scale by"
            )
        highest = np.quantile(readings, 0.99) if scaling == "percentile" else readings.max()
        return cls(float(readings.min()), float(highest))


class Windows:
    """The samples of a city, each named by the index of the time to be predicted.

    Parameters
    ----------
    city : CityData
        At least two stations.
    timesteps : int
        Consecutive times that a model sees.
    horizon : int
        Steps from the last of them to the predicted one.
    parts : str
        How the times are cut, a key of `PARTS`. Default ``"6:2:2"``.

    Raises
    ------
    DataError
        If the city has one station, which no other could inform a model of, or all of them stand
        at one place.
    """

    def __init__(
        self, city: CityData, timesteps: int, horizon: int, parts: str = DEFAULT_PARTS
    ) -> None:
        if len(city.stations) < 2:
            raise DataError(f"{city.name} has one station; interpolation needs at least two")
        self.city = city
        self.horizon = horizon
        self.parts = split(city, parts)
        self.distances = distances_km(city.stations["latitude"], city.stations["longitude"])
        if np.ptp(self.distances) == 0:
            raise DataError(f"all stations of {city.name} stand at one place")
        self._offsets = (np.arange(1 - timesteps, 1) - horizon) * city.step

    def times(self, part: Part, count: int | None = None) -> IntArray:
        """Return the times that can be predicted: somebody has a reading when the window ends.

        Parameters
        ----------
        part : {"train", "validation", "test"}
            Where the predicted time lies.
        count : int, optional
            How many of them to take, evenly spaced. Default all.

        Returns
        -------
        array of int64, shape (n,)
            Increasing indices of `city.times`.

        Raises
        ------
        DataError
            If there is none.
        """
        within = self.parts[part]
        times: IntArray = np.arange(within.start, within.stop)
        times = times[~np.isnan(self.readings(times)[:, -1]).all(axis=1)]
        if len(times) == 0:
            raise DataError(
                f"the {part} part of {self.city.name} ({within.stop - within.start} of "
                f"{len(self.city.times)} times) has no time that can be "
                f"predicted from readings"
            )
        if count is None or count >= len(times):
            return times
        spaced: IntArray = times[np.linspace(0, len(times) - 1, count).round().astype(np.int64)]
        return spaced

    def require(self, time: int) -> None:
        """Raise `DataError` unless `time` is one of the city that can be predicted."""
        stamps = self.city.times
        if not 0 <= time < len(stamps):
            raise DataError(
                f"time_index must be 0 .. {len(stamps) - 1} in {self.city.name}, got {time}"
            )
        if np.isnan(self.readings(np.array([time]))[:, -1]).all():
            seen = stamps[time] + self._offsets[-1]
            raise DataError(f"no station of {self.city.name} has a reading at {seen}")

    def readings(self, times: IntArray) -> FloatArray:
        """Return the readings of each window, float32 (B, timesteps, S); NaN = missing.

        All readings of a time that the city does not have are missing.
        """
        stamps = self.city.times
        wanted = stamps[times][:, None] + self._offsets  # (B, timesteps)
        found = np.searchsorted(stamps, wanted).clip(max=len(stamps) - 1)
        there = (stamps[found] == wanted)[..., None]
        return np.where(there, self.city.values[found], np.float32(np.nan))

    def inputs(self, times: IntArray, hidden: BoolArray) -> FloatArray:
        """Return what a model may see.

        Parameters
        ----------
        times : array of int64, shape (B,)
            From `times`.
        hidden : array of bool, shape (B, S)
            Stations whose readings the model does not see, in no time of the window and in no
            fill of another station.

        Returns
        -------
        array of float32, shape (B, timesteps, S)
            The readings, missing ones filled by IDW from the visible stations at the same time;
            NaN at hidden stations, and where no visible station has a reading.
        """
        readings = self.readings(times)
        visible = np.broadcast_to(~hidden[:, None], readings.shape)
        return np.where(visible, fill(readings, self.distances, visible=visible), np.nan)


def to_grid(stations: Tensor, city: CityData) -> Tensor:
    """Put values of stations into their cells.

    Parameters
    ----------
    stations : Tensor, shape (B, T, S)
        Scaled; NaN = unknown.
    city : CityData
        Tells the cells and the grid.

    Returns
    -------
    Tensor, shape (B, T, 1, H, W)
        On the same device; 0 where nothing is known, as in the cells without a station.
    """
    B, T, _ = stations.shape
    grid = stations.new_zeros(B, T, city.grid[0] * city.grid[1])
    grid[..., torch.tensor(city.cells, device=stations.device)] = stations.nan_to_num(0.0)
    return grid.view(B, T, 1, *city.grid)
