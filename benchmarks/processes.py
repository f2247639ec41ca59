"""Compare with `nn.BatchNorm2d` in fresh processes: ``python benchmarks/processes.py OUT.csv``.

Each of ten processes, one after the other, measures all inputs on the CPU: alone, while another
process keeps one core busy, and then also with one thread. The table has the ratio of the median
times of both layers, as the median over the processes, the lowest and the highest.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tritonbn.bench.cases import CONTIGUOUS, FLOAT32, MAIN, SEGMENTS, Input
from tritonbn.bench.contention import busy_core
from tritonbn.bench.fresh_processes import ratios_in_fresh_processes
from tritonbn.bench.measure import measure
from tritonbn.bench.peers import GLOBAL, LOCAL, Peer, peers
from tritonbn.bench.report import global_ratio

PROCESSES = 10
CPU = torch.device("cpu")
CASES = [
    MAIN,
    Input((32, 64, 32, 32), FLOAT32, CONTIGUOUS),
    Input((8, 16, 16, 16), FLOAT32, CONTIGUOUS),
]


def main() -> None:
    """Write a table with one row per input and segments."""
    parser = argparse.ArgumentParser(description="Compare with nn.BatchNorm2d in fresh processes.")
    parser.add_argument("file", type=Path, help="CSV file to write")
    file = parser.parse_args().file
    table = ratios_in_fresh_processes(ratios, ["(N, C, H, W)", "segments"], PROCESSES)
    table.to_csv(file, index=False)
    print(table.to_string(index=False))


def ratios() -> list[dict[str, Any]]:
    """Measure all inputs in this process."""
    found = []
    for case in CASES:
        layers = [
            peer
            for segments in SEGMENTS
            for peer in peers(case, segments, CPU)
            if peer.name in (GLOBAL, LOCAL)
        ]
        idle = measured(case, layers, ("step", "inference"))
        with busy_core():
            busy = measured(case, layers, ("step",))
            busy_alone = measured(case, layers, ("step",), threads=1)
        for number, row in enumerate(idle):
            if row["layer"] == LOCAL:
                found.append(
                    {
                        "(N, C, H, W)": case.shape,
                        "segments": row["segments"],
                        "step": global_ratio(row, idle),
                        "one core busy": global_ratio(busy[number], busy),
                        "one core busy, one thread": global_ratio(busy_alone[number], busy_alone),
                        "inference": global_ratio(row, idle, "inference"),
                    }
                )
    return found


def measured(
    case: Input, layers: Sequence[Peer], passes: Sequence[str], threads: int | None = None
) -> list[dict[str, Any]]:
    """Time the layers, with all threads unless their number is given."""
    usual = torch.get_num_threads()
    torch.set_num_threads(threads or usual)
    rows = measure(case, layers, CPU, passes)
    torch.set_num_threads(usual)
    return rows


if __name__ == "__main__":
    main()
