"""Levels of segments, from fine to coarse, for what a training may know of a city."""

import numpy as np
import numpy.typing as npt
import pandas as pd

from tritonbn.experiment.task.windows import Windows
from tritonbn.segments import Segments

CLUSTERS = 4
"""The number of clusters of stations, or that of the stations if it is smaller."""

_MIN_PAIRS = 24
"""Readings at the same times that a correlation of two stations needs."""


def of_places(windows: Windows) -> list[Segments]:
    """Return the cells, the cells nearest to each station, and the whole grid."""
    city = windows.city
    stations = Segments.nearest(city.cells.tolist(), city.grid)
    return [Segments.per_cell(city.grid), stations, Segments.single(city.grid)]


def of_places_and_clusters(windows: Windows) -> list[Segments]:
    """Return those of `of_places`, with clusters of correlated stations below the whole grid."""
    city, features = windows.city, correlations(windows)
    k = min(CLUSTERS, len(np.unique(features, axis=0)))
    clusters = Segments.clusters(features, k, city.cells.tolist(), city.grid)
    *finer, grid = of_places(windows)
    return [*finer, clusters, grid]


def correlations(windows: Windows) -> npt.NDArray[np.float64]:
    """Return the correlation of each station with all stations, in the training part.

    Returns
    -------
    array, shape (S, S)
        Where two stations have too few readings at the same times, or constant ones, the mean of
        the other pairs is taken, or 0 if there is none.
    """
    readings = pd.DataFrame(windows.city.values[windows.parts["train"]])
    found = readings.corr(min_periods=_MIN_PAIRS).to_numpy(copy=True)
    np.fill_diagonal(found, np.nan)
    known = found[~np.isnan(found)]
    found[np.isnan(found)] = known.mean() if len(known) else 0.0
    np.fill_diagonal(found, 1.0)
    return found
