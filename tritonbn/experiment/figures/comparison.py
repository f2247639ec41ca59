"""Figures of a comparison: the best method at each station, error and distance, calibration."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes

from data_prep.city import CityData
from tritonbn.experiment.figures.style import STYLE, Figure, unit

PANEL_INCHES = 3.6


def draw_panels(titles: Sequence[str], title: str, draw: Callable[[int, Axes], None]) -> Figure:
    """Make a figure with a row of panels.

    Parameters
    ----------
    titles : sequence of str
        Of the panels.
    title : str
        Of the figure.
    draw : callable
        Draws the panel of an index into the given axes.
    """
    with rc_context(STYLE):
        width = max(2 * PANEL_INCHES, 1 + PANEL_INCHES * len(titles))
        figure = Figure((width, 1.4 + PANEL_INCHES), layout="constrained")
        figure.suptitle(title)
        axes = figure.subplots(1, len(titles), squeeze=False)[0]
        for index, ax in enumerate(axes):
            draw(index, ax)
            ax.set_title(titles[index])
            if index:
                ax.set_ylabel("")
    return figure


def draw_best(
    rmse: pd.DataFrame, city: CityData, colors: Mapping[str, tuple[float, ...]], ax: Axes
) -> None:
    """Draw on a map which network or baseline has the lowest RMSE at each station.

    Parameters
    ----------
    rmse : DataFrame
        One row per station, one column per network or baseline.
    city : CityData
        Gives the positions of the stations.
    colors : mapping
        Colour of each network or baseline that is best somewhere, such as `colors_of` them.
    ax : Axes
        Where to draw.
    """
    best = rmse.idxmin(axis=1)
    places = city.stations.set_index("station")[["longitude", "latitude"]]
    with rc_context(STYLE):
        for name, stations in best.groupby(best):
            at = places.loc[stations.index]
            color = colors[str(name)]
            ax.scatter(
                at["longitude"], at["latitude"], s=70, color=color, label=str(name), clip_on=False
            )
        ax.set(xlabel="longitude (°)", ylabel="latitude (°)")
        ax.set_aspect(1 / np.cos(np.radians(places["latitude"].mean())))
        ax.locator_params(nbins=3)
        ax.ticklabel_format(useOffset=False)


def colors_of(names: pd.Series) -> dict[str, tuple[float, ...]]:
    """Give a colour to each of the names, the most frequent first."""
    ordered = names.value_counts().index
    palette = colormaps["tab20"](np.arange(len(ordered)) % 20)
    return {str(name): tuple(color) for name, color in zip(ordered, palette, strict=True)}


def draw_distances(rmse: pd.DataFrame, distances: pd.Series, city: CityData, ax: Axes) -> None:
    """Draw the RMSE at each station against the distance to the nearest visible station.

    Parameters
    ----------
    rmse : DataFrame
        One row per station, one column per network or baseline.
    distances : Series
        In km, by station.
    city : CityData
        Gives the unit.
    ax : Axes
        Where to draw.
    """
    with rc_context(STYLE):
        for name in rmse:
            ax.scatter(distances[rmse.index], rmse[name], s=24, alpha=0.8, label=str(name))
        ax.set(xlabel="nearest visible station (km)", ylabel=f"RMSE ({unit(city)})", ylim=(0, None))
        ax.legend(frameon=False, fontsize=9)


def draw_calibration(estimates: Mapping[str, pd.DataFrame], city: CityData, ax: Axes) -> None:
    """Draw the mean reading against the mean estimate in twenty groups of equal size.

    Parameters
    ----------
    estimates : mapping of str to DataFrame
        Title, and columns `reading` and `estimate`, of each network or baseline.
    city : CityData
        Gives the unit.
    ax : Axes
        Where to draw.
    """
    with rc_context(STYLE):
        for title, table in estimates.items():
            groups = pd.qcut(table["estimate"], 20, duplicates="drop")
            means = table.groupby(groups, observed=True)[["estimate", "reading"]].mean()
            ax.plot(means["estimate"], means["reading"], marker="o", ms=4, label=title)
        low, high = ax.get_xlim()
        ax.plot([low, high], [low, high], color="grey", lw=1, zorder=0)
        ax.set(xlabel=f"estimate ({unit(city)})", ylabel=f"reading ({unit(city)})", aspect="equal")
        ax.legend(frameon=False, fontsize=9)
