"""The configurations of the kernels, and which of them suit a problem."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import product
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
_ACCESS_BYTES = 16  # of one memory access of a thread
_SECTOR_BYTES = 32  # that are always read or written together
_TILE_VALUES = {  # float32 values per thread; more would not fit into its registers
    "column_statistics": 16,
    "normalize": 16,
    "column_sums": 8,
    "input_gradient": 8,
}
_WARPS = {  # warps of a program, and how many of them are side by side
    "column_statistics": ((2, 2), (4, 4), (4, 2)),
    "normalize": ((4, 1), (4, 2), (8, 1), (8, 2)),
    "column_sums": ((4, 4), (2, 2), (4, 2)),
    "input_gradient": ((4, 1), (4, 2), (8, 1), (8, 2)),
}
_ONE_PASS_VALUES = {"one_pass_forward": (32, 16, 64), "one_pass_backward": (16, 32)}
_MAX_TILE = 1 << 13  # float32 values; with larger tiles too few programs run concurrently
_MAX_WARPS = 8  # with more, a thread could not have _MOST_REGISTERS
_MOST_REGISTERS = 255  # per thread


class Config(NamedTuple):
    """The tile of a program, in rows (or entries) by columns (or channels), and its warps."""

    rows: int
    columns: int
    warps: int

    @property
    def options(self) -> dict[str, int]:
        """The launch options of Triton.

        The maximum number of registers keeps NVIDIA's assembler from spilling registers in order to
        fit more programs on a multiprocessor.
        """
        if torch.version.hip is not None:
            return {"num_warps": self.warps}
        return {"num_warps": self.warps, "maxnreg": _MOST_REGISTERS}


def _values(in_float32: int, dtype: torch.dtype) -> int:
    return in_float32 // 4 if dtype == torch.float64 else in_float32


def tile_configs(kernel: TileKernel, dtype: torch.dtype) -> list[Config]:
    """Return the configurations of stages 1 and 3, the default first.

    A warp reads 512 contiguous bytes; the warps of a program are side by side or below each other.
    """
    access = _ACCESS_BYTES // dtype.itemsize
    per_thread = max(1, _values(_TILE_VALUES[kernel], dtype) // access)
    return [
        Config(warps // across * per_thread, across * _LANES * access, warps)
        for warps, across in _WARPS[kernel]
    ]


def one_pass_configs(kernel: OnePassKernel, dtype: torch.dtype, entries: int) -> list[Config]:
    """Return the configurations for columns with `entries` values, the default first.

    A row of a tile has 64 or 128 bytes, but at most 32 values; or 32 bytes if more do not fit on
    the chip. The list is empty if no tile fits.
    """
    rows = max(16, _power_of_two(entries))

    def fitting(widths: Iterable[int]) -> Iterator[Config]:
        for values, row_bytes in product(_ONE_PASS_VALUES[kernel], widths):
            columns = row_bytes // dtype.itemsize
            warps = max(1, rows * columns // (_values(values, dtype) * _LANES))
            fits = warps <= _MAX_WARPS and rows * columns <= _values(_MAX_TILE, dtype)
            if fits and columns <= _LANES:
                yield Config(rows, columns, warps)

    return list(dict.fromkeys(fitting((64, 128)))) or list(dict.fromkeys(fitting((32,))))


def block_channels(problem: Problem, config: Config) -> int:
    """Return the channels of a block of columns for single cells in channels_last memory.

    The other columns are further cells; 0 if all columns are adjacent in memory.
    """
    channels = min(config.columns, _SECTOR_BYTES // problem.dtype.itemsize)
    return channels if problem.channels_last and problem.channels % channels == 0 else 0


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
    return tuple(narrow or [min(configs, key=lambda config: (config.columns, config.warps))])


@lru_cache(maxsize=1024)  # called in every launch
def fits_one_pass(kernel: OnePassKernel, problem: Problem) -> bool:
    """Return whether a column can hold all values of its segment, and they fit on the chip."""
    if problem.largest > 1 and not problem.channels_last:
        return False
    return bool(one_pass_configs(kernel, problem.dtype, problem.rows * problem.largest))


def suitable_kernels(problem: Problem) -> list[Kernel]:
    """Return the kernels of a training step and an evaluation, without those of stage 2."""
    forward: list[Kernel] = ["column_statistics"]
    backward: list[Kernel] = ["column_sums", "input_gradient"]
    if fits_one_pass("one_pass_forward", problem):
        forward = ["one_pass_forward"]
    if fits_one_pass("one_pass_backward", problem):
        backward = ["one_pass_backward"]
    return [*forward, "normalize", *backward]


MERGE_CONFIGS = [Config(16, 32, 2), Config(64, 16, 4), Config(256, 4, 4)]
"""The configurations of stage 2, by increasing number of entries."""


def merge_config(entries: int) -> Config:
    """Return the configuration for merging segments of at most `entries` entries."""
    return next((config for config in MERGE_CONFIGS if config.rows >= entries), MERGE_CONFIGS[-1])


def _power_of_two(least: int) -> int:
    return 1 << (least - 1).bit_length()
