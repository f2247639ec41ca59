"""Measure the exchange of statistics: ``torchrun --nproc-per-node 2 benchmarks/ranks.py OUT.csv``.

The group uses nccl if every process has a GPU, and gloo otherwise.
"""

import argparse
import os
from pathlib import Path
from statistics import median
from time import perf_counter

import pandas as pd
import torch
from torch import Tensor

from tritonbn import LocalBN, Segments

GRID = (32, 32)
BATCH = 32
STEPS = 100


def main() -> None:
    """Write a table with one row per number of channels and segments."""
    parser = argparse.ArgumentParser(description="Measure the exchange of statistics.")
    parser.add_argument("file", type=Path, help="CSV file to write")
    file = parser.parse_args().file
    here, local_ranks = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    has_gpu = torch.cuda.device_count() >= local_ranks
    device = torch.device("cuda", here) if has_gpu else torch.device("cpu")
    torch.distributed.init_process_group("nccl" if has_gpu else "gloo")
    rows = []
    for channels in (16, 64):
        x = torch.randn(BATCH, channels, *GRID, device=device)
        for cells in (1, 32, 128, 1024):
            segments = Segments.nearest(range(0, 1024, 1024 // cells), GRID)
            own, together = milliseconds(LocalBN(channels, segments, device=device), x)
            numbers = 4 * channels * cells + cells
            rows.append(
                {
                    "channels": channels,
                    "segments": cells,
                    "numbers": numbers,
                    "KB": round(8 * numbers / 1000, 1),
                    "own statistics (ms)": round(own, 2),
                    "synchronized (ms)": round(together, 2),
                    "difference (ms)": round(together - own, 2),
                }
            )
    if torch.distributed.get_rank() == 0:
        table = pd.DataFrame(rows)
        table.to_csv(file, index=False)
        print(table.to_string(index=False))
    torch.distributed.destroy_process_group()


def milliseconds(layer: LocalBN, x: Tensor) -> list[float]:
    """Return the median times of a step with the statistics of this rank, and of all ranks.

    The steps, a forward and a backward pass each, are made in turn.
    """
    groups = (None, torch.distributed.group.WORLD)
    times: list[list[float]] = [[] for _ in groups]
    for _ in range(STEPS):
        for group, found in zip(groups, times, strict=True):
            layer.process_group = group
            leaf = x.clone().requires_grad_()
            torch.distributed.barrier()
            wait_for(x)
            started = perf_counter()
            layer(leaf).backward(x)
            wait_for(x)
            found.append(1000 * (perf_counter() - started))
    return [median(found[5:]) for found in times]


def wait_for(x: Tensor) -> None:
    """Wait until the device of x is idle."""
    if x.is_cuda:
        torch.cuda.synchronize(x.device)


if __name__ == "__main__":
    main()
