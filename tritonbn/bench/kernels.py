"""The Triton kernels in a benchmark: compiled ahead in parallel, and their tuning recorded."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from typing import Any
from unittest.mock import patch

import torch

from tritonbn.bench.cases import CHANNELS_LAST, Input, name_of, segments_of
from tritonbn.kernels import launch, tuning
from tritonbn.kernels.configs import (
    Config,
    Kernel,
    fits_one_pass,
    suitable_configs,
    suitable_kernels,
)
from tritonbn.kernels.offline.compiler import compiling_for
from tritonbn.kernels.problem import Problem
from tritonbn.kernels.scratch import Scratch

TRAFFIC = {  # reads and writes of a tensor of the size of x that a kernel needs at least
    "column_statistics": 1,
    "normalize": 2,
    "column_sums": 2,
    "input_gradient": 3,
    "one_pass_forward": 2,
    "one_pass_backward": 3,
}
Case = tuple[Input, str]
Work = tuple[Kernel, Problem, Config]


def problem_of(case: Input, segments: str) -> Problem:
    """Return the problem that the kernels solve for an input with some segments."""
    batch, channels, height, width = case.shape
    parts = segments_of(segments, case.grid)
    counts = (height * width, parts.num_segments, int(parts.cell_counts.max()), 0)
    last = case.memory_format == CHANNELS_LAST
    return Problem(batch, 1, channels, *counts, case.dtype, last)


def has_one_pass(case: Input, segments: str) -> bool:
    """Return whether one kernel does all three stages of the forward pass."""
    return fits_one_pass("one_pass_forward", problem_of(case, segments))


@contextmanager
def without_one_pass() -> Iterator[None]:
    """Use three stages even if one pass is possible."""
    with patch.object(launch, "fits_one_pass", return_value=False):
        yield


def work_of(tuned: Sequence[Case], untuned: Sequence[Case]) -> list[Work]:
    """List what will be launched: every configuration for `tuned`, the default for `untuned`."""
    work: list[Work] = []
    for cases, every in ((tuned, True), (untuned, False)):
        for case, segments in cases:
            problem = problem_of(case, segments)
            for kernel in suitable_kernels(problem):
                kind = tuning.kind_of(kernel, problem) if every else problem
                configs = suitable_configs(kernel, tuning.kind_of(kernel, problem))
                work += [(kernel, kind, config) for config in configs[: None if every else 1]]
    return list(dict.fromkeys(work))


def compile_ahead(work: Sequence[Work], target: str) -> None:
    """Compile the kernels in all cores, to fill Triton's cache.

    Parameters
    ----------
    work : sequence of (kernel, problem, configuration)
    target : str
        Such as "sm_90".
    """
    jobs = os.cpu_count() or 1
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        parts = [work[part::jobs] for part in range(jobs)]
        list(pool.map(partial(_compile, target=target), parts))


def _compile(work: Sequence[Work], target: str) -> None:
    torch.set_num_threads(1)
    for kernel, kind, config in work:
        with compiling_for(target):
            Scratch(kind, torch.device("meta")).launch(kernel, config)


@contextmanager
def noting_tuning(notes: list[dict[str, Any]]) -> Iterator[None]:
    """Append every configuration that tuning measures, and its time, to a list."""
    measure = tuning.measure

    def measure_and_note(run: Any) -> float:
        milliseconds = measure(run)
        kernel, config = run.args
        kind = run.func.__self__.problem
        bytes_moved = TRAFFIC[kernel] * kind.rows * kind.columns * kind.dtype.itemsize
        notes.append(
            {
                "kernel": kernel,
                "problem": [name_of(part) for part in kind],
                "config": list(config),
                "us": round(1e3 * milliseconds, 2),
                "gb_per_s": round(bytes_moved / milliseconds / 1e6, 1),
            }
        )
        return milliseconds

    with patch.object(tuning, "measure", measure_and_note):
        yield
