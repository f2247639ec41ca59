"""Print a record of `gpu.py` as a table, with the times of an earlier record for comparison.

Run as ``python benchmarks/gpu_table.py RECORD.json [EARLIER.json]``.
"""

import json
import sys
from math import prod
from pathlib import Path
from typing import Any

KEY = ("shape", "dtype", "memory_format", "segments", "layer")


def _key(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in KEY)


def pass_us(row: dict[str, Any], gb_per_s: float) -> float:
    """Return the microseconds needed to read or write x once at this bandwidth."""
    itemsize = {"float32": 4, "bfloat16": 2}[row["dtype"]]
    values: int = prod(row["shape"])
    return values * itemsize / gb_per_s / 1e3


def main() -> None:
    """Print the table in Markdown, with times in microseconds."""
    record, *earlier = (json.loads(Path(path).read_text("utf-8")) for path in sys.argv[1:])
    before = {_key(row): row for row in earlier[0]["layers"]} if earlier else {}
    copied = record["ceilings_gb_per_s"]["copy_1GiB"]
    headings = ["(N, C, H, W)", "type", "memory", "segments", "layer", "forward", "step", "x copy"]
    print(f"| {' | '.join(headings + ['step before'] * bool(before))} | issued |")
    print("| --- | --- | --- | --- | --- " + "| ---: " * (4 + bool(before)) + "|")
    for row in record["layers"]:
        if "error" in row:
            continue
        floor = 5 * pass_us(row, copied)
        step = row["step"]["median_us"]
        words = [str(tuple(row["shape"])), row["dtype"], row["memory_format"], row["segments"]]
        numbers = [f"{row['forward']['median_us']:,.0f}", f"{step:,.0f}", f"{step / floor:.2f}"]
        if before:
            then = before.get(_key(row))
            numbers.append(f"{then['step']['median_us']:,.0f}" if then else "-")
        numbers.append(f"{row['host_step_us']:,.0f}")
        print(f"| {' | '.join([*words, row['layer'], *numbers])} |")


if __name__ == "__main__":
    main()
