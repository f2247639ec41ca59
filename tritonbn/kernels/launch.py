"""Decide which kernels compute the forward and the backward pass.

==================  ====================================  =====================================
                    one pass                              three stages
==================  ====================================  =====================================
condition           the values of a segment and channel   otherwise
                    fit on the chip, segments are single
                    cells or memory channels_last, and
                    there are no levels and no process
                    group
forward             `one_pass.forward`                    `columns.column_statistics`,
                                                          `merge.merge_statistics`,
                                                          `apply.normalize`
backward            `one_pass.backward`                   `columns.column_sums`,
                                                          `merge.merge_sums`,
                                                          `apply.input_gradient`
given statistics    forward `apply.normalize` alone, backward three stages
==================  ====================================  =====================================

With a process group, `merge.merge_statistics` runs a second time to merge the ranks.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from tritonbn import ranks
from tritonbn.kernels import fused, merging, stages, tuning
from tritonbn.kernels.configs import fits_one_pass
from tritonbn.kernels.problem import Mask, Problem
from tritonbn.partition import Partition
from tritonbn.pooling import Estimate, Pooling, no_estimates, no_tau
from tritonbn.tensors import Affine, Running, Statistics, in_layout


def forward(
    x: Tensor,
    partition: Partition,
    mask: Tensor | None,
    given: tuple[Tensor, Tensor] | None,
    affine: Affine,
    running: Running | None,
    group: str | None,
    pooling: Pooling | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor]:
    """Normalize x, and update the running statistics if there are any.

    Parameters
    ----------
    x : Tensor, shape (N, C, *extra, *grid)
        Not empty.
    partition : Partition
    mask : Tensor of bool, broadcastable to (N, 1, *extra, *grid), or None
    given : (Tensor, Tensor) or None
        Mean and variance of shape (C, S), to use instead of those of the batch.
    affine : Affine
    running : Running or None
    group : str or None
        Name of the process group over whose ranks the statistics are computed.
    pooling : Pooling, optional
        Levels of segments; x is normalized with the pooled statistics.

    Returns
    -------
    y : Tensor, shape, dtype and memory format of x
    mean, var : Tensor, shape (C, S)
        The statistics of each segment alone; 0 for a segment without values.
    count : Tensor, shape (S,), or None
        Number of values per channel in each segment; None if the statistics were given.
    estimates : Tensor, shape (3, C, S)
        The result of `Pooling.finest`, with which x was normalized; empty without pooling.
    """
    problem = Problem.of(x, partition)
    x = in_layout(x, problem.channels_last)
    with on_device_of(x):
        estimates = no_estimates(x)
        if given is not None:
            own = statistics = Statistics(*given, None)
        else:
            counted = Mask.of(mask, x, problem)
            in_one_pass = group is None and pooling is None
            if in_one_pass and fits_one_pass("one_pass_forward", problem):
                config = tuning.choose("one_pass_forward", problem, x.device)
                found = fused.forward(problem, x, partition, counted, affine, running, config)
                return *found, estimates
            if group is None:
                own = _statistics(problem, x, counted, partition, running)
            else:
                alone = _statistics(problem, x, counted, partition, None)
                own = merging.merge_ranks(ranks.gather(alone, group), running)
            statistics = own
            if pooling is not None:
                mean, var, counts = own
                assert counts is not None
                estimates = pooling.finest(mean, var, counts)
                statistics = Statistics(estimates[0], estimates[1], pooling.counts(counts))
        config = tuning.choose("normalize", problem, x.device)
        return (
            stages.normalize(problem, x, partition.ids, statistics, affine, config),
            *own,
            estimates,
        )


def backward(
    dy: Tensor,
    x: Tensor,
    partition: Partition,
    mask: Tensor | None,
    statistics: Statistics,
    affine: Affine,
    group: str | None,
    pooling: Pooling | None = None,
    estimates: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight, bias and tau, given the gradient of y.

    Parameters
    ----------
    dy, x : Tensor, shape (N, C, *extra, *grid)
        Not empty.
    partition : Partition
    mask : Tensor of bool, broadcastable to (N, 1, *extra, *grid), or None
    statistics : Statistics
        As returned by `forward`, or given to it.
    affine : Affine
    group : str or None
        As given to `forward`.
    pooling : Pooling, optional
        As given to `forward`.
    estimates : Tensor, optional
        As returned by `forward`. None if the gradient of tau is needed: then they are computed
        again, together with those of the other levels.

    Returns
    -------
    dx : Tensor, shape, type and memory format of x
    dweight, dbias : Tensor, shape (C, S)
    dtau : Tensor, shape (L - 1,)
        Empty without pooling.
    """
    problem = Problem.of(x, partition)
    x, dy = (in_layout(t, problem.channels_last) for t in (x, dy))
    with on_device_of(x):
        counted = Mask.of(mask, x, problem)
        batch_statistics = statistics.counts is not None
        in_one_pass = batch_statistics and group is None and pooling is None
        if in_one_pass and fits_one_pass("one_pass_backward", problem):
            config = tuning.choose("one_pass_backward", problem, x.device)
            found = fused.backward(problem, dy, x, partition, counted, affine, statistics, config)
            return *found, no_tau(x, pooling)
        mean, var, counts = statistics
        levels: list[Estimate] = []
        if pooling is not None and counts is not None:
            levels = pooling.restore(estimates, mean, var, counts)
            mean, var, _ = levels[0]
            statistics = Statistics(mean, var, pooling.counts(counts))
        ids = partition.ids
        gradients = None
        if batch_statistics or affine.weight is not None or affine.bias is not None:
            config = tuning.choose("column_sums", problem, x.device)
            sums = stages.column_sums(problem, dy, x, counted, ids, statistics, affine, config)
            gradients = merging.merge_sums(problem, sums, partition, statistics, affine.eps)
        config = tuning.choose("input_gradient", problem, x.device)
        totals = gradients
        if gradients is not None and group is not None:
            totals = ranks.sum_gradients(*gradients, group)
        dtau = no_tau(x, pooling)
        if totals is not None and pooling is not None and counts is not None:
            alone = None if group is None or estimates is not None else gradients
            totals, dtau = _through_estimates(
                problem, pooling, levels, counts, affine, totals, alone
            )
        dx = stages.input_gradient(
            problem, dy, x, counted, ids, statistics, affine, totals, config, pooling is not None
        )
        return dx, *(gradients or stages.no_gradients(problem, x)), dtau


