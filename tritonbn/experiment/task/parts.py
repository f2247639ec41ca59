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

PARTS = {"6:2:2": GAP, "161:26:46": np.timedelta64(0, "h")}
"""The shares of training, validation and test, and the gap between them: those of this package,
and the published ones, in days."""

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
    shares = [*map(int, parts.split(":"))]
    first, second = (times * part // sum(shares) for part in (shares[0], sum(shares[:2])))
    return {
        "train": slice(0, first),
        "validation": slice(min(first + gap, second), second),
        "test": slice(min(second + gap, times), times),
    }
