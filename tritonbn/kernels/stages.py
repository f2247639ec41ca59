"""Launch each kernel with a configuration: allocate what it writes, and pass on what it reads."""

from collections.abc import Iterator
from math import ceil
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tritonbn.arguments import NO_RUNNING, Affine, Running, Statistics
from tritonbn.kernels import apply, columns, merge
from tritonbn.kernels.configs import Config, merge_config
from tritonbn.kernels.problem import Mask, Problem
from tritonbn.layout import empty_like
from tritonbn.partition import PIECE_CELLS, Partition

_REDUCING_PROGRAMS = 1024  # about as many as a large GPU runs at once
_MAX_SPLITS = 64
_APPLYING_PROGRAMS = 4096


class Columns(NamedTuple):
    """What stage 1 leaves: two numbers for each split and column, and counts if there is a mask."""

    first: Tensor
    second: Tensor
    counts: Tensor | None
    rows_per_split: int


def _cut_rows(problem: Problem, config: Config, programs: int) -> tuple[tuple[int, int], int]:
    """Return the programs over columns and over rows, and the rows of each."""
    blocks = ceil(problem.columns / config.columns)
    runs = max(1, min(programs // blocks, problem.rows // (2 * config.rows)))
    rows_per_run = ceil(problem.rows / runs)
    return (blocks, ceil(problem.rows / rows_per_run)), rows_per_run


def _tile(problem: Problem, config: Config) -> dict[str, Any]:
    return {
        **problem.constants,
        "COMPUTE": problem.compute_type,
        "BLOCK_ROWS": config.rows,
        "BLOCK_COLUMNS": config.columns,
        **config.options,
    }


def column_statistics(problem: Problem, x: Tensor, mask: Mask, config: Config) -> Columns:
    """Stage 1 of the forward: means and sums of squared deviations."""
    programs = min(_REDUCING_PROGRAMS, _MAX_SPLITS * ceil(problem.columns / config.columns))
    grid, rows_per_split = _cut_rows(problem, config, programs)
    mean = x.new_empty(grid[1], problem.columns, dtype=torch.float64)
    m2 = torch.empty_like(mean, dtype=problem.compute_dtype)
    count = None
    if mask.tensor is not None:
        count = m2.new_empty(grid[1], problem.cells)
    columns.column_statistics[grid](
        x,
        *mask,
        count,
        mean,
        m2,
        problem.rows,
        rows_per_split,
        problem.frames,
        **_tile(problem, config),
    )
    return Columns(mean, m2, count, rows_per_split)


def column_sums(
    problem: Problem,
    dy: Tensor,
    x: Tensor,
    ids: Tensor,
    statistics: Statistics,
    affine: Affine,
    config: Config,
) -> Columns:
    """Stage 1 of the backward: sums of dz and of dz times deviations."""
    programs = min(_REDUCING_PROGRAMS, _MAX_SPLITS * ceil(problem.columns / config.columns))
    grid, rows_per_split = _cut_rows(problem, config, programs)
    sums = x.new_empty(2, grid[1], problem.columns, dtype=problem.compute_dtype)
    columns.column_sums[grid](
        dy,
        x,
        ids,
        *statistics,
        affine.weight,
        affine.bias,
        sums[0],
        sums[1],
        problem.rows,
        rows_per_split,
        problem.frames,
        affine.eps,
        S=problem.segments,
        ACTIVATION=affine.activation,
        **_tile(problem, config),
    )
    return Columns(sums[0], sums[1], None, rows_per_split)


class _Level(NamedTuple):
    """One launch of stage 2: of pieces of segments, or of whole ones."""

    final: bool
    programs: int
    members: Tensor | None
    offsets: Tensor
    splits: int
    cells: int
    channels_last: bool
    entries: int

    def launch(self, problem: Problem) -> tuple[tuple[int, int], dict[str, Any]]:
        """Return the grid of programs and the constants."""
        config = merge_config(self.entries, self.channels_last)
        return (self.programs, ceil(problem.channels / config.columns)), {
            "splits": self.splits,
            "C": problem.channels,
            "CELLS": self.cells,
            "S": problem.segments,
            "CHANNELS_LAST": self.channels_last,
            "FINAL": self.final,
            "BLOCK_ENTRIES": config.rows,
            "BLOCK_CHANNELS": config.columns,
            **config.options,
        }


def _levels(problem: Problem, partition: Partition, splits: int) -> Iterator[_Level]:
    _, members, offsets, pieces, piece_offsets, *_ = partition
    cells, channels_last = problem.cells, problem.channels_last
    entries = splits * min(problem.largest, PIECE_CELLS)
    if problem.largest <= PIECE_CELLS:
        yield _Level(
            True, problem.segments, members, offsets, splits, cells, channels_last, entries
        )
        return
    count = len(pieces) - 1
    yield _Level(False, count, members, pieces, splits, cells, channels_last, entries)
    entries = ceil(problem.largest / PIECE_CELLS)
    yield _Level(True, problem.segments, None, piece_offsets, 1, count, True, entries)


def merge_statistics(
    problem: Problem, source: Columns, partition: Partition, running: Running | None
) -> Statistics:
    """Stage 2 of the forward: mean, variance and count of each segment."""
    mean, m2, count, rows_per_split = source
    for level in _levels(problem, partition, len(mean)):
        shape = (problem.channels, level.programs)
        merged = mean.new_empty(2, *shape)
        merged_count = merged.new_empty(level.programs)
        grid, constants = level.launch(problem)
        merge.merge_statistics[grid](
            count,
            mean,
            m2,
            level.members,
            level.offsets,
            *merged,
            merged_count,
            *(running if running and level.final else NO_RUNNING),
            rows=problem.rows,
            rows_per_split=rows_per_split,
            **constants,
        )
        count, (mean, m2) = merged_count, merged
    return Statistics(mean, m2, count)


def merge_sums(
    problem: Problem,
    source: Columns,
    partition: Partition,
    statistics: Statistics,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Stage 2 of the backward: the gradients of weight and bias."""
    sum_dy, sum_dy_x = source.first, source.second
    for level in _levels(problem, partition, len(sum_dy)):
        dtype = problem.compute_dtype if level.final else torch.float64
        merged = sum_dy.new_empty(2, problem.channels, level.programs, dtype=dtype)
        grid, constants = level.launch(problem)
        merge.merge_sums[grid](
            sum_dy,
            sum_dy_x,
            level.members,
            level.offsets,
            *statistics,
            *merged,
            eps=eps,
            COMPUTE=problem.compute_type,
            **constants,
        )
        sum_dy_x, sum_dy = merged
    return sum_dy_x, sum_dy


def no_gradients(problem: Problem, x: Tensor) -> tuple[Tensor, Tensor]:
    """Stand in for the gradients of a weight and a bias that there are not."""
    shape = (2, problem.channels, problem.segments)
    dweight, dbias = x.new_zeros(shape, dtype=problem.compute_dtype)
    return dweight, dbias


def normalize(
    problem: Problem,
    x: Tensor,
    ids: Tensor,
    statistics: Statistics,
    affine: Affine,
    config: Config,
) -> Tensor:
    """Stage 3 of the forward, and the whole of it where the statistics are given."""
    y = empty_like(x)
    grid, rows_per_program = _cut_rows(problem, config, _APPLYING_PROGRAMS)
    apply.normalize[grid](
        x,
        y,
        ids,
        *statistics,
        affine.weight,
        affine.bias,
        problem.rows,
        rows_per_program,
        problem.frames,
        affine.eps,
        S=problem.segments,
        ACTIVATION=affine.activation,
        **_tile(problem, config),
    )
    return y


def input_gradient(
    problem: Problem,
    dy: Tensor,
    x: Tensor,
    mask: Mask,
    ids: Tensor,
    statistics: Statistics,
    affine: Affine,
    gradients: tuple[Tensor, Tensor] | None,
    config: Config,
) -> Tensor:
    """Stage 3 of the backward: the gradient of x."""
    dx = empty_like(x)
    grid, rows_per_program = _cut_rows(problem, config, _APPLYING_PROGRAMS)
    apply.input_gradient[grid](
        dy,
        x,
        dx,
        *mask,
        ids,
        *statistics,
        affine.weight,
        affine.bias,
        *(gradients or (None, None)),
        problem.rows,
        rows_per_program,
        problem.frames,
        affine.eps,
        S=problem.segments,
        ACTIVATION=affine.activation,
        **_tile(problem, config),
    )
    return dx
