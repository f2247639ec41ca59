"""Inverse distance weighting (IDW): estimates from simultaneous readings of other stations."""

import math
from collections.abc import Iterator
from types import EllipsisType

import numpy as np
import numpy.typing as npt

EARTH_RADIUS_KM = 6371.0088
SHORTEST_DISTANCE_KM = 0.05

_BLOCK_VALUES = 1 << 22


def distances_km(
    latitude: npt.ArrayLike,
    longitude: npt.ArrayLike,
    to: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
) -> npt.NDArray[np.float64]:
    """Return the great-circle distances between stations, or from stations to other places.

    Parameters
    ----------
    latitude, longitude : array of float, shape (S,)
        Degrees.
    to : (array of float, array of float), shapes (P,), optional
        Latitudes and longitudes of other places in degrees. Default: the stations.

    Returns
    -------
    array of float64, shape (S, P)
        Kilometres, at least 0.05, so that two adjacent stations do not outweigh all others.

    Examples
    --------
    >>> from data_prep.fill import distances_km
    >>> distances_km([51.0, 52.0], [4.0, 4.0]).round(2).tolist()
    [[0.05, 111.2], [111.2, 0.05]]
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
        Readings, NaN where missing. A row is one time.
    distances : array of float, shape (S, S)
        From `distances_km`.
    power : float
        The weight of a reading is ``distance ** -power``. Default 2.
    visible : array of bool, shape (..., S), optional
        Readings that may be used; the others count as missing. Default: all.

    Returns
    -------
    array of float32, shape (..., S)
        NaN where no other station has a reading that may be used.

    Examples
    --------
    >>> import numpy as np
    >>> from data_prep.fill import idw
    >>> distances = np.array([[0.05, 1.0, 2.0], [1.0, 0.05, 1.0], [2.0, 1.0, 0.05]])
    >>> idw(np.array([[10.0, np.nan, 20.0]]), distances)
    array([[20., 15., 10.]], dtype=float32)
    """
    known = _known(values, visible)
    weights = distances.astype(np.float64) ** -power
    np.fill_diagonal(weights, 0.0)
    values = np.broadcast_to(values, known.shape)
    estimates = np.empty(known.shape, np.float32)
    for rows in _blocks(known.shape):
        seen = known[rows]
        weighted_sum = np.where(seen, values[rows], 0.0).astype(np.float64) @ weights
        total_weight = seen.astype(np.float64) @ weights
        with np.errstate(invalid="ignore"):  # 0 / 0 = NaN where no other station is known
            estimates[rows] = weighted_sum / total_weight
    return estimates


def fill(
    values: npt.NDArray[np.floating],
    distances: npt.NDArray[np.floating],
    power: float = 2.0,
    visible: npt.NDArray[np.bool_] | None = None,
) -> npt.NDArray[np.float32]:
    """Replace readings that are missing or not visible by their `idw` estimates.

    The parameters are those of `idw`.

    Returns
    -------
    array of float32, shape (..., S)
        Readings where they may be used, otherwise estimates; NaN where there is neither.

    Examples
    --------
    >>> import numpy as np
    >>> from data_prep.fill import fill
    >>> distances = np.array([[0.05, 1.0, 2.0], [1.0, 0.05, 1.0], [2.0, 1.0, 0.05]])
    >>> fill(np.array([[10.0, np.nan, 20.0]]), distances)
    array([[10., 15., 20.]], dtype=float32)
    """
    known = _known(values, visible)
    estimate = idw(values, distances, power, visible)
    return np.where(known, values, estimate).astype(np.float32)


def _blocks(shape: tuple[int, ...]) -> Iterator[slice | EllipsisType]:
    """Divide rows into blocks: the computation in float64 needs several times the memory."""
    if len(shape) < 2:
        yield ...
        return
    size = max(1, _BLOCK_VALUES // max(1, math.prod(shape[1:])))
    yield from (slice(start, start + size) for start in range(0, shape[0], size))


def _known(
    values: npt.NDArray[np.floating], visible: npt.NDArray[np.bool_] | None
) -> npt.NDArray[np.bool_]:
    observed: npt.NDArray[np.bool_] = ~np.isnan(values)
    return observed if visible is None else observed & visible
