"""Compare levels with the finest level alone: ``python benchmarks/level_steps.py OUT.csv``.

Each of five processes, one after the other, measures training steps on the CPU. The table has the
ratio of the median times with the levels and without, as the median over the processes, the lowest
and the highest.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch

from tritonbn import LocalBN, Segments
from tritonbn.bench.cases import MAIN
from tritonbn.bench.fresh_processes import ratios_in_fresh_processes
from tritonbn.bench.measure import measure
from tritonbn.bench.peers import LOCAL, Peer

PROCESSES = 5
GRID = MAIN.grid
NEAREST = Segments.nearest(range(16, 1024, 33), GRID)
LEVELS = {
    "31 segments, grid": [NEAREST, Segments.single(GRID)],
    "31 segments, 7 districts, grid": [NEAREST, Segments(NEAREST.ids // 5), Segments.single(GRID)],
    "each cell, grid": [Segments.per_cell(GRID), Segments.single(GRID)],
    "each cell, 31 segments, grid": [Segments.per_cell(GRID), NEAREST, Segments.single(GRID)],
}


def main() -> None:
    """Write a table with one row per choice of levels."""
    parser = argparse.ArgumentParser(description="Compare levels with the finest level alone.")
    parser.add_argument("file", type=Path, help="CSV file to write")
    file = parser.parse_args().file
    table = ratios_in_fresh_processes(ratios, ["levels"], PROCESSES)
    table.to_csv(file, index=False)
    print(table.to_string(index=False))


def ratios() -> list[dict[str, Any]]:
    """Measure all choices of levels in this process, each with the finest level in turn."""
    channels, found = MAIN.shape[1], []
    for name, levels in LEVELS.items():
        layers = [
            Peer(name, LOCAL, partial(LocalBN, channels, levels[0])),
            Peer(name, LOCAL, partial(LocalBN, channels, levels, pooling=100.0)),
        ]
        one, several = measure(MAIN, layers, torch.device("cpu"), ("step",))
        ratio = several["step"]["median_us"] / one["step"]["median_us"]
        found.append({"levels": name, "ratio": ratio})
    return found


if __name__ == "__main__":
    main()
