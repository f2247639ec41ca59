"""Figures of a comparison: who wins where, error against distance, and calibration."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tritonbn.experiment.config import MODELS
from tritonbn.experiment.folds import Fold, fold_without
from tritonbn.experiment.plots import STYLE, label, unit
from tritonbn.experiment.results import REFERENCE, Results
from tritonbn.experiment.scores import MIN_READINGS
from tritonbn.experiment.table import TITLES, arm_title

PANEL_INCHES = 3.6


def _panels(results: Results, title: str) -> tuple[Figure, dict[str, Axes]]:
    """Make a figure with one panel for each protocol of the results."""
    protocols = list(dict.fromkeys(results.runs()["protocol"]))
    width = max(2 * PANEL_INCHES, 1 + PANEL_INCHES * len(protocols))
    figure = Figure((width, 1.4 + PANEL_INCHES), layout="constrained")
    figure.suptitle(f"{title}, {label(results.city)}")
    axes = figure.subplots(1, len(protocols), squeeze=False)[0]
    for ax, protocol in zip(axes, protocols, strict=True):
        ax.set_title(f"protocol {protocol}")
    return figure, dict(zip(protocols, axes, strict=True))


def _rmse(results: Results, protocol: str) -> pd.DataFrame:
    """Return the RMSE, averaged over seeds: a row per station that counts, a column per arm."""
    stations = results.stations()
    here = stations[(stations["protocol"] == protocol) & (stations["readings"] >= MIN_READINGS)]
    return _named(here).pivot_table("rmse", "station", "arm", sort=False)


def _named(rows: pd.DataFrame) -> pd.DataFrame:
    """Add the column `arm`, the title of a network or rival."""
    arms = [arm_title(*arm) for arm in zip(rows["model"], rows["norm"], strict=True)]
    return rows.assign(arm=arms)


def draw_winners(results: Results) -> Figure:
    """Draw, on a map for each protocol, which network or rival has the lowest RMSE."""
    with rc_context(STYLE):
        figure, panels = _panels(results, "Lowest RMSE at each station")
        places = results.city.stations.set_index("station")[["longitude", "latitude"]]
        winners = {protocol: _rmse(results, protocol).idxmin(axis=1) for protocol in panels}
        names = pd.concat(winners.values()).value_counts().index
        colors = dict(zip(names, colormaps["tab20"](np.arange(len(names)) % 20), strict=True))
        for protocol, ax in panels.items():
            for name, stations in winners[protocol].groupby(winners[protocol]):
                at = places.loc[stations.index]
                ax.scatter(at["longitude"], at["latitude"], s=70, color=colors[name])
            ax.set(xlabel="longitude (°)", aspect=1 / np.cos(np.radians(places["latitude"].mean())))
            ax.locator_params(nbins=3)
            ax.ticklabel_format(useOffset=False)
        next(iter(panels.values())).set_ylabel("latitude (°)")
        handles = [
            Axes.scatter(next(iter(panels.values())), [], [], s=70, color=colors[name], label=name)
            for name in names
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False)
    return figure


def nearest_visible(results: Results, protocol: str) -> npt.NDArray[np.float64]:
    """Return the distance of each station to the nearest one that it is estimated from, in km."""
    city = results.city
    nearest = np.empty(len(city.stations))
    for station in range(len(nearest)):
        fold = Fold(city, protocol, fold_without(city, protocol, station))
        others = ~fold.absent
        others[station] = False
        nearest[station] = Fold(city, "masked").windows.distances[station, others].min()
    return nearest


def draw_distances(results: Results) -> Figure:
    """Draw the RMSE at each station over the distance to the nearest visible one."""
    with rc_context(STYLE):
        figure, panels = _panels(results, "Error and distance")
        for protocol, ax in panels.items():
            distance = pd.Series(
                nearest_visible(results, protocol), results.city.stations["station"]
            )
            rmse = _rmse(results, protocol)
            for name in _shown(results, protocol):
                ax.scatter(distance[rmse.index], rmse[name], s=24, alpha=0.8, label=name)
            ax.set(xlabel="nearest visible station (km)", ylim=(0, None))
            ax.legend(frameon=False, fontsize=9)
        next(iter(panels.values())).set_ylabel(f"RMSE ({unit(results.city)})")
    return figure


def draw_calibration(results: Results) -> Figure:
    """Draw the mean reading over the estimate, in twenty groups of equally many estimates."""
    estimates = _named(results.estimates())
    with rc_context(STYLE):
        figure, panels = _panels(results, "Calibration")
        for protocol, ax in panels.items():
            here = estimates[estimates["protocol"] == protocol]
            for name in _shown(results, protocol):
                arm = here[here["arm"] == name]
                groups = pd.qcut(arm["estimate"], 20, duplicates="drop")
                means = arm.groupby(groups, observed=True)[["estimate", "reading"]].mean()
                ax.plot(means["estimate"], means["reading"], marker="o", ms=4, label=name)
            low, high = ax.get_xlim()
            ax.plot([low, high], [low, high], color="grey", lw=1, zorder=0)
            ax.set(xlabel=f"estimate ({unit(results.city)})", aspect="equal")
            ax.legend(frameon=False, fontsize=9)
        next(iter(panels.values())).set_ylabel(f"reading ({unit(results.city)})")
    return figure


def _shown(results: Results, protocol: str) -> list[str]:
    """Return the best network, as its title, and IDW where they are."""
    rmse = _rmse(results, protocol).mean()
    networks = [name for name in rmse.index if name.startswith(tuple(MODELS.values()))]
    best = [min(networks, key=lambda name: float(rmse[name]))] if networks else []
    return [*best, *(name for name in (TITLES[REFERENCE],) if name in rmse.index)]