def statistics_of(x: Tensor, partition: Partition) -> Statistics:
    """Return mean and variance (C, S) and count (S,) of x (N, C, *extra, *grid), not empty."""
    problem = Problem.of(x, partition)
    x = in_layout(x, problem.channels_last)
    with on_device_of(x):
        return _statistics(problem, x, Mask(), partition, None)


def merge(columns: Tensor, partition: Partition) -> Tensor:
    """Sum K numbers of the cells of each segment: from (K, C, cells) to (K, C, S)."""
    problem = Problem.of(columns, partition)
    columns = in_layout(columns, problem.channels_last)
    with on_device_of(columns):
        return merging.merge_columns(problem, columns, partition)


def _statistics(
    problem: Problem, x: Tensor, counted: Mask, partition: Partition, running: Running | None
) -> Statistics:
    """Run stages 1 and 2 of the forward pass."""
    config = tuning.choose("column_statistics", problem, x.device)
    columns = stages.column_statistics(problem, x, counted, config)
    return merging.merge_statistics(problem, columns, partition, running)


def _through_estimates(
    problem: Problem,
    pooling: Pooling,
    estimates: list[Estimate],
    counts: Tensor,
    affine: Affine,
    sums: tuple[Tensor, Tensor],
    alone: tuple[Tensor, Tensor] | None,
) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Return slope and constant around the rounded mean, and the gradient of tau.

    The latter is that of this rank, whose sums `alone` are given if it is needed and there are
    others.
    """
    mean, var, _ = estimates[0]
    rstd = torch.rsqrt(var + affine.eps)
    scale = rstd if affine.weight is None else rstd * affine.weight
    dweight, dbias = (total.to(mean.dtype) for total in sums)
    given = estimates, counts, scale, rstd
    slope, constant, dtau = pooling.gradients(*given, dweight, dbias)
    if alone is not None:
        dweight, dbias = (total.to(mean.dtype) for total in alone)
        *_, dtau = pooling.gradients(*given, dweight, dbias)
    center = mean.to(problem.compute_dtype).to(mean.dtype)
    constant = constant + slope * (center - mean)
    return (slope.to(problem.compute_dtype), constant.to(problem.compute_dtype)), dtau


def on_device_of(x: Tensor) -> AbstractContextManager[object]:
    """Make the device of x the current device, because Triton launches kernels there."""
    if x.is_cuda and x.device.index != torch.cuda.current_device():
        return torch.cuda.device(x.device)
    return nullcontext()
