"""How the time of a step grows with the batch, the channels, the cells and the segments."""

from collections.abc import Iterator, Sequence
from math import log
from statistics import linear_regression
from typing import Any, NamedTuple

import torch

from tritonbn.bench.cases import CONTIGUOUS, FLOAT32, Input, Shape
from tritonbn.bench.measure import measure
from tritonbn.bench.peers import GLOBAL, LOCAL, ONE_HOT, STATS, peers

_FITTED = 3
_COMPARED = (GLOBAL, LOCAL, ONE_HOT, STATS)


class Point(NamedTuple):
    """An input of a series, in which one size varies."""

    vary: str
    value: int
    case: Input
    segments: str


def points() -> Iterator[Point]:
    """List the inputs of all series."""

    def point(vary: str, value: int, shape: Shape, segments: str = "32 nearest") -> Point:
        return Point(vary, value, Input(shape, FLOAT32, CONTIGUOUS), segments)

    for batch in (8, 32, 128, 512):
        yield point("batch", batch, (batch, 16, 32, 32))
    for channels in (4, 16, 64, 256):
        yield point("channels", channels, (32, channels, 32, 32))
    for side in (16, 32, 64, 128):
        yield point("cells", side * side, (32, 16, side, side))
    for segments in (1, 10, 100, 1_000, 10_000, 100_000):
        yield point("segments", segments, (8, 4, 320, 320), f"{segments} runs")


def measure_point(point: Point, device: torch.device) -> list[dict[str, Any]]:
    """Time the training steps at a point."""
    compared = peers(point.case, point.segments, device)
    if point.vary != "segments":
        compared = peers(point.case, "single", device)[:1] + compared
    chosen = [peer for peer in compared if peer.name in _COMPARED]
    rows = measure(point.case, chosen, device, ("step",))
    return [{"vary": point.vary, "value": point.value, **row} for row in rows]


def exponent(points: Sequence[tuple[float, float]]) -> float:
    """Fit the exponent p of time ~ value ** p to the three largest values.

    Small inputs are left out, as the overhead of a call determines their times.

    Parameters
    ----------
    points : sequence of (value, time)
        At least two.

    Returns
    -------
    float

    Examples
    --------
    >>> from tritonbn.bench.growth import exponent
    >>> round(exponent([(1, 5.0), (2, 8.0), (4, 32.0), (8, 128.0)]), 3)
    2.0
    """
    largest = sorted(points)[-_FITTED:]
    values, times = zip(*largest, strict=True)
    return linear_regression([*map(log, values)], [*map(log, times)]).slope


def exponents(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Return the exponents of the rows of "growth" in a record.

    Parameters
    ----------
    rows : sequence of dict
        As `measure_point` returns them.

    Returns
    -------
    dict
        By layer and size: the exponent, and the shortest and longest median in microseconds.
        Series with less than two values are left out.
    """
    series: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for row in rows:
        if "step" in row:
            pair = (float(row["value"]), float(row["step"]["median_us"]))
            series.setdefault((row["layer"], row["vary"]), []).append(pair)
    return {
        name: (exponent(measured), min(y for _, y in measured), max(y for _, y in measured))
        for name, measured in series.items()
        if len(measured) > 1
    }
