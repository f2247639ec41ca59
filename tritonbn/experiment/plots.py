"""What the figures share, and the curves of training."""

from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from data_prep.city import CityData
from data_prep.files import atomic_path
from tritonbn.experiment.config import TITLES, lacks_of

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.titlesize": 11,
    "figure.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}
NORM_COLORS = {
    "none": "#999999",
    "global": "#E69F00",
    "local": "#0072B2",
    "local-nearest": "#56B4E9",
    "local-stations": "#009E73",
    "local-after": "#F0E442",
    "local-batch": "#332288",
    "offset": "#CC79A7",
    "embedding": "#D55E00",
    "scaled": "#000000",
}
"""Okabe and Ito's palette and an indigo: told apart with every kind of colour vision."""


def label(city: CityData) -> str:
    """Name a city and what was measured; say so where it is synthetic."""
    note = " (synthetic)" if city.synthetic and "synthetic" not in city.name else ""
    return f"{city.quantity}, {city.name}{note}"


def unit(city: CityData) -> str:
    """Write the unit as figures show it."""
    return city.unit.replace("ug/m3", "µg/m³")


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=160, metadata={"Software": "tritonbn"})


def draw_training(histories: pd.DataFrame, city: CityData) -> Figure:
    """Draw the validation spRMSE of every run over its steps.

    Parameters
    ----------
    histories : DataFrame
        From `Results.histories`.
    city : CityData
        Gives name and unit.

    Returns
    -------
    Figure
        One row of axes per protocol, one column per whole model, one line per run.
    """
    protocols = histories["protocol"].unique()
    there = set(histories["model"])
    models = {name: title for name, title in TITLES.items() if name in there and not lacks_of(name)}
    norms = [norm for norm in NORM_COLORS if (histories["norm"] == norm).any()]
    with rc_context(STYLE):
        figure = Figure((1 + 4 * len(models), 1.2 + 2.8 * len(protocols)), layout="constrained")
        figure.suptitle(f"Validation during training, {label(city)}")
        axes = figure.subplots(len(protocols), len(models), sharex="col", squeeze=False)
        for row, protocol in zip(axes, protocols, strict=True):
            for ax, (model, title) in zip(row, models.items(), strict=True):
                here = (histories["protocol"] == protocol) & (histories["model"] == model)
                ax.set_visible(here.any())
                runs = histories[here].groupby(["norm", "seed", "fold"], sort=False)
                for (norm, *_), run in runs:
                    ax.plot(run["step"], run["stopping_sprmse"], color=NORM_COLORS[str(norm)])
                ax.set_title(f"{title}, protocol {protocol}")
                ax.grid(alpha=0.3)
                ax.set_yscale("log")
                ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
                ax.yaxis.set_major_formatter("{x:g}")
                ax.yaxis.set_minor_formatter("")
            row[0].set_ylabel(f"spRMSE ({unit(city)})")
        for ax in axes[-1]:
            ax.set_xlabel("training step")
        figure.legend(
            handles=[Line2D([], [], color=NORM_COLORS[norm], label=norm) for norm in norms],
            title="normalization",
            loc="outside lower center",
            ncols=min(5, len(norms)),
            frameon=False,
        )
    return figure
