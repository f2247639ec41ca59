"""Curves of the validation during training."""

from collections.abc import Mapping

import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogFormatter, LogLocator

from data_prep.city import CityData
from tritonbn.experiment.figures.style import STYLE, Figure, label, unit


def draw_training(
    history: pd.DataFrame,
    city: CityData,
    colors: Mapping[str, str],
    ax: Axes | None = None,
) -> Figure:
    """Draw the validation spRMSE of one or several runs over their training steps.

    Parameters
    ----------
    history : DataFrame
        Columns `norm`, `seed`, `fold`, `step` and `stopping_sprmse`; one line for each norm, seed
        and fold.
    city : CityData
        Gives name and unit.
    colors : mapping
        Colour of each norm.
    ax : Axes, optional
        Where to draw. Default: a new figure.
    """
    with rc_context(STYLE):
        new = ax is None
        if ax is None:
            ax = Figure((6, 4), layout="constrained").subplots()
        for (norm, *_), run in history.groupby(["norm", "seed", "fold"], sort=False):
            ax.plot(run["step"], run["stopping_sprmse"], color=colors[str(norm)])
        ax.grid(alpha=0.3)
        if (history["stopping_sprmse"] > 0).any():
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            ax.yaxis.set_major_formatter("{x:g}")
            ax.yaxis.set_minor_formatter(LogFormatter(minor_thresholds=(0.4, 0.4)))  # in decades
        if new:
            ax.set(
                xlabel="training step",
                ylabel=f"spRMSE ({unit(city)})",
                title=f"Validation during training, {label(city)}",
            )
    return ax.figure.figure  # type: ignore[return-value]  # the root, also in a subfigure


def draw_training_panels(
    histories: pd.DataFrame,
    city: CityData,
    titles: Mapping[str, str],
    colors: Mapping[str, str],
) -> Figure:
    """Draw `draw_training` for each protocol and model.

    Parameters
    ----------
    histories : DataFrame
        Columns `protocol` and `model`, and those of `draw_training`.
    city : CityData
        Gives name and unit.
    titles : mapping
        The models to draw and their titles.
    colors : mapping
        Colour of each norm.

    Returns
    -------
    Figure
        One row of axes per protocol, one column per model, one line per run.
    """
    protocols = histories["protocol"].unique()
    norms = [norm for norm in colors if (histories["norm"] == norm).any()]
    with rc_context(STYLE):
        figure = Figure(
            (max(6.0, 1 + 4 * len(titles)), 1.2 + 2.8 * len(protocols)), layout="constrained"
        )
        figure.suptitle(f"Validation during training, {label(city)}")
        axes = figure.subplots(
            len(protocols), len(titles), sharex="col", sharey=True, squeeze=False
        )
        for row, protocol in zip(axes, protocols, strict=True):
            for ax, (model, title) in zip(row, titles.items(), strict=True):
                here = (histories["protocol"] == protocol) & (histories["model"] == model)
                ax.set_visible(here.any())
                draw_training(histories[here], city, colors, ax)
                ax.set_title(f"{title}, protocol {protocol}")
                ax.tick_params("y", which="both", labelleft=True)  # the first one may be invisible
            row[0].set_ylabel(f"spRMSE ({unit(city)})")
        for ax in axes[-1]:
            ax.set_xlabel("training step")
        figure.legend(
            handles=[Line2D([], [], color=colors[norm], label=norm) for norm in norms],
            title="normalization",
            loc="outside lower center",
            ncols=min(5, len(norms)),
            frameon=False,
        )
    return figure
