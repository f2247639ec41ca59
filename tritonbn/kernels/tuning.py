"""Choose the fastest configuration of a kernel by measuring, once for each kind of problem.

The kind of a problem consists of the sizes of the grid and the channels, the dtype, the memory
layout, and the batch size rounded up to a power of two. Rounding limits the number of measurements,
for example for the smaller last batch of an epoch. Measurements use tensors of their own. Choices
are stored in Triton's cache folder, and are made again for another GPU, another version of Triton
or changed kernels. With ``TRITONBN_AUTOTUNE=0`` the default configurations are used instead.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from functools import lru_cache, partial
from math import ceil
from pathlib import Path
from typing import Any

import torch
import triton
from triton.runtime.cache import get_cache_manager

from tritonbn.kernels import apply, columns, one_pass
from tritonbn.kernels.configs import (
    ONE_PASS_KERNELS,
    Config,
    Kernel,
    fits_one_pass,
    suitable_configs,
)
from tritonbn.kernels.problem import Problem
from tritonbn.kernels.scratch import Scratch

_log = logging.getLogger("tritonbn")
_FILE = "config.json"
_ROUNDS, _LAUNCHES = 5, 8
_SLEEP_CYCLES = 4_000_000  # about 2 ms
_KERNELS: dict[Kernel, Any] = {
    "column_statistics": columns.column_statistics,
    "column_sums": columns.column_sums,
    "normalize": apply.normalize,
    "input_gradient": apply.input_gradient,
    "one_pass_forward": one_pass.forward,
    "one_pass_backward": one_pass.backward,
}
_chosen: dict[tuple[Kernel, Problem, torch.device], Config] = {}


def choose(kernel: Kernel, problem: Problem, device: torch.device) -> Config:
    """Return the configuration for a kernel: the stored choice, or a new one.

    Nothing can be measured while a CUDA graph is captured, so without a choice the default is used.
    """
    kind = kind_of(kernel, problem)
    key = (kernel, kind, device)
    if key in _chosen:
        return _chosen[key]
    configs = suitable_configs(kernel, kind)
    if os.environ.get("TRITONBN_AUTOTUNE") == "0" or not _can_measure(device):
        return configs[0]
    if len(configs) == 1:
        _chosen[key] = configs[0]
    else:
        kept = _Kept(kernel, kind, device, configs)
        _chosen[key] = kept.load() or _tune(kernel, kind, device, configs, kept)
    return _chosen[key]


@lru_cache(maxsize=1024)  # called in every launch
def kind_of(kernel: Kernel, problem: Problem) -> Problem:
    """Return the representative problem of a kind, which is the one that is measured."""
    batch = 1 << (problem.batch - 1).bit_length()
    if kernel not in ONE_PASS_KERNELS:  # the segments do not affect their speed
        return problem._replace(batch=batch, segments=1, largest=problem.cells, outside=0)
    segments = ceil(problem.cells / problem.largest)
    kind = problem._replace(batch=batch, segments=segments, outside=0)
    return kind if fits_one_pass(kernel, kind) else kind._replace(batch=problem.batch)


def measure(run: Callable[[], object]) -> float:
    """Return the shortest time of a launch on the GPU over several rounds, in milliseconds.

    The GPU sleeps for about 2 ms before each round, while the CPU issues the launches; if issuing
    takes longer, the time of that round is too long. Small inputs are cached, as in a network.
    """
    run()
    times = []
    for _ in range(_ROUNDS):
        start, end = timing_event(), timing_event()
        torch.cuda._sleep(_SLEEP_CYCLES)  # type: ignore[no-untyped-call]
        start.record()
        for _ in range(_LAUNCHES):
            run()
        end.record()
        end.synchronize()
        times.append(float(start.elapsed_time(end)) / _LAUNCHES)
    return min(times)


def timing_event() -> torch.cuda.Event:
    """Return an event that records the time at which the GPU reaches it."""
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def _can_measure(device: torch.device) -> bool:
    return device.type == "cuda" and not torch.cuda.is_current_stream_capturing()


def _tune(
    kernel: Kernel, kind: Problem, device: torch.device, configs: tuple[Config, ...], kept: "_Kept"
) -> Config:
    """Measure the configurations, and store the fastest."""
    try:
        scratch = Scratch(kind, device)
        times = [measure(partial(scratch.launch, kernel, config)) for config in configs]
    except torch.OutOfMemoryError:
        _log.warning(
            "not enough memory to tune %s for %s; the default configuration is used", kernel, kind
        )
        return configs[0]
    best = configs[times.index(min(times))]
    _log.info("tuned %s for %s: %s, %.4f ms", kernel, kind, best, min(times))
    kept.save(best)
    return best


class _Kept:
    """The file in Triton's cache that stores a choice."""

    def __init__(
        self, kernel: Kernel, kind: Problem, device: torch.device, configs: tuple[Config, ...]
    ) -> None:
        words = repr((kernel, kind, configs, _fingerprint(kernel, device)))
        self.configs = configs
        self.cache = get_cache_manager(hashlib.sha256(words.encode()).hexdigest())

    def load(self) -> Config | None:
        """Return the choice if the file exists and is valid."""
        path = self.cache.get_file(_FILE)
        if path is None:
            return None
        try:
            config = Config(*json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return config if config in self.configs else None

    def save(self, config: Config) -> None:
        """Write the choice; if the cache is not writable, only this process knows it."""
        try:
            self.cache.put(json.dumps(config), _FILE, binary=False)
        except OSError as error:
            _log.warning("the tuned configuration cannot be stored: %s", error)


def _fingerprint(kernel: Kernel, device: torch.device) -> tuple[object, ...]:
    """Return all that a measured time depends on, apart from the problem."""
    code = _KERNELS[kernel].cache_key
    return code, triton.__version__, torch.cuda.get_device_name(device)
