"""The configurations that the kernels are shipped with, and which of them suit a problem."""

from functools import lru_cache
from typing import Literal, NamedTuple

import torch

from tritonbn.kernels.problem import Problem

TileKernel = Literal["column_statistics", "normalize", "column_sums", "input_gradient"]
OnePassKernel = Literal["one_pass_forward", "one_pass_backward"]
Kernel = TileKernel | OnePassKernel

TILE_KERNELS: tuple[TileKernel, ...] = (
    "column_statistics",
    "normalize",
    "column_sums",
    "input_gradient",
)
ONE_PASS_KERNELS: tuple[OnePassKernel, ...] = ("one_pass_forward", "one_pass_backward")

_LANES = 32
_ACCESS_BYTES = 16  # what a thread reads or writes at once
_TILE_VALUES = {  # of a thread, in float32; more would be more than its registers hold
    "column_statistics": 16,
    "normalize": 16,
    "column_sums": 8,
    "input_gradient": 8,
    "one_pass_forward": 16,
    "one_pass_backward": 8,
}
_MAX_WARPS = 16
_REGISTERS = 1 << 16  # of a multiprocessor
_MOST_REGISTERS = 255  # of a thread


class Config(NamedTuple):
    """The tile of a program, in rows (or entries) and columns (or channels), and its warps."""

    rows: int
    columns: int
    warps: int

    @property
    def options(self) -> dict[str, int]:
        """What Triton is told of the warps.

        With the number of registers that they can have, an NVIDIA assembler does not spill some to
        make room for other programs.
        """
        if torch.version.hip is not None:
            return {"num_warps": self.warps}
        registers = min(_MOST_REGISTERS, _REGISTERS // (self.warps * _LANES))
        return {"num_warps": self.warps, "maxnreg": registers}


def _values(kernel: Kernel, dtype: torch.dtype) -> int:
    return _TILE_VALUES[kernel] // (4 if dtype == torch.float64 else 1)


def tile_configs(kernel: TileKernel, dtype: torch.dtype) -> list[Config]:
    """Return the configurations of stages 1 and 3, the default first.

    A warp reads 512 neighbouring bytes; the warps lie beside or below one another.
    """
    access = _ACCESS_BYTES // dtype.itemsize
    per_thread = max(1, _values(kernel, dtype) // access)
    return [
        Config(warps // across * per_thread, across * _LANES * access, warps)
        for warps, across in ((4, 1), (4, 2), (4, 4), (8, 1), (8, 2))
    ]


def one_pass_configs(kernel: OnePassKernel, dtype: torch.dtype, entries: int) -> list[Config]:
    """Return the configurations for columns of that many entries, the default first.

    A row of a tile has 128, 64 or 32 bytes; there are none where not even the last fits on chip.
    """
    values = _values(kernel, dtype)
    rows = max(16, _power_of_two(entries))
    configs = []
    for row_bytes in (128, 64, 32):
        columns = row_bytes // dtype.itemsize
        warps = max(1, rows * columns // (values * _LANES))
        if warps <= _MAX_WARPS:
            configs.append(Config(rows, columns, warps))
    return configs


@lru_cache(maxsize=1024)
def suitable_configs(kernel: Kernel, problem: Problem) -> tuple[Config, ...]:
    """Return the configurations that suit a problem, the default first."""
    across = problem.columns
    if kernel == "one_pass_forward" or kernel == "one_pass_backward":
        configs = one_pass_configs(kernel, problem.dtype, problem.rows * problem.largest)
        if problem.largest > 1:
            across = problem.channels
    else:
        configs = tile_configs(kernel, problem.dtype)
    narrow = [config for config in configs if config.columns < 2 * across]
    return tuple(narrow or configs[-1:])


@lru_cache(maxsize=1024)  # every launch asks
def fits_one_pass(kernel: OnePassKernel, problem: Problem) -> bool:
    """Whether a column holds all entries of its segment, and they fit on the chip."""
    if problem.largest > 1 and not problem.channels_last:
        return False
    return bool(one_pass_configs(kernel, problem.dtype, problem.rows * problem.largest))


def suitable_kernels(problem: Problem) -> list[Kernel]:
    """Return the kernels that a training step and an evaluation launch, but for stage 2."""
    forward: list[Kernel] = ["column_statistics"]
    backward: list[Kernel] = ["column_sums", "input_gradient"]
    if fits_one_pass("one_pass_forward", problem):
        forward = ["one_pass_forward"]
    if fits_one_pass("one_pass_backward", problem):
        backward = ["one_pass_backward"]
    return [*forward, "normalize", *backward]


MERGE_CONFIGS = {
    False: [Config(16, 16, 2), Config(128, 16, 4), Config(1024, 2, 4)],
    True: [Config(16, 16, 2), Config(128, 16, 4), Config(256, 16, 8)],
}
"""The configurations of stage 2 by `channels_last`, in rising number of entries."""


def merge_config(entries: int, channels_last: bool) -> Config:
    """Return the configuration that merges segments of that many entries, at most."""
    configs = MERGE_CONFIGS[channels_last]
    return next((config for config in configs if config.rows >= entries), configs[-1])


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
