"""Choose how to measure: with CUDA graphs on a GPU, with the clock elsewhere."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch

from tritonbn.bench.cases import Input
from tritonbn.bench.clock import copy_speed, measure_by_clock
from tritonbn.bench.passes import PASSES
from tritonbn.bench.peers import Peer


def measure(
    case: Input, peers: Sequence[Peer], device: torch.device, passes: Sequence[str] = PASSES
) -> list[dict[str, Any]]:
    """Return the rows of a record: the input, and the name and times of each peer.

    Parameters
    ----------
    case : Input
    peers : sequence of Peer
        They are interleaved; on a GPU only those with the same segments, to save memory.
    device : torch.device
    passes : sequence of str
        Of `PASSES`. Default: all.

    Returns
    -------
    list of dict
        Times in microseconds; see `tritonbn.bench.passes.summary`.
    """
    if device.type == "cuda":
        from tritonbn.bench.cuda_graphs import measure_on_gpu

        rows = []
        for _, group in groupby(peers, key=lambda peer: peer.segments):
            rows += measure_on_gpu(case, [*group], device, passes)
    else:
        rows = measure_by_clock(case, peers, device, passes)
    return [{**case.describe(), **row} for row in rows]


def copy_speeds_of(device: torch.device) -> dict[str, float]:
    """Return the bandwidth of a copy in GB/s, reads and writes together; the largest size first."""
    if device.type == "cuda":
        from tritonbn.bench.cuda_graphs import copy_speeds

        return copy_speeds()
    return copy_speed(device)
