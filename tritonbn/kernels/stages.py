"""Launch the kernels of stages 1 and 3, and allocate their outputs."""

from math import ceil
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tritonbn.kernels import apply, columns
from tritonbn.kernels.configs import Config
from tritonbn.kernels.problem import Mask, Problem
from tritonbn.tensors import Affine, Statistics, empty_like

_REDUCING_PROGRAMS = 1024  # about as many as a large GPU runs concurrently
_MAX_SPLITS = 64
_APPLYING_PROGRAMS = 4096


class Columns(NamedTuple):
    """The result of stage 1: two numbers per split and column, and counts if there is a mask."""

    first: Tensor
    second: Tensor
    counts: Tensor | None
    rows_per_split: int


def _cut_rows(
    problem: Problem, config: Config, programs: int, most_runs: int
) -> tuple[tuple[int, int], int]:
    """Return the launch grid (blocks of columns, runs of rows) and the number of rows per run."""
    blocks = ceil(problem.columns / config.columns)
    runs = max(1, min(programs // blocks, most_runs, problem.rows // (2 * config.rows)))
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
    """Run stage 1 of the forward pass: means and sums of squared deviations."""
    grid, rows_per_split = _cut_rows(problem, config, _REDUCING_PROGRAMS, _MAX_SPLITS)
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
    mask: Mask,
    ids: Tensor,
    statistics: Statistics,
    affine: Affine,
    config: Config,
) -> Columns:
    """Run stage 1 of the backward pass: sums of dz and of dz times deviations."""
    grid, rows_per_split = _cut_rows(problem, config, _REDUCING_PROGRAMS, _MAX_SPLITS)
    sums = x.new_empty(2, grid[1], problem.columns, dtype=problem.compute_dtype)
    columns.column_sums[grid](
        dy,
        x,
        *mask,
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


def no_gradients(problem: Problem, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return zeros in place of the gradients if there is no weight and no bias."""
    dweight = x.new_zeros(problem.channels, problem.segments, dtype=problem.compute_dtype)
    return dweight, torch.zeros_like(dweight)


def normalize(
    problem: Problem,
    x: Tensor,
    ids: Tensor,
    statistics: Statistics,
    affine: Affine,
    config: Config,
) -> Tensor:
    """Run stage 3 of the forward pass; it is the only stage if the statistics are given."""
    y = empty_like(x)
    grid, rows_per_program = _cut_rows(problem, config, _APPLYING_PROGRAMS, problem.rows)
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
    pooled: bool = False,
) -> Tensor:
    """Run stage 3 of the backward pass: the gradient of x.

    If the statistics are `pooled`, `gradients` are slope and constant of `Pooling.gradients`,
    around the mean in the compute dtype.
    """
    dx = empty_like(x)
    grid, rows_per_program = _cut_rows(problem, config, _APPLYING_PROGRAMS, problem.rows)
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
        POOLED=pooled,
        ACTIVATION=affine.activation,
        **_tile(problem, config),
    )
    return dx
