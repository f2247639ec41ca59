"""The figure of the page about levels of segments: ``python docs/pooling_plot.py``."""

from pathlib import Path

import torch
from matplotlib import rc_context

from data_prep.files import atomic_path
from tritonbn import LocalBN, Segments
from tritonbn.experiment.figures.style import PNG_DPI, STYLE, Figure

PATH = Path(__file__).resolve().parent / "static" / "pooling.png"
STATIONS, SPREAD, NOISE = 400, 1.0, 3.0
NUMBERS = (2, 3, 5, 8, 13, 21, 34, 55, 89, 144)
CURVES = {
    "its own values (tau = 0)": (0.0, "#0072B2"),
    "pooled (tau = 9)": (9.0, "#009E73"),
    "all stations together (tau = infinity)": (float("inf"), "#E69F00"),
}


def errors() -> dict[str, list[float]]:
    """Return the error of the estimated means of stations, for each number of values."""
    generator = torch.Generator().manual_seed(0)
    truth = SPREAD * torch.randn(STATIONS, generator=generator)
    levels = [Segments.per_cell((1, STATIONS)), Segments.single((1, STATIONS))]
    found: dict[str, list[float]] = {label: [] for label in CURVES}
    for number in NUMBERS:
        noise = NOISE * torch.randn(number, 1, 1, STATIONS, generator=generator)
        for label, (tau, _) in CURVES.items():
            layer = LocalBN(1, levels, pooling=tau, momentum=1.0)
            layer(truth + noise)
            assert layer.running_mean is not None
            error = (layer.running_mean[0] - truth).square().mean().sqrt()
            found[label].append(float(error))
    return found


def write(path: Path = PATH) -> None:
    """Draw the figure."""
    with rc_context(STYLE):
        figure = Figure((6.4, 3.6), layout="constrained")
        ax = figure.subplots()
        for label, values in errors().items():
            ax.plot(NUMBERS, values, "o-", markersize=4, color=CURVES[label][1], label=label)
        ax.set_xscale("log")
        ax.set_xticks([2, 5, 10, 20, 50, 100], ["2", "5", "10", "20", "50", "100"])
        ax.minorticks_off()
        ax.set_ylim(0)
        ax.set_xlabel("values of each station")
        ax.set_ylabel("error of its mean")
        ax.legend(frameon=False)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=PNG_DPI)


if __name__ == "__main__":
    write()
