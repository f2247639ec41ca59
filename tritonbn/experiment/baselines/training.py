"""`Training`: the readings that a baseline may learn from."""

from dataclasses import dataclass, replace

import numpy as np

from data_prep.city import DataError
from data_prep.fill import distances_km
from tritonbn.experiment.task.arrays import DoubleArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Training:
    """The readings that a baseline may learn from.

    Parameters
    ----------
    readings : array of float32, shape (T, S)
        The training part in chronological order, in ug/m3; NaN where there is no reading, or where
        the station is held out.
    hours : array of float64, shape (T,)
        The time of each row, in hours since any epoch, strictly increasing; rows may be missing.
    latitude, longitude : array of float, shape (S,)
        Positions of all stations, in degrees.
    step : float
        Hours between two consecutive times.
    horizon : int
        Steps from the newest readings that an estimate may use to the estimated time: 0 or 1.

    Raises
    ------
    DataError
        If the shapes do not match, the times do not increase, or there are fewer than two stations,
        two times or one reading.
    """

    readings: FloatArray
    hours: DoubleArray
    latitude: DoubleArray
    longitude: DoubleArray
    step: float
    horizon: int

    def __post_init__(self) -> None:
        shapes = self.readings.shape, (*self.hours.shape, *self.latitude.shape)
        if shapes[0] != shapes[1] or self.latitude.shape != self.longitude.shape:
            raise DataError(
                f"readings must be (times, stations): got {shapes[0]} of {len(self.hours)} hours, "
                f"{len(self.latitude)} latitudes and {len(self.longitude)} longitudes"
            )
        if min(self.readings.shape) < 2:
            raise DataError(f"at least two times and two stations are needed, got {shapes[0]}")
        if not (np.diff(self.hours) > 0).all():
            raise DataError("hours must be strictly increasing")
        if self.horizon not in (0, 1):
            raise DataError(f"horizon must be 0 or 1, got {self.horizon}")
        if np.isnan(self.readings).all():
            raise DataError("the training part has no reading")

    @property
    def distances(self) -> DoubleArray:
        """Distances between the stations, (S, S), in km; see `distances_km`."""
        return distances_km(self.latitude, self.longitude)

    def without(self, station: int) -> "Training":
        """Return a copy without the readings of one station."""
        readings = self.readings.copy()
        readings[:, station] = np.nan
        return replace(self, readings=readings)

    def pairs(self) -> tuple[IntArray, IntArray]:
        """Return the rows to estimate from and the rows to estimate, `horizon` steps later.

        Returns
        -------
        seen, estimated : arrays of int64, shape (P,)
            Rows are left out if the time `horizon` steps earlier is missing.
        """
        estimated = np.arange(self.horizon, len(self.hours))
        seen = estimated - self.horizon
        span = self.hours[estimated] - self.hours[seen]
        complete = np.isclose(span, self.horizon * self.step)
        return seen[complete], estimated[complete]
