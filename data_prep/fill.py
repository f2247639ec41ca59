"""Inverse distance weighting (IDW): estimates from the other stations' readings of that time."""

import numpy as np
import numpy.typing as npt

EARTH_RADIUS_KM = 6371.0088
SHORTEST_DISTANCE_KM = 0.05


def distances_km(
    latitude: npt.ArrayLike,
    longitude: npt.ArrayLike,
    to: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
) -> npt.NDArray[np.float64]:
    """Return the great-circle distance of each station to every station, or to other places.

    Parameters
    ----------
    latitude, longitude : array of float, shape (S,)
        Degrees.
    to : (array of float, array of float), shapes (P,), optional
        Latitudes and longitudes of other places. Default: the stations.

    Returns
    -------
    array of float64, shape (S, P)
        Kilometres, nowhere below 0.05: two stations on one corner must not outweigh the city.
    """
    phi, lam = (np.radians(np.asarray(axis, np.float64))[:, None] for axis in (latitude, longitude))
    phi_to, lam_to = (
        np.radians(np.asarray(axis, np.float64)) for axis in to or (latitude, longitude)
    )
    haversine = (
        np.sin((phi - phi_to) / 2) ** 2
        + np.cos(phi) * np.cos(phi_to) * np.sin((lam - lam_to) / 2) ** 2
    )
    distances = 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.minimum(haversine, 1)))
    return np.asarray(np.maximum(distances, SHORTEST_DISTANCE_KM), np.float64)


def idw(
    values: npt.NDArray[np.floating],
    distances: npt.NDArray[np.floating],
    power: float = 2.0,
    visible: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float32]:
    """Estimate each station from the *other* stations of the same row.

    Parameters
    ----------
    values : array of float, shape (..., S)
        Readings; NaN = missing. A row is one time.
    distances : array of float, shape (S, S)
        From `distances_km`.
    power : float
        A reading weighs ``distance ** -power``. Default 2.
    visible : array of bool, shape (..., S), optional
        Readings that may be used; the others count as missing. Default: all.

    Returns
    -------
    array of float32, shape (..., S)
        NaN where no other station has a reading that may be used.
    """
    known = _known(values, visible)
    weights = distances.astype(np.float64) ** -power
    np.fill_diagonal(weights, 0.0)
    weighted_sum = np.where(known, values, 0.0).astype(np.float64) @ weights
    total_weight = known.astype(np.float64) @ weights
    with np.errstate(invalid="ignore"):  # 0 / 0 = NaN where no other station is known
        return np.asarray(weighted_sum / total_weight, np.float32)


def fill(
    values: npt.NDArray[np.floating],
    distances: npt.NDArray[np.floating],
    power: float = 2.0,
    visible: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float32]:
    """Replace what is missing, or not visible, by its `idw` estimate.

    Parameters and shapes are those of `idw`.

    Returns
    -------
    array of float32, shape (..., S)
        The readings where they may be used, estimates elsewhere; NaN where there is neither.
    """
    known = _known(values, visible)
    estimate = idw(values, distances, power, visible)
    return np.where(known, values, estimate).astype(np.float32)


def _known(
    values: npt.NDArray[np.floating], visible: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.bool_]:
    observed: npt.NDArray[np.bool_] = ~np.isnan(values)
    return observed if visible is None else observed & visible
