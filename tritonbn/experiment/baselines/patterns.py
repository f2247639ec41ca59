"""Estimate rows with the same missing readings together, since they share their equations."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from tritonbn.experiment.task.arrays import BoolArray, DoubleArray


def by_pattern(
    readings: npt.NDArray[np.floating], solve: Callable[[BoolArray, DoubleArray], DoubleArray]
) -> DoubleArray:
    """Estimate together the rows in which the same readings are missing.

    Parameters
    ----------
    readings : array of float, shape (B, N)
        NaN = missing.
    solve : callable
        Maps the mask of known readings, (N,), and the m known readings of such rows, (b, m), to
        estimates, (b,).

    Returns
    -------
    array of float64, shape (B,)
    """
    patterns, pattern = np.unique(~np.isnan(readings), axis=0, return_inverse=True)
    estimates = np.empty(len(readings))
    for number, known in enumerate(patterns):
        rows = pattern == number
        estimates[rows] = solve(known, readings[rows][:, known].astype(np.float64))
    return estimates
