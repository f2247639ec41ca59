"""Positions in a city on a plane."""

import numpy as np
import numpy.typing as npt

from data_prep.fill import EARTH_RADIUS_KM


def east_north_km(latitude: npt.ArrayLike, longitude: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return the positions of stations, (S, 2), in km east and north of their mean.

    Parameters
    ----------
    latitude, longitude : array of float, shape (S,)
        Degrees; the stations must not lie on both sides of the date line.
    """
    phi, lam = np.radians(latitude), np.radians(longitude)
    east = np.cos(phi.mean()) * (lam - lam.mean())
    return EARTH_RADIUS_KM * np.stack([east, phi - phi.mean()], axis=1)
