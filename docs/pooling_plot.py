"""The figure of the page about levels of segments: ``python docs/pooling_plot.py``."""

from pathlib import Path

import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from torch import Tensor

from data_prep.files import atomic_path
from tritonbn import LocalBN, Segments
from tritonbn.experiment.figures.style import PNG_DPI, STYLE, Figure

PATH = Path(__file__).resolve().parent / "static" / "pooling.png"
STATIONS, SPREAD, NOISE = 400, 1.0, 3.0
NUMBERS = (2, 3, 5, 8, 13, 21, 34, 55, 89, 144)
OWN, POOLED, ALL = "#0072B2", "#009E73", "#E69F00"
TAUS = {OWN: 0.0, POOLED: NOISE**2 / SPREAD**2, ALL: float("inf")}
LABELS = {
    OWN: "its own values (tau = 0)",
    POOLED: f"pooled (tau = {TAUS[POOLED]:g})",
    ALL: "all stations together (tau = infinity)",
}


def simulated(stations: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return true means of stations, (stations,), and values around them, (N, 1, 1, stations)."""
    generator = torch.Generator().manual_seed(seed)
    truth = SPREAD * torch.randn(stations, generator=generator)
    noise = NOISE * torch.randn(NUMBERS[-1], 1, 1, stations, generator=generator)
    return truth, truth + noise


def estimates(values: Tensor, tau: float, numbers: Tensor) -> Tensor:
    """Return the estimated mean of each station from the first `numbers` of its values."""
    grid = 1, values.shape[-1]
    levels = [Segments.per_cell(grid), Segments.single(grid)]
    layer = LocalBN(1, levels, pooling=tau, momentum=1.0)
    layer(values, mask=torch.arange(len(values))[:, None, None, None] < numbers)
    assert layer.running_mean is not None
    return layer.running_mean[0]


def draw_estimates(ax: Axes) -> None:
    """Draw the estimates of ten stations that have different numbers of values."""
    numbers = torch.tensor(NUMBERS)
    _, values = simulated(len(NUMBERS), seed=3)
    found = {color: estimates(values, tau, numbers) for color, tau in TAUS.items()}
    ax.axhline(float(found[ALL][0]), color=ALL, label=LABELS[ALL])
    places = range(len(NUMBERS))
    ax.vlines(places, found[OWN], found[POOLED], color="#999999", linewidth=1)
    for color in (OWN, POOLED):
        ax.plot(places, found[color], "o", markersize=5, color=color, label=LABELS[color])
    ax.set_xticks(places, [str(number) for number in NUMBERS])
    ax.set_xlabel("values of the station")
    ax.set_ylabel("estimated mean")


def draw_errors(ax: Axes) -> None:
    """Draw the error of the estimates over many stations against the number of their values."""
    truth, values = simulated(STATIONS, seed=0)
    for color, tau in TAUS.items():
        errors = [
            (estimates(values, tau, torch.tensor(number)) - truth).square().mean().sqrt()
            for number in NUMBERS
        ]
        ax.plot(NUMBERS, errors, "o-", markersize=4, color=color)
    ax.set_xscale("log")
    ax.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
    ax.minorticks_off()
    ax.set_ylim(0)
    ax.set_xlabel("values of each station")
    ax.set_ylabel("RMSE of the estimated mean")


def write(path: Path = PATH) -> None:
    """Draw the figure."""
    with rc_context(STYLE):
        figure = Figure((9.2, 3.8), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_estimates(left)
        draw_errors(right)
        figure.legend(loc="outside upper center", ncols=3, frameon=False)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=PNG_DPI)


if __name__ == "__main__":
    write()
