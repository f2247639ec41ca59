"""Tables of what was measured, for the terminal."""

from collections.abc import Sequence
from itertools import groupby
from math import prod
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from tritonbn.bench.growth import exponents
from tritonbn.bench.passes import PASSES, TRAFFIC
from tritonbn.bench.peers import GLOBAL

_ITEMSIZE = {"float32": 4, "bfloat16": 2}
Row = dict[str, Any]


def key_of(row: Row) -> tuple[object, ...]:
    """Return what identifies the input of a row."""
    return (*row["shape"], row["dtype"], row["memory_format"], row.get("contended", False))


def copy_ratio(row: Row, gb_per_s: float) -> float:
    """Return the time of a step divided by that of copying the same amount of memory.

    Parameters
    ----------
    row : dict
        Of "layers" in a record.
    gb_per_s : float
        The bandwidth of a copy, reads and writes together.
    """
    bytes_moved = TRAFFIC["step"] * prod(row["shape"]) * _ITEMSIZE[row["dtype"]]
    return float(row["step"]["median_us"]) / (bytes_moved / gb_per_s / 1e3)


def global_ratio(row: Row, rows: Sequence[Row], name: str = "step") -> float | None:
    """Return the time of a pass divided by that of `nn.BatchNorm2d` for the same input."""
    for other in rows:
        if other["layer"] == GLOBAL and key_of(other) == key_of(row) and name in other:
            return float(row[name]["median_us"] / other[name]["median_us"])
    return None


def spread(times: dict[str, float]) -> float:
    """Return the range of the middle half of the times, relative to their median."""
    return (times["quartile_3_us"] - times["quartile_1_us"]) / times["median_us"]


def layers_table(rows: Sequence[Row], gb_per_s: float) -> Table:
    """Lay out the rows of one input, grouped by their segments.

    Parameters
    ----------
    rows : sequence of dict
        Of "layers" in a record.
    gb_per_s : float
        The bandwidth of a copy.
    """
    first = rows[0]
    steps = [row["step"]["median_us"] for row in rows if "step" in row]
    unit, divisor = ("ms", 1e3) if min(steps, default=0) >= 1e4 else ("us", 1.0)
    where = f"{tuple(first['shape'])}, {first['dtype']}, {first['memory_format']}"
    busy = ", one core busy" if first.get("contended") else ""
    table = _table(f"Median {unit} at {where}{busy}", ["layer"])
    is_on_gpu = any("host_step_us" in row for row in rows)
    headings = ("forward", "step", "spread", "inference", "/ global", "/ copy")
    for heading in (*headings, *["launch"] * is_on_gpu):
        table.add_column(heading, justify="right")
    errors = []
    for segments, group in groupby(rows, key=lambda row: row["segments"]):
        table.add_row(segments, style="bold")
        for row in group:
            if "error" in row:
                errors.append(f"{row['layer']}, {row['segments']}: {row['error']}")
            cells = [
                f"{row[name]['median_us'] / divisor:,.1f}" if name in row else "-"
                for name in PASSES
            ]
            relative = ["-"] * 3
            if "step" in row:
                ratio = global_ratio(row, rows)
                relative = [
                    f"{spread(row['step']):.0%}",
                    "-" if ratio is None else f"{ratio:,.2f}",
                    f"{copy_ratio(row, gb_per_s):,.2f}",
                ]
            numbers = [*cells[:2], relative[0], cells[2], *relative[1:]]
            if "host_step_us" in row:
                numbers.append(f"{row['host_step_us'] / divisor:,.1f}")
            table.add_row(f"  {row['layer']}", *numbers)
    if errors:
        table.caption = Text("\n".join(errors), "red")
    return table


def growth_table(rows: Sequence[Row]) -> Table:
    """Lay out the fitted exponents of the rows of "growth" in a record."""
    table = _table("A step takes time ~ size ** exponent", ["layer", "size"])
    for heading in ("exponent", "shortest, ms", "longest, ms"):
        table.add_column(heading, justify="right")
    for (layer, vary), (power, shortest, longest) in exponents(rows).items():
        times = (f"{value / 1e3:,.2f}" for value in (shortest, longest))
        table.add_row(layer, vary, f"{power:.2f}", *times)
    return table


def networks_table(rows: Sequence[Row]) -> Table:
    """Lay out the rows of "models" in a record."""
    table = _table("Training steps of the networks", ["network", "norm"])
    for heading in ("step, ms", "samples/s", "share of the norm"):
        table.add_column(heading, justify="right")
    for row in rows:
        name = f"{row['backbone']}, {row['head']}"
        if "error" in row:
            table.add_row(name, row["norm"], "-", "-", "-")
            continue
        share = share_of_norm(row, rows)
        table.add_row(
            name,
            row["norm"],
            f"{row['step_us'] / 1e3:,.2f}",
            f"{row['samples_per_s']:,}",
            "-" if share is None else f"{share:.0%}",
        )
    return table


def _table(title: str, headings: Sequence[str]) -> Table:
    table = Table(*headings, title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.padding = (0, 1, 0, 0)
    return table


def share_of_norm(row: Row, rows: Sequence[Row]) -> float | None:
    """Return the part of a network's step that it does not need without its normalization."""
    for other in rows:
        names = ("backbone", "head")
        if other["norm"] == "none" and all(other[name] == row[name] for name in names):
            if row["norm"] == "none" or "error" in other:
                return None
            return float(1 - other["step_us"] / row["step_us"])
    return None
