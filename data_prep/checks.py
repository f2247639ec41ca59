"""Warnings of readings that are probably not what they seem to be."""

import warnings
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data_prep.city import CityData, DataWarning, most_common_step

POSSIBLE = (-50.0, 5000.0)
"""Possible readings of particulate matter in ug/m3; negative ones are noise around zero."""

_SHOWN = 3
_COUNTED = 1000
_LOW_COVERAGE = 0.5
_LEAST_READINGS = 10
_HOUR = 3600
_SECOND = np.timedelta64(1, "s")


class Impossible:
    """Counts readings outside of `POSSIBLE`.

    Attributes
    ----------
    number : int
    values : Counter
        How often each of them occurs, of the first few different ones.
    """

    def __init__(self) -> None:
        self.number = 0
        self.values: Counter[float] = Counter()

    def add(self, readings: npt.NDArray[np.float64]) -> None:
        """Add the impossible ones of some readings."""
        beyond = readings[(readings < POSSIBLE[0]) | (readings > POSSIBLE[1])]
        self.number += len(beyond)
        for value, count in zip(*np.unique(beyond, return_counts=True), strict=True):
            if value in self.values or len(self.values) < _COUNTED:
                self.values[float(value)] += int(count)


def warn_of_impossible_values(found: Impossible, readings: int, city: CityData) -> None:
    """Warn of readings outside of `POSSIBLE`, which are often codes for missing readings."""
    if not found.number:
        return
    common = found.values.most_common(_SHOWN)
    examples = ", ".join(f"{value:g} ({count:,} times)" for value, count in common)
    warnings.warn(
        f"{found.number:,} of {readings:,} readings of {city.name} are impossible for "
        f"{city.quantity} in {city.unit}: {examples}. If they are codes for missing readings, "
        "prepare the city with valid=(-50, 1000), on the command line --valid=-50:1000",
        DataWarning,
        stacklevel=2,
    )


def warn_of_unknown_stations(names: Collection[str], stations: Path) -> None:
    """Warn of names in the readings that the table of stations does not have."""
    if not names:
        return
    shown = ", ".join(sorted(names)[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
    warnings.warn(
        f"{stations} does not have {len(names):,} of the stations in the readings, which are left "
        f"out: {shown}",
        DataWarning,
        stacklevel=2,
    )


def warn_of_scattered_times(city: CityData) -> None:
    """Warn of stations that read at different times, so that most of the table is empty."""
    coverage = city.observed.mean()
    if coverage >= _LOW_COVERAGE:
        return
    steps = [
        most_common_step(city.times[observed]) / _SECOND
        for observed in city.observed.T
        if observed.sum() >= _LEAST_READINGS
    ]
    if not steps:
        return
    own, together = np.median(steps), city.step / _SECOND
    if own >= 2 * together:
        every = "1h" if own <= _HOUR else "1d"
        warnings.warn(
            f"the stations of {city.name} read every {own:g} s, but at different times: together "
            f"they have a time every {together:g} s, at which {coverage:.0%} of them have a "
            f"reading. Prepare the city with means of common periods: every={every!r}, on the "
            f"command line --every {every}",
            DataWarning,
            stacklevel=2,
        )
