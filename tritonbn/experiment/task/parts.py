"""How the times of a city are divided into training, validation and test."""

from typing import Literal

import numpy as np

from data_prep.city import CityData

Part = Literal["train", "validation", "test"]

TESTED_PARTS: tuple[Part, ...] = ("validation", "test")
"""The parts in which networks and baselines are scored: validation to choose among them, and the
test to tell how good the choice is."""

GAP = np.timedelta64(24, "h")
"""Left out between two parts, because readings resemble those of the hours before."""

PARTS = {
    "6:2:2": GAP,
    "3:3:2:2": GAP,
    "9:3:4:4": GAP,
    "161:26:46": np.timedelta64(0, "h"),
}
"""The shares of training, validation and test, and the gap between them: those of this package, the
same with the last half or the last quarter of the training times (four numbers: the first is the
share of the times that are left out), and the published ones, in days."""

DEFAULT_PARTS = "6:2:2"


def split(city: CityData, parts: str = DEFAULT_PARTS) -> dict[Part, slice]:
    """Divide the times of a city, in their order, into training, validation and test.

    Parameters
    ----------
    city : CityData
    parts : str
        A key of `PARTS`. Default ``"6:2:2"``.

    Returns
    -------
    dict of slice
        Indices into `city.times`. The gaps, at the start of validation and test, are in no part.
    """
    times = len(city.times)
    gap = int(np.ceil(PARTS[parts] / city.step))
    shares = np.cumsum([*map(int, parts.split(":"))]).tolist()
    start, first, second = (times * share // shares[-1] for share in (0, *shares)[-4:-1])
    return {
        "train": slice(start, first),
        "validation": slice(min(first + gap, second), second),
        "test": slice(min(second + gap, times), times),
    }
