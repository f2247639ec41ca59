"""Figures of the readings of a city: by hour of the day, by day, and by station."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from data_prep.city import CityData

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 11,
    "figure.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}
"""Parameters of Matplotlib, for `matplotlib.rc_context`."""

CSS_PIXELS_PER_INCH = 96
PNG_DPI = 160
COLORMAP = "viridis_r"
NO_READINGS = "#D8D8D8"
NAMED_STATIONS = 60
"""So many stations have their names at the axis."""


def draw_diurnal(city: CityData) -> Figure:
    """Draw the mean and the quartiles of all readings at each hour of the day."""
    hour_of_time = (city.times - city.times.astype("datetime64[D]")) // np.timedelta64(1, "h")
    mean, low, high = np.full((3, 24), np.nan)
    for hour in range(24):
        values = city.values[hour_of_time == hour]
        readings = values[~np.isnan(values)]
        if len(readings):
            mean[hour] = readings.mean(dtype=np.float64)
            low[hour], high[hour] = np.quantile(readings, [0.25, 0.75])
    with rc_context(STYLE):
        figure, ax = _new(8, 3.6)
        hours = np.arange(24)
        ax.bar(hours, high - low, bottom=low, color="#B9D3EA", label="first to third quartile")
        ax.plot(hours, mean, color="#1F5C99", marker="o", ms=4, label="mean")
        ax.set(xlabel="hour of the day", xlim=(-0.6, 23.6), xticks=range(0, 24, 3))
        ax.set_ylabel(f"{city.quantity} ({city.unit})")
        figure.legend(loc="outside upper center", ncols=2, frameon=False)
    return figure


def draw_calendar(city: CityData) -> Figure:
    """Draw the mean of all readings of each day, with a row for each month."""
    days, starts = np.unique(city.times.astype("datetime64[D]"), return_index=True)
    readings = np.add.reduceat(city.observed.sum(axis=1), starts)
    totals = np.add.reduceat(np.nansum(city.values, axis=1, dtype=np.float64), starts)
    months = np.arange(days[0].astype("datetime64[M]"), days[-1].astype("datetime64[M]") + 1)
    means = np.full((len(months), 31), np.nan)
    inside = np.full((len(months), 31), np.nan)
    means[_place(days, months)] = np.where(readings, totals / np.maximum(readings, 1), np.nan)
    inside[_place(np.arange(days[0], days[-1] + 1), months)] = 0
    with rc_context(STYLE):
        figure, ax = _new(10, 1.4 + 0.28 * len(months))
        edges = np.arange(32) + 0.5, np.arange(len(months) + 1) - 0.5
        for values, colors in ((inside, ListedColormap([NO_READINGS])), (means, COLORMAP)):
            mesh = ax.pcolormesh(*edges, values, cmap=colors, edgecolors="white", linewidth=1)
        label = f"{city.quantity} ({city.unit})"
        figure.colorbar(mesh, ax=ax, label=label, aspect=10, pad=0.01)
        ax.set_yticks(np.arange(len(months)), months.astype(str))
        ax.set(xlabel="day of the month", xticks=[1, *range(5, 31, 5)])
        ax.invert_yaxis()
        ax.tick_params(length=0)
        ax.spines[:].set_visible(False)
    return figure


def draw_coverage(city: CityData) -> Figure:
    """Draw how many readings each station has on each day, or in each hour of a short period."""
    short = city.times[-1] - city.times[0] <= np.timedelta64(7, "D")
    unit = "h" if short else "D"
    bins, starts = np.unique(city.times.astype(f"datetime64[{unit}]"), return_index=True)
    ends = np.array([bins[0], bins[-1] + 1])
    counts = np.zeros((int((ends[1] - ends[0]).astype(int)), len(city.stations)))
    counts[(bins - ends[0]).astype(int)] = np.add.reduceat(city.observed, starts, dtype=np.int64)
    with rc_context({**STYLE, "date.converter": "concise"}):
        figure, ax = _new(10, float(np.clip(1.4 + 0.2 * len(city.stations), 1.8, 9)))
        picture = ax.imshow(
            np.ma.masked_equal(counts.T, 0),
            aspect="auto",
            interpolation="nearest",
            cmap="Blues",
            vmin=0,
            extent=(*ends.astype("datetime64[s]"), len(city.stations) - 0.5, -0.5),
        )
        ax.set_facecolor(NO_READINGS)
        per = "hour" if short else "day"
        figure.colorbar(picture, ax=ax, label=f"readings per {per}", aspect=30, pad=0.01)
        if len(city.stations) <= NAMED_STATIONS:
            ax.set_yticks(np.arange(len(city.stations)), city.stations["station"], size=8)
            ax.tick_params(axis="y", length=0)
        else:
            ax.set_ylabel("row of the station in the table")
    return figure


def _place(
    days: npt.NDArray[np.datetime64], months: npt.NDArray[np.datetime64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return row and column of days in a calendar with a row for each month."""
    month = days.astype("datetime64[M]")
    return (month - months[0]).astype(np.int64), (days - month).astype(np.int64)


def _new(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure((width, height), layout="constrained")
    return figure, figure.subplots()
