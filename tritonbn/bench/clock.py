"""Measure with the clock of the CPU: all times on a CPU, and layers that are slow on a GPU."""

import time
from collections.abc import Callable, Sequence
from math import prod
from statistics import median
from typing import Any

import torch
from torch import nn

from tritonbn.bench.cases import Input
from tritonbn.bench.passes import Buffers, error_of, summary
from tritonbn.bench.peers import Peer

_WARM_UP = 2
_VALUES = 40_000_000  # at least 20 rounds, and for small inputs as many as have so many values
_MOST_ROUNDS = 500
_COPY_BYTES = 256 << 20


def rounds_of(case: Input) -> int:
    """Return the number of measured rounds."""
    return min(_MOST_ROUNDS, max(20, _VALUES // prod(case.shape)))


def measure_by_clock(
    case: Input,
    peers: Sequence[Peer],
    device: torch.device,
    passes: Sequence[str],
    rounds: int | None = None,
) -> list[dict[str, Any]]:
    """Time layers in interleaved rounds, so that other load on the machine affects all alike.

    Parameters
    ----------
    case : Input
    peers : sequence of Peer
        A slow one gets a single round, without warm-up and inference.
    device : torch.device
    passes : sequence of str
        Of `PASSES`. "forward" and "step" are parts of the same pass.
    rounds : int, optional
        Default: `rounds_of`.

    Returns
    -------
    list of dict
        For each peer its name and the `summary` of each pass, or an "error".
    """
    rounds = rounds_of(case) if rounds is None else rounds
    buffers = Buffers(case, device)
    rows: list[dict[str, Any]] = [{"segments": p.segments, "layer": p.name} for p in peers]
    times: list[dict[str, list[float]]] = [{name: [] for name in passes} for _ in peers]
    layers: dict[int, nn.Module] = {}
    for number, peer in enumerate(peers):
        try:
            layers[number] = peer.make()
        except Exception as error:  # the other layers are still measured
            rows[number]["error"] = error_of(error)
    for round_number in range(-_WARM_UP, rounds):
        for number, layer in list(layers.items()):
            try:
                found = _time_passes(buffers, layer, device, peers[number].slow, passes)
            except Exception as error:
                rows[number]["error"] = error_of(error)
                del layers[number]
                continue
            if peers[number].slow:
                del layers[number]
            if round_number >= 0 or peers[number].slow:
                for name, milliseconds in found.items():
                    times[number][name].append(milliseconds)
    for row, measured in zip(rows, times, strict=True):
        if "error" not in row:
            row |= {name: summary(values) for name, values in measured.items() if values}
    return rows


def _time_passes(
    buffers: Buffers, layer: nn.Module, device: torch.device, slow: bool, passes: Sequence[str]
) -> dict[str, float]:
    """Return the milliseconds of each pass, run once."""
    found = {}
    if "step" in passes:
        start = _now(device)
        y = buffers.forward(layer, 0)
        middle = _now(device)
        buffers.gradients(layer, 0, y)
        found["step"] = 1e3 * (_now(device) - start)
        del y
        if "forward" in passes:
            found["forward"] = 1e3 * (middle - start)
    if "inference" in passes and not slow:
        layer.eval()
        start = _now(device)
        buffers.inference(layer, 0)
        found["inference"] = 1e3 * (_now(device) - start)
        layer.train()
    return found


def clock_times(run: Callable[[], object], device: torch.device, rounds: int) -> list[float]:
    """Return the milliseconds of each of some calls, after one that is not counted."""
    run()
    times = []
    for _ in range(rounds):
        start = _now(device)
        run()
        times.append(1e3 * (_now(device) - start))
    return times


def copy_speed(device: torch.device) -> dict[str, float]:
    """Measure the memory bandwidth of a copy in GB/s, counting reads and writes."""
    source = torch.ones(_COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    milliseconds = median(clock_times(lambda: target.copy_(source), device, 10))
    return {"copy_256MiB": round(2 * _COPY_BYTES / milliseconds / 1e6, 1)}


def _now(device: torch.device) -> float:
    """Return the seconds of the clock when the device has finished its work."""
    torch.get_device_module(device).synchronize()
    return time.perf_counter()
