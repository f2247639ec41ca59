"""Warnings of readings that are probably not what they seem to be."""

import warnings
from collections import Counter

import numpy as np

from data_prep.city import CityData, DataWarning

POSSIBLE = (-50.0, 5000.0)
"""Possible readings of particulate matter in ug/m3; negative ones are noise around zero."""

_SHOWN = 3
_LOW_COVERAGE = 0.5
_LEAST_READINGS = 10
_HOUR = 3600


def warn_of_impossible_values(city: CityData) -> None:
    """Warn of readings outside of `POSSIBLE`, which are often codes for missing readings."""
    with np.errstate(invalid="ignore"):  # NaN is not outside
        beyond = city.values[(city.values < POSSIBLE[0]) | (city.values > POSSIBLE[1])]
    if not len(beyond):
        return
    common = Counter(beyond.tolist()).most_common(_SHOWN)
    examples = ", ".join(f"{value:g} ({count:,} times)" for value, count in common)
    warnings.warn(
        f"{len(beyond):,} of {np.count_nonzero(city.observed):,} readings of {city.name} are "
        f"impossible for {city.quantity} in {city.unit}: {examples}. If they are codes for missing "
        "readings, prepare the city with valid=(0, 1000), on the command line --valid 0:1000",
        DataWarning,
        stacklevel=2,
    )


def warn_of_scattered_times(city: CityData) -> None:
    """Warn of stations that read at different times, so that most of the table is empty."""
    coverage = city.observed.mean()
    if coverage >= _LOW_COVERAGE:
        return
    steps = [
        _most_common(np.diff(city.times[observed]))
        for observed in city.observed.T
        if observed.sum() >= _LEAST_READINGS
    ]
    if not steps:
        return
    own, together = np.median(steps), _most_common(np.diff(city.times))
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


def _most_common(distances: "np.ndarray[tuple[int], np.dtype[np.timedelta64]]") -> float:
    values, counts = np.unique(distances.astype(np.int64), return_counts=True)
    return float(values[counts.argmax()])
