"""Stations that are alike, by k-means."""

from importlib.util import find_spec
from numbers import Integral
from typing import Any

import numpy as np
import torch
from torch import Tensor


def cluster(features: Any, k: int, stations: int) -> Tensor:
    """Return the cluster of each station, as `tritonbn.Segments.clusters` describes it."""
    if find_spec("sklearn") is None:
        raise ImportError("clusters need scikit-learn: pip install 'tritonbn[clusters]'")
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import StandardScaler

    try:
        table = np.asarray(features, np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"features must be numbers of shape (stations, F): {error}") from error
    if table.ndim != 2 or len(table) != stations or not table.size:
        raise ValueError(
            f"features must have shape ({stations}, F), F numbers for each station, got "
            f"{table.shape}"
        )
    if missing := np.count_nonzero(~np.isfinite(table)):
        raise ValueError(f"features must be finite, got {missing} numbers that are not")
    different = len(np.unique(table, axis=0))
    if not isinstance(k, Integral) or not 1 <= k <= different:
        raise ValueError(
            f"k must be an integer from 1 to {different}, the number of stations with different "
            f"features, got {k}"
        )
    scaled = StandardScaler().fit_transform(table)
    labels = KMeans(int(k), n_init=10, random_state=0).fit_predict(scaled)
    order = {label: number for number, label in enumerate(dict.fromkeys(labels.tolist()))}
    return torch.tensor([order[label] for label in labels.tolist()])
