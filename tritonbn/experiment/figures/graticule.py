"""Lines of latitude and longitude, which take the place of a base map."""

from matplotlib.ticker import MaxNLocator

Point = tuple[float, float]
"""Latitude and longitude in degrees."""


def graticule(
    west: float, east: float, south: float, north: float
) -> list[tuple[str, tuple[Point, Point]]]:
    """Return lines between the edges of a map: the degrees as text, and both ends of the line."""
    parallels = [
        (_degrees(latitude, "NS"), ((latitude, west), (latitude, east)))
        for latitude in _ticks(south, north)
    ]
    meridians = [
        (_degrees(longitude, "EW"), ((south, longitude), (north, longitude)))
        for longitude in _ticks(west, east)
    ]
    return parallels + meridians


def _degrees(value: float, directions: str) -> str:
    """Return a latitude or longitude with its direction, the second one if it is negative."""
    return f"{abs(value):g}° {directions[value < 0]}"


def _ticks(low: float, high: float) -> list[float]:
    ticks = MaxNLocator(4).tick_values(low, high)
    return [float(round(tick, 6)) for tick in ticks if low < tick < high]
