"""Launch the one-pass kernels."""

from math import ceil
from typing import Any

import torch
from torch import Tensor

from tritonbn.kernels import one_pass
from tritonbn.kernels.configs import Config, block_channels
from tritonbn.kernels.problem import Mask, Problem
from tritonbn.partition import Partition
from tritonbn.tensors import NO_RUNNING, Affine, Running, Statistics, empty_like


def _launch(problem: Problem, config: Config) -> tuple[Any, dict[str, Any]]:
    """Return the launch grid and the keyword arguments of the kernel."""
    single_cells = problem.largest == 1
    channels = block_channels(problem, config) if single_cells else 0
    if channels:
        blocks = ceil(problem.cells / (config.columns // channels))
        grid = (blocks * (problem.channels // channels), 1)
    elif single_cells:
        grid = (ceil(problem.columns / config.columns), 1)
    else:
        programs = problem.segments + ceil(problem.outside / problem.largest)
        grid = (programs, ceil(problem.channels / config.columns))
    return grid, {
        **problem.constants,
        "S": problem.segments,
        "SINGLE_CELLS": single_cells,
        "COMPUTE": problem.compute_type,
        "BLOCK_ROWS": config.rows,
        "BLOCK_COLUMNS": config.columns,
        "BLOCK_CHANNELS": channels,
        **config.options,
    }


def forward(
    problem: Problem,
    x: Tensor,
    partition: Partition,
    mask: Mask,
    affine: Affine,
    running: Running | None,
    config: Config,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute the statistics and normalize in one pass over x."""
    y = empty_like(x)
    mean = x.new_empty(problem.channels, problem.segments, dtype=torch.float64)
    var, count = torch.empty_like(mean), mean.new_empty(problem.segments)
    grid, constants = _launch(problem, config)
    one_pass.forward[grid](
        x,
        y,
        partition.ids,
        partition.members,
        partition.offsets,
        *mask,
        affine.weight,
        affine.bias,
        mean,
        var,
        count,
        *(running or NO_RUNNING),
        problem.rows,
        problem.frames,
        problem.largest,
        affine.eps,
        ACTIVATION=affine.activation,
        **constants,
    )
    return y, mean, var, count


def backward(
    problem: Problem,
    dy: Tensor,
    x: Tensor,
    partition: Partition,
    mask: Mask,
    affine: Affine,
    statistics: Statistics,
    config: Config,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute all gradients in one pass over x and dy."""
    dx = empty_like(x)
    dweight = x.new_empty(problem.channels, problem.segments, dtype=problem.compute_dtype)
    dbias = torch.empty_like(dweight)
    grid, constants = _launch(problem, config)
    one_pass.backward[grid](
        dy,
        x,
        dx,
        partition.ids,
        partition.members,
        partition.offsets,
        *mask,
        affine.weight,
        affine.bias,
        *statistics,
        dweight,
        dbias,
        problem.rows,
        problem.frames,
        problem.largest,
        affine.eps,
        ACTIVATION=affine.activation,
        **constants,
    )
    return dx, dweight, dbias
