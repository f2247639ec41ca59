"""The choice of a configuration: measured once for each kernel and kind of problem, and kept.

Kinds of problems differ in the sizes of the grid and the channels, the type, the layout, and the
batch size up to the next power of two, so that the last batch of an epoch seldom is of another
kind. What is measured runs on tensors of its own. Choices are kept in Triton's cache folder, and
made anew for another GPU, another Triton or changed kernels. ``TRITONBN_AUTOTUNE=0`` takes the
default configurations instead.
"""

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Callable
from functools import partial
from math import ceil
from pathlib import Path

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
_FILE = "choice.json"
_KERNELS = {
    "column_statistics": columns.column_statistics,
    "column_sums": columns.column_sums,
    "normalize": apply.normalize,
    "input_gradient": apply.input_gradient,
    "one_pass_forward": one_pass.forward,
    "one_pass_backward": one_pass.backward,
}
_chosen: dict[tuple[Kernel, Problem, torch.device], Config] = {}


def choose(kernel: Kernel, problem: Problem, device: torch.device) -> Config:
    """Return the configuration for a kernel: the chosen one, or choose it now.

    While a CUDA graph is captured, nothing is measured and the default returned.
    """
    kind = kind_of(kernel, problem)
    key = (kernel, kind, device)
    if key not in _chosen:
        configs = suitable_configs(kernel, kind)
        if not _is_tunable(device):
            return configs[0]
        if len(configs) == 1:
            _chosen[key] = configs[0]
        else:
            _chosen[key] = _load(kernel, kind, configs) or _tune(kernel, kind, device, configs)
    return _chosen[key]


def kind_of(kernel: Kernel, problem: Problem) -> Problem:
    """Return the problem that stands for all of its kind; the one measured."""
    batch = 1 << (problem.batch - 1).bit_length()
    if kernel not in ONE_PASS_KERNELS:  # they do not depend on the segments
        return dataclasses.replace(
            problem, batch=batch, segments=1, largest=problem.cells, outside=0
        )
    segments = ceil(problem.cells / problem.largest)
    kind = dataclasses.replace(problem, batch=batch, segments=segments, outside=0)
    return kind if fits_one_pass(kernel, kind) else dataclasses.replace(kind, batch=problem.batch)


def _is_tunable(device: torch.device) -> bool:
    return (
        os.environ.get("TRITONBN_AUTOTUNE") != "0"
        and device.type == "cuda"
        and not torch.cuda.is_current_stream_capturing()
    )


def _tune(kernel: Kernel, kind: Problem, device: torch.device, configs: list[Config]) -> Config:
    """Measure the configurations, and keep the fastest."""
    try:
        scratch = Scratch(kind, device)
        times = [measure(partial(scratch.launch, kernel, config)) for config in configs]
    except torch.OutOfMemoryError:
        _log.warning("no memory to tune %s for %s; it runs with the default", kernel, kind)
        return configs[0]
    best = configs[times.index(min(times))]
    _log.info("tuned %s for %s: %s, %s ms", kernel, kind, best, min(times))
    _cache(kernel, kind, configs).put(json.dumps(best), _FILE, binary=False)
    return best


def measure(run: Callable[[], object]) -> float:
    """Return the median milliseconds that a launch takes."""
    return float(triton.testing.do_bench(run, warmup=5, rep=30, return_mode="median"))


def _cache(
    kernel: Kernel, kind: Problem, configs: list[Config]
) -> "triton.runtime.cache.CacheManager":
    target = triton.runtime.driver.active.get_current_target()
    words = (
        kernel,
        kind,
        configs,
        _KERNELS[kernel].cache_key,
        triton.__version__,
        target,
        torch.cuda.get_device_name(),
    )
    return get_cache_manager(hashlib.sha256(repr(words).encode()).hexdigest())


def _load(kernel: Kernel, kind: Problem, configs: list[Config]) -> Config | None:
    path = _cache(kernel, kind, configs).get_file(_FILE)
    if path is None:
        return None
    config = Config(*json.loads(Path(path).read_text(encoding="utf-8")))
    return config if config in configs else None
