"""The figures of a results folder."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from data_prep.city import CityData
from data_prep.fill import distances_km
from tritonbn.experiment.figures.comparison import (
    colors_of,
    draw_best,
    draw_calibration,
    draw_distances,
    draw_panels,
)
from tritonbn.experiment.figures.style import Figure, label, save
from tritonbn.experiment.figures.training import draw_training_panels
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.study.tables import Arm, arm_title, chosen_network, is_ablation, title_of
from tritonbn.experiment.task.arrays import DoubleArray
from tritonbn.experiment.task.folds import fold_numbers
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.experiment.task.record import NO_NORM, REFERENCE
from tritonbn.experiment.task.scores import MIN_READINGS


def draw_winners(results: Results) -> Figure:
    """Draw which network or baseline has the lowest RMSE at each station, for each protocol."""
    city, stations = results.city, results.stations()
    protocols = _protocols(results)
    tables = [_rmse(stations, protocol) for protocol in protocols]
    colors = colors_of(pd.concat([table.idxmin(axis=1) for table in tables]))
    figure = _panels(
        results,
        "Lowest RMSE at each station",
        lambda index, ax: draw_best(tables[index], city, colors, ax),
    )
    handles = {
        text: handle
        for ax in figure.axes
        for handle, text in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles=[handles[name] for name in colors],
        loc="outside lower center",
        ncols=3,
        frameon=False,
    )
    return figure


def draw_errors(results: Results) -> Figure:
    """Draw the RMSE at each station against the distance to the nearest visible one."""
    city, runs, stations = results.city, results.runs(), results.stations()

    def draw(index: int, ax: Axes) -> None:
        protocol = _protocols(results)[index]
        rmse = _rmse(stations, protocol)[[arm_title(*arm) for arm in _shown(runs, protocol)]]
        distances = pd.Series(nearest_visible(city, protocol), city.stations["station"])
        draw_distances(rmse, distances, city, ax)

    return _panels(results, "Error and distance", draw)


def draw_calibrations(results: Results) -> Figure:
    """Draw readings against estimates, for each protocol."""
    runs, estimates = results.runs(), results.estimates()

    def draw(index: int, ax: Axes) -> None:
        protocol = _protocols(results)[index]
        here = estimates[estimates["protocol"] == protocol]
        tables = {
            arm_title(model, norm): here[(here["model"] == model) & (here["norm"] == norm)]
            for model, norm in _shown(runs, protocol)
        }
        draw_calibration(tables, results.city, ax)

    return _panels(results, "Calibration", draw)


def draw_histories(results: Results) -> Figure:
    """Draw the validation during training of all runs, without ablations."""
    histories = results.histories()
    models = [model for model in histories["model"].unique() if not is_ablation(model)]
    titles = {model: title_of(model) for model in models}
    colors = {name: norm.color for name, norm in NORMS.items()}
    return draw_training_panels(histories, results.city, titles, colors)


class Drawn(NamedTuple):
    """A figure of a report.

    Parameters
    ----------
    name : str
        Name of the PNG file, without its extension.
    draw : callable
        Draws the figure.
    caption : str
        Its caption in the report.
    """

    name: str
    draw: Callable[[Results], Figure]
    caption: str


TRAINING = Drawn(
    "training",
    draw_histories,
    "The spRMSE during training, at some times of the validation part, of stations that take part "
    "in training.",
)

COMPARISON = (
    Drawn("winners", draw_winners, "The network or baseline with the lowest RMSE at each station."),
    Drawn(
        "distance",
        draw_errors,
        "The RMSE at each station against the distance to the nearest station from which it is "
        "estimated.",
    ),
    Drawn(
        "calibration",
        draw_calibrations,
        "Readings against estimates of the network with the best validation score, and of IDW.",
    ),
)
"""The figures of a comparison."""


def save_figures(results: Results, figures: tuple[Drawn, ...]) -> dict[str, str]:
    """Write figures to the results folder, and return the caption of each PNG."""
    for figure in figures:
        save(figure.draw(results), results.directory / f"{figure.name}.png")
    return {f"{figure.name}.png": figure.caption for figure in figures}


def nearest_visible(city: CityData, protocol: str) -> DoubleArray:
    """Return the distance of each station to the nearest one that it is estimated from, in km."""
    distances = distances_km(city.stations["latitude"], city.stations["longitude"])
    folds = fold_numbers(len(distances), PROTOCOLS[protocol].folds)
    hidden = folds[:, None] == folds if folds.any() else np.eye(len(distances), dtype=bool)
    return np.asarray(np.where(hidden, np.inf, distances).min(axis=1), np.float64)


def _panels(results: Results, title: str, draw: Callable[[int, Axes], None]) -> Figure:
    """Make a figure with one panel for each protocol."""
    titles = [f"protocol {protocol}" for protocol in _protocols(results)]
    return draw_panels(titles, f"{title}, {label(results.city)}", draw)


def _protocols(results: Results) -> list[str]:
    return list(dict.fromkeys(results.runs()["protocol"]))


def _rmse(stations: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """Return the RMSE averaged over seeds, without ablations: one column per model and norm."""
    here = stations[(stations["protocol"] == protocol) & (stations["readings"] >= MIN_READINGS)]
    here = here[~here["model"].map(is_ablation)]
    table = here.pivot_table("rmse", "station", ["model", "norm"], sort=False)
    return table.set_axis([arm_title(*arm) for arm in table.columns.to_flat_index()], axis=1)


def _shown(runs: pd.DataFrame, protocol: str) -> list[Arm]:
    """Return the network with the best validation score, if there is one, and IDW."""
    chosen = chosen_network(runs[runs["protocol"] == protocol])
    return [arm for arm in (chosen, (REFERENCE, NO_NORM)) if arm]
