"""Measure the time on the GPU, and separately the time in which the CPU issues the work.

For the time on the GPU, calls on up to eight buffers are captured in a CUDA graph, and its replay
is timed with events. If x is larger than 25 MB, the buffers together are larger than the cache.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median

import torch
from torch import Tensor

from tritonbn.kernels.tuning import timing_event

CALLS = 8


def graph_times(run: Callable[[int], object], calls: int, replays: int = 20) -> list[float]:
    """Return the milliseconds per call, for each replay of a CUDA graph of `calls` calls."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            run(0)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = [run(number) for number in range(calls)]
    times = []
    for _ in range(replays + 3):
        start, end = (timing_event() for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / calls)
    del kept
    return times[3:]


def host_time(run: Callable[[int], object], calls: int = 50) -> float:
    """Return the milliseconds that the CPU needs to issue a call."""
    for _ in range(5):
        run(0)
    times = []
    for _ in range(5):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            run(0)
        times.append(1e3 * (time.perf_counter() - start) / calls)
    torch.cuda.synchronize()
    return min(times)


def summary(times: list[float]) -> dict[str, float]:
    """Return median, minimum and maximum in microseconds."""
    return {
        "median_us": round(1e3 * median(times), 2),
        "min_us": round(1e3 * min(times), 2),
        "max_us": round(1e3 * max(times), 2),
    }


def clone(sources: list[Tensor], number: int) -> Tensor:
    """Copy a buffer."""
    return sources[number].clone()


def ceilings() -> dict[str, float]:
    """Measure the memory bandwidth of a copy in GB/s, counting reads and writes."""
    sizes = {"copy_1GiB": 1 << 30, "copy_32MiB": 1 << 25}
    result = {}
    for label, size in sizes.items():
        calls = max(1, min(CALLS, (1 << 30) // size))
        sources = [torch.randn(size // 4, device="cuda") for _ in range(calls)]
        times = graph_times(partial(clone, sources), calls)
        result[label] = round(2 * size / median(times) / 1e6, 1)
    return result
