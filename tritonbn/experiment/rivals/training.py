"""What a rival may learn from."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from data_prep.city import DataError
from data_prep.fill import distances_km
from tritonbn.experiment.dataset import FloatArray, IntArray

DoubleArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Training:
    """What a rival may learn from.

    Parameters
    ----------
    readings : array of float32, shape (T, S)
        The training part, in the order of time, in ug/m3; NaN where there is no reading or the
        station must not be known.
    hours : array of float64, shape (T,)
        Time of each row, in hours since any epoch. Increasing; steps may be absent.
    latitude, longitude : array of float, shape (S,)
        Degrees, of all stations.
    step : float
        Hours between two times; some may be absent.
    horizon : int
        Steps from the last readings that an estimate may use to the time estimated: 0 or 1.

    Raises
    ------
    DataError
        If shapes do not fit together, times do not increase, or there are fewer than two
        stations, two times or one reading.
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
        """Of every two stations, (S, S), in km; see `distances_km`."""
        return distances_km(self.latitude, self.longitude)

    def without(self, station: int) -> "Training":
        """Return the same, but for the readings of one station."""
        readings = self.readings.copy()
        readings[:, station] = np.nan
        return replace(self, readings=readings)

    def pairs(self) -> tuple[IntArray, IntArray]:
        """Return the rows to estimate from and the rows to estimate, `horizon` steps later.

        Returns
        -------
        seen, estimated : arrays of int64, shape (P,)
            Left out are the rows whose time `horizon` steps earlier is absent.
        """
        estimated = np.arange(self.horizon, len(self.hours))
        seen = estimated - self.horizon
        span = self.hours[estimated] - self.hours[seen]
        complete = np.isclose(span, self.horizon * self.step)
        return seen[complete], estimated[complete]
