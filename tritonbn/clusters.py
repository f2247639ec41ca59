"""Stations that are alike, by k-means."""

from importlib.util import find_spec
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

    table = np.asarray(features, np.float64)
    if table.ndim != 2 or len(table) != stations or not np.isfinite(table).all():
        raise ValueError(
            f"features must be finite numbers of shape ({stations} stations, F), got "
            f"{np.count_nonzero(~np.isfinite(table))} others in shape {table.shape}"
        )
    if not 1 <= k <= stations:
        raise ValueError(f"k must be between 1 and the number of stations, {stations}, got {k}")
    scaled = StandardScaler().fit_transform(table)
    labels = KMeans(k, n_init=10, random_state=0).fit_predict(scaled)
    order = {label: number for number, label in enumerate(dict.fromkeys(labels.tolist()))}
    return torch.tensor([order[label] for label in labels.tolist()])
