"""Figures of a comparison: who wins where, error against distance, and calibration."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from data_prep.city import CityData
from data_prep.fill import distances_km
from tritonbn.experiment.config import lacks_of
from tritonbn.experiment.folds import fold_numbers
from tritonbn.experiment.plots import STYLE, label, unit
from tritonbn.experiment.protocol import PROTOCOLS
from tritonbn.experiment.results import REFERENCE, Results
from tritonbn.experiment.scores import MIN_READINGS
from tritonbn.experiment.table import Arm, arm_title, chosen_network

PANEL_INCHES = 3.6


def _panels(city: CityData, runs: pd.DataFrame, title: str) -> tuple[Figure, dict[str, Axes]]:
    """Make a figure with one panel for each protocol of the runs."""
    protocols = list(dict.fromkeys(runs["protocol"]))
    width = max(2 * PANEL_INCHES, 1 + PANEL_INCHES * len(protocols))
    figure = Figure((width, 1.4 + PANEL_INCHES), layout="constrained")
    figure.suptitle(f"{title}, {label(city)}")
    axes = figure.subplots(1, len(protocols), squeeze=False)[0]
    for ax, protocol in zip(axes, protocols, strict=True):
        ax.set_title(f"protocol {protocol}")
    return figure, dict(zip(protocols, axes, strict=True))


def _rmse(stations: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Average the RMSE over seeds: a row per station that counts, a column per model and norm."""
    here = stations[(stations["protocol"] == protocol) & (stations["readings"] >= MIN_READINGS)]
    here = here[here["model"].map(lacks_of) == ""]
    return here.pivot_table("rmse", "station", ["model", "norm"], sort=False)


def draw_winners(results: Results) -> Figure:
    """Draw, on a map for each protocol, which network or rival has the lowest RMSE."""
    with rc_context(STYLE):
        figure, panels = _panels(results.city, results.runs(), "Lowest RMSE at each station")
        places = results.city.stations.set_index("station")[["longitude", "latitude"]]
        stations = results.stations()
        winners = {
            protocol: _rmse(stations, protocol).idxmin(axis=1).map(lambda arm: arm_title(*arm))
            for protocol in panels
        }
        names = pd.concat(winners.values()).value_counts().index
        colors = dict(zip(names, colormaps["tab20"](np.arange(len(names)) % 20), strict=True))
        for protocol, ax in panels.items():
            for name, won in winners[protocol].groupby(winners[protocol]):
                at = places.loc[won.index]
                ax.scatter(at["longitude"], at["latitude"], s=70, color=colors[name], clip_on=False)
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


def nearest_visible(city: CityData, protocol: str) -> npt.NDArray[np.float64]:
    """Return the distance of each station to the nearest one that it is estimated from, in km."""
    distances = distances_km(city.stations["latitude"], city.stations["longitude"])
    folds = fold_numbers(len(distances), PROTOCOLS[protocol].folds)
    hidden = folds[:, None] == folds if folds.any() else np.eye(len(distances), dtype=bool)
    return np.asarray(np.where(hidden, np.inf, distances).min(axis=1), np.float64)


def draw_distances(results: Results) -> Figure:
    """Draw the RMSE at each station over the distance to the nearest visible one."""
    city, runs, stations = results.city, results.runs(), results.stations()
    with rc_context(STYLE):
        figure, panels = _panels(city, runs, "Error and distance")
        for protocol, ax in panels.items():
            distance = pd.Series(nearest_visible(city, protocol), city.stations["station"])
            rmse = _rmse(stations, protocol)
            for arm in _shown(runs, protocol):
                near = distance[rmse.index]
                ax.scatter(near, rmse[arm], s=24, alpha=0.8, label=arm_title(*arm))
            ax.set(xlabel="nearest visible station (km)", ylim=(0, None))
            ax.legend(frameon=False, fontsize=9)
        next(iter(panels.values())).set_ylabel(f"RMSE ({unit(results.city)})")
    return figure


def draw_calibration(results: Results) -> Figure:
    """Draw the mean reading over the estimate, in twenty groups of equally many estimates."""
    estimates, runs = results.estimates(), results.runs()
    with rc_context(STYLE):
        figure, panels = _panels(results.city, runs, "Calibration")
        for protocol, ax in panels.items():
            here = estimates[estimates["protocol"] == protocol]
            for model, norm in _shown(runs, protocol):
                arm = here[(here["model"] == model) & (here["norm"] == norm)]
                groups = pd.qcut(arm["estimate"], 20, duplicates="drop")
                means = arm.groupby(groups, observed=True)[["estimate", "reading"]].mean()
                title = arm_title(model, norm)
                ax.plot(means["estimate"], means["reading"], marker="o", ms=4, label=title)
            low, high = ax.get_xlim()
            ax.plot([low, high], [low, high], color="grey", lw=1, zorder=0)
            ax.set(xlabel=f"estimate ({unit(results.city)})", aspect="equal")
            ax.legend(frameon=False, fontsize=9)
        next(iter(panels.values())).set_ylabel(f"reading ({unit(results.city)})")
    return figure


def _shown(runs: pd.DataFrame, protocol: str) -> list[Arm]:
    """Return the network that validation chooses, if there is one, and IDW."""
    chosen = chosen_network(runs[runs["protocol"] == protocol])
    return [arm for arm in (chosen, (REFERENCE, "-")) if arm]
