"""List every kernel in every configuration, and compile all of them without a GPU."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import torch

from tritonbn.kernels import lstm_launch, merging
from tritonbn.kernels.configs import (
    MERGE_CONFIGS,
    ONE_PASS_KERNELS,
    TILE_KERNELS,
    Config,
    one_pass_configs,
    tile_configs,
)
from tritonbn.kernels.offline.compiler import Compiled, compiling_for
from tritonbn.kernels.problem import Problem
from tritonbn.kernels.scratch import Scratch
from tritonbn.kernels.stages import Columns

DTYPES = (torch.float32, torch.bfloat16, torch.float64)  # float16 has the tiles of bfloat16
_META = torch.device("meta")
_CHANNELS, _CELLS = 64, 1024
_ENTRIES = [1 << power for power in range(4, 12)]


@dataclass(frozen=True)
class Case:
    """A kernel and the way it is launched.

    Attributes
    ----------
    kernel : str
    dtype : torch.dtype
        The dtype of x.
    config : Config
    channels_last : bool
    masked : bool
    activation : str or None
    launch : callable
        Launches the kernel on tensors of the device "meta".
    """

    kernel: str
    dtype: torch.dtype
    config: Config
    channels_last: bool
    masked: bool
    activation: str | None
    launch: Callable[[], Any]


def cases() -> Iterator[Case]:
    """List the cases: each configuration alone, and with all options that need registers.

    In float64, which few networks use, it is compiled with the options only.
    """
    for dtype in DTYPES:
        if dtype != torch.float64:
            yield from _tile_cases(dtype, False, False, None)
            for channels_last in (False, True):
                yield from _one_pass_cases(dtype, channels_last, False, None, 1)
        yield from _tile_cases(dtype, True, True, "silu")
        for channels_last, largest in ((False, 1), (True, 16)):
            yield from _one_pass_cases(dtype, channels_last, True, "silu", largest)
        for channels_last in (False, True):
            yield from _merge_cases(dtype, channels_last)
            yield from _lstm_cases(dtype, channels_last)


def compile_cases(target: str, some: Iterable[Case]) -> Iterator[tuple[Case, Compiled]]:
    """Compile cases for a target, which is a key of `compiler.TARGETS`."""
    for case in some:
        with compiling_for(target) as compiled:
            case.launch()
        yield case, compiled[0]


def _tile_cases(
    dtype: torch.dtype, channels_last: bool, masked: bool, activation: str | None
) -> Iterator[Case]:
    problem = _problem(dtype, channels_last, rows=128, largest=_CELLS)
    scratch = Scratch(problem, _META, masked, activation)
    for kernel in TILE_KERNELS:
        for config in tile_configs(kernel, dtype):
            launch = partial(scratch.launch, kernel, config)
            yield Case(kernel, dtype, config, channels_last, masked, activation, launch)


def _one_pass_cases(
    dtype: torch.dtype, channels_last: bool, masked: bool, activation: str | None, largest: int
) -> Iterator[Case]:
    for kernel in ONE_PASS_KERNELS:
        for entries in _ENTRIES:
            problem = _problem(dtype, channels_last, entries // largest, largest)
            scratch = Scratch(problem, _META, masked, activation)
            for config in one_pass_configs(kernel, dtype, entries):
                launch = partial(scratch.launch, kernel, config)
                yield Case(kernel, dtype, config, channels_last, masked, activation, launch)


def _merge_cases(dtype: torch.dtype, channels_last: bool) -> Iterator[Case]:
    problem = _problem(dtype, channels_last, rows=4096, largest=1)
    scratch = Scratch(problem, _META)
    for config in MERGE_CONFIGS:
        splits = config.rows
        first = torch.empty(splits, problem.columns, dtype=torch.float64, device=_META)
        second = first.to(problem.compute_dtype)
        count = second.new_empty(splits, problem.cells)
        statistics = partial(
            merging.merge_statistics,
            problem,
            Columns(first, second, count, ceil(problem.rows / splits)),
            scratch.partition,
            scratch.running,
        )
        sums = partial(
            merging.merge_sums,
            problem,
            Columns(second, second, None, 0),
            scratch.partition,
            scratch.statistics,
            scratch.affine.eps,
        )
        for kernel, launch in (("merge_statistics", statistics), ("merge_sums", sums)):
            yield Case(kernel, dtype, config, channels_last, False, None, launch)


def _lstm_cases(dtype: torch.dtype, channels_last: bool) -> Iterator[Case]:
    outer, inner = (8 * _CELLS, _CHANNELS) if channels_last else (8, _CHANNELS * _CELLS)
    state = torch.empty(outer, inner, dtype=dtype, device=_META)
    gates = state.new_empty(outer, 4, inner)
    config = Config(1, lstm_launch.BLOCK, lstm_launch.WARPS)
    forward = partial(lstm_launch.forward, gates, gates, state, gates, state, state)
    backward = partial(lstm_launch.backward, gates, state, state, state, state, gates, state)
    for kernel, launch in (("lstm_forward", forward), ("lstm_backward", backward)):
        yield Case(kernel, dtype, config, channels_last, False, None, launch)


def _problem(dtype: torch.dtype, channels_last: bool, rows: int, largest: int) -> Problem:
    segments = _CELLS // largest
    return Problem(rows, 1, _CHANNELS, _CELLS, segments, largest, 0, dtype, channels_last)
