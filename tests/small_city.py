"""A city that is small, and settings with which a network is trained on it in a moment."""

from pathlib import Path

import numpy as np
import pandas as pd

TINY = {"steps": 4, "batch_size": 4, "validate_every": 2, "test_times": 28, "validation_times": 2}


def write_city(folder: Path, start: str = "2024-01-01", seed: int = 0) -> Path:
    """Write a tidy city of four stations and 300 hours."""
    folder.mkdir()
    names = ["North", "East", "South", "West"]
    places = {"latitude": [1.2, 1.1, 1.0, 1.1], "longitude": [2.1, 2.2, 2.1, 2.0]}
    pd.DataFrame({"station": names, **places}).to_csv(folder / "stations.csv", index=False)
    times = pd.date_range(start, periods=300, freq="h")
    index = pd.MultiIndex.from_product([times, names], names=["time", "station"])
    values = np.random.default_rng(seed).uniform(5, 40, len(index))
    readings = pd.DataFrame({"value": values}, index=index).reset_index()
    readings.to_csv(folder / "readings.csv", index=False)
    return folder
