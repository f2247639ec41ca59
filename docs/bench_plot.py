"""The plot of the steps on a GPU, from the newest record; its numbers are stored in the PNG."""

import json
from pathlib import Path

from bench_layouts import newest
from matplotlib import rc_context
from PIL import Image

from data_prep.files import atomic_path
from tritonbn.bench.peers import GLOBAL, LOCAL
from tritonbn.bench.record import copy_of
from tritonbn.bench.report import copy_ratio
from tritonbn.experiment.figures.style import PNG_DPI, STYLE, Figure

PATH = Path(__file__).resolve().parents[1] / "benchmarks" / "steps.png"
SHAPE = (128, 64, 32, 32)
BARS = {
    (GLOBAL, "single"): ("nn.BatchNorm2d", "0.6"),
    (LOCAL, "single"): ("LocalBN, one segment", "#9ecae1"),
    (LOCAL, "32 nearest"): ("LocalBN, 32 segments", "#4292c6"),
    (LOCAL, "per cell"): ("LocalBN, one segment per cell", "#08519c"),
}
_KEY = "Description"


def numbers(machine: str = "h100") -> dict[str, dict[str, float]]:
    """Return the step times as multiples of a copy, by input and layer."""
    record = newest(machine)
    found: dict[str, dict[str, float]] = {}
    for row in record["layers"]:
        bar = BARS.get((row["layer"], row["segments"]))
        if bar and tuple(row["shape"]) == SHAPE and "step" in row and not row.get("contended"):
            here = found.setdefault(f"{row['dtype']}\n{row['memory_format']}", {})
            here[bar[0]] = round(copy_ratio(row, copy_of(record)), 2)
    return found


def is_current(path: Path = PATH) -> bool:
    """Return whether the plot shows the numbers of the newest record."""
    if not path.exists():
        return False
    with Image.open(path) as image:
        return image.info.get(_KEY) == json.dumps(numbers())


def write(path: Path = PATH) -> None:
    """Draw the plot."""
    shown = numbers()
    with rc_context(STYLE):
        figure = Figure((8.0, 3.6), layout="constrained")
        ax = figure.subplots()
        for place, (label, colour) in enumerate(BARS.values()):
            at = [group + 0.2 * (place - 1.5) for group in range(len(shown))]
            heights = [layers.get(label, 0.0) for layers in shown.values()]
            bars = ax.bar(at, heights, 0.18, color=colour, label=label)
            ax.bar_label(bars, fmt="%.1f", fontsize=8)
        ax.axhline(1.0, color="black", linewidth=0.8, linestyle="--")
        ax.set_xticks(range(len(shown)), list(shown))
        ax.set_ylabel("step / copy of as much memory")
        ax.legend(frameon=False, fontsize=9)
        with atomic_path(path) as temporary:
            metadata = {"Software": "tritonbn", _KEY: json.dumps(shown)}
            figure.savefig(temporary, dpi=PNG_DPI, metadata=metadata)
