"""`Windows`: the samples of a city, each made of the readings that precede a predicted time."""

import numpy as np

from data_prep.city import CityData, DataError
from data_prep.fill import distances_km, fill
from tritonbn.experiment.task.arrays import BoolArray, FloatArray, IntArray
from tritonbn.experiment.task.parts import DEFAULT_PARTS, Part, split


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
        How the times are divided, a key of `tritonbn.experiment.task.parts.PARTS`. Default
        ``"6:2:2"``.

    Raises
    ------
    DataError
        If the city has a single station, so that there is nothing to interpolate from, or all
        stations have the same position.
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
            raise DataError(f"all stations of {city.name} have the same position")
        self._offsets = (np.arange(1 - timesteps, 1) - horizon) * city.step

    def times(self, part: Part, count: int | None = None) -> IntArray:
        """Return the times that can be predicted: a station has a reading at the end of the window.

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
        if within.stop <= within.start:
            raise DataError(
                f"the {part} part of {self.city.name} is empty: {len(self.city.times)} times are "
                "too few to be divided with the gaps between the parts"
            )
        if len(times) == 0:
            raise DataError(
                f"the {part} part of {self.city.name} ({within.stop - within.start} of "
                f"{len(self.city.times)} times) has no time that can be predicted, because no "
                "station has a reading at the end of its window"
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
                f"the index of a time in {self.city.name} must be from 0 to {len(stamps) - 1}, "
                f"got {time}"
            )
        if np.isnan(self.readings(np.array([time]))[:, -1]).all():
            seen = stamps[time] + self._offsets[-1]
            raise DataError(f"no station of {self.city.name} has a reading at {seen}")

    def readings(self, times: IntArray) -> FloatArray:
        """Return the readings of each window, float32 (B, timesteps, S); NaN = missing.

        All readings are missing at a time that the city does not have.
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
            Stations whose readings the model does not see: neither at any time of the window nor
            through the values that fill the gaps of other stations.

        Returns
        -------
        array of float32, shape (B, timesteps, S)
            The readings, missing ones filled by IDW from the visible stations at the same time;
            NaN at hidden stations, and where no visible station has a reading.
        """
        readings = self.readings(times)
        visible = np.broadcast_to(~hidden[:, None], readings.shape)
        return np.where(visible, fill(readings, self.distances, visible=visible), np.nan)
