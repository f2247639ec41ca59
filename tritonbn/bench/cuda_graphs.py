"""Measure the time on the GPU, and separately the time in which the CPU issues the work.

For the time on the GPU, calls on up to eight inputs are captured in a CUDA graph, and its replay
is timed with events. If x is larger than 25 MB, the inputs together are larger than the cache.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from tritonbn.bench.cases import Input
from tritonbn.bench.clock import measure_by_clock
from tritonbn.bench.passes import Buffers, error_of, summary
from tritonbn.bench.peers import Peer

_CALLS = 8
_CACHE_BYTES = 200 << 20
_REPLAYS = 20
_SLOW_ROUNDS = 4
_HOST_CALLS = 20


class Graph:
    """A captured CUDA graph of calls.

    Parameters
    ----------
    run : callable
        Takes the number of an input.
    calls : int
        The number of inputs.
    """

    def __init__(self, run: Callable[[int], object], calls: int) -> None:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                run(0)
        torch.cuda.current_stream().wait_stream(stream)
        self.calls = calls
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.kept = [run(number) for number in range(calls)]

    def replay(self) -> float:
        """Replay the graph, and return the milliseconds per call on the GPU."""
        start, end = (
            torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            for _ in range(2)
        )
        start.record()
        self.graph.replay()
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / self.calls


def interleaved(graphs: Sequence[Graph]) -> list[list[float]]:
    """Return the milliseconds per call for each graph and replay; the first three are left out."""
    rounds = [[graph.replay() for graph in graphs] for _ in range(_REPLAYS + 3)]
    return [list(times) for times in zip(*rounds[3:], strict=True)]


def host_time(run: Callable[[int], object]) -> float:
    """Return the milliseconds that the CPU needs to issue a call."""
    for _ in range(5):
        run(0)
    times = []
    for _ in range(5):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(_HOST_CALLS):
            run(0)
        times.append(1e3 * (time.perf_counter() - start) / _HOST_CALLS)
    torch.cuda.synchronize()
    return min(times)


def calls_of(case: Input) -> int:
    """Return the number of inputs that together exceed the cache."""
    return max(1, min(_CALLS, -(-_CACHE_BYTES // case.bytes)))


def measure_on_gpu(
    case: Input, peers: Sequence[Peer], device: torch.device, passes: Sequence[str]
) -> list[dict[str, Any]]:
    """Time layers; the replays of their graphs are interleaved.

    Parameters
    ----------
    case : Input
    peers : sequence of Peer
        A slow one is measured with a clock, in four rounds.
    device : torch.device
        The current CUDA device.
    passes : sequence of str
        Of `PASSES`.

    Returns
    -------
    list of dict
        For each peer its name, the `summary` of each pass and the time to issue a step, or an
        "error", beside what was measured before it.
    """
    slow = [peer for peer in peers if peer.slow]
    peers = [peer for peer in peers if not peer.slow]
    buffers = Buffers(case, device, calls_of(case))
    rows: list[dict[str, Any]] = [
        {"segments": peer.segments, "layer": peer.name, "calls": buffers.calls} for peer in peers
    ]
    layers: dict[int, nn.Module] = {}

    def attempt(number: int, work: Callable[[], object]) -> Any:
        """Do some work for a peer; after an error, this peer alone is no longer measured."""
        try:
            with peers[number].limits():
                return work()
        except Exception as error:
            rows[number]["error"] = error_of(error)
            layers.pop(number, None)
            return None

    for number, peer in enumerate(peers):
        layer = attempt(number, peer.make)
        if layer is not None:
            layers[number] = layer
    for name in passes:
        graphs: dict[int, Graph] = {}
        for number, layer in list(layers.items()):
            layer.train(name != "inference")
            run = buffers.runs(layer)[name]
            graph = attempt(number, partial(Graph, run, buffers.calls))
            if graph is not None:
                graphs[number] = graph
        for number, times in zip(graphs, interleaved([*graphs.values()]), strict=True):
            rows[number][name] = summary(times)
        del graphs
        graph = None
        torch.cuda.empty_cache()
    for number, layer in list(layers.items()):
        layer.train()
        milliseconds = attempt(number, partial(host_time, buffers.runs(layer)["step"]))
        if milliseconds is not None:
            rows[number]["host_step_us"] = round(1e3 * milliseconds, 1)
    layers.clear()
    del buffers
    torch.cuda.empty_cache()
    for peer in slow:
        rows += measure_by_clock(case, [replace(peer, slow=False)], device, passes, _SLOW_ROUNDS)
    return rows


def copy_speeds() -> dict[str, float]:
    """Measure the memory bandwidth of a copy in GB/s, counting reads and writes."""
    sizes = {"copy_1GiB": 1 << 30, "copy_32MiB": 1 << 25}
    result = {}
    for label, size in sizes.items():
        calls = max(1, min(_CALLS, (1 << 30) // size))
        sources = [torch.randn(size // 4, device="cuda") for _ in range(calls)]
        (times,) = interleaved([Graph(partial(_clone, sources), calls)])
        result[label] = round(2 * size / median(times) / 1e6, 1)
    return result


def _clone(sources: list[Tensor], number: int) -> Tensor:
    return sources[number].clone()
