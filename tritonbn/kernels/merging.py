"""Launch the kernels of stage 2, once or twice depending on the largest segment."""

from collections.abc import Iterator
from math import ceil
from typing import Any, NamedTuple

import torch
from torch import Tensor

from tritonbn.kernels import merge
from tritonbn.kernels.configs import merge_config
from tritonbn.kernels.problem import Problem
from tritonbn.kernels.stages import Columns
from tritonbn.partition import PIECE_CELLS, Partition
from tritonbn.ranks import Gathered
from tritonbn.tensors import NO_RUNNING, Running, Statistics


class _Level(NamedTuple):
    """One launch of stage 2: it merges pieces of segments, or whole segments if `final`."""

    final: bool
    programs: int
    members: Tensor | None
    offsets: Tensor
    splits: int
    cells: int
    channels_last: bool
    entries: int

    def launch(self, problem: Problem) -> tuple[tuple[int, int], dict[str, Any]]:
        """Return the launch grid and the keyword arguments of the kernel."""
        config = merge_config(self.entries)
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
    """Run stage 2 of the forward pass: mean, variance and count of each segment."""
    mean, m2, count, rows_per_split = source
    for level in _levels(problem, partition, len(mean)):
        merged = [mean.new_empty(problem.channels, level.programs) for _ in range(2)]
        merged_count = mean.new_empty(level.programs)
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


def merge_ranks(gathered: Gathered, running: Running | None) -> Statistics:
    """Merge the statistics of all ranks, as if they were splits of segments of a single cell."""
    mean, m2, counts = gathered
    ranks, channels, segments = mean.shape
    config = merge_config(ranks)
    merged_mean = mean.new_empty(channels, segments)
    merged = Statistics(merged_mean, torch.empty_like(merged_mean), merged_mean.new_empty(segments))
    merge.merge_statistics[(segments, ceil(channels / config.columns))](
        counts,
        mean,
        m2,
        None,
        torch.arange(segments + 1, dtype=torch.int32, device=mean.device),
        *merged,
        *(running or NO_RUNNING),
        splits=ranks,
        rows=0,
        rows_per_split=0,
        C=channels,
        CELLS=segments,
        S=segments,
        CHANNELS_LAST=False,
        FINAL=True,
        BLOCK_ENTRIES=config.rows,
        BLOCK_CHANNELS=config.columns,
        **config.options,
    )
    return merged


def merge_sums(
    problem: Problem,
    source: Columns,
    partition: Partition,
    statistics: Statistics,
    eps: float,
) -> tuple[Tensor, Tensor]:
    """Run stage 2 of the backward pass: the gradients of weight and bias."""
    sum_dy, sum_dy_x = source.first, source.second
    for level in _levels(problem, partition, len(sum_dy)):
        dtype = problem.compute_dtype if level.final else torch.float64
        shape = (problem.channels, level.programs)
        merged = [sum_dy.new_empty(shape, dtype=dtype) for _ in range(2)]
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


def merge_columns(problem: Problem, columns: Tensor, partition: Partition) -> Tensor:
    """Sum the cells of each segment: from (K, C, cells) to (K, C, S), in a fixed order.

    The kernel sums two kinds of numbers at once, and then uses statistics; with a mean of 0 and a
    variance of 1 it returns the sums themselves.
    """
    shape = problem.channels, problem.segments
    mean = columns.new_zeros(shape, dtype=torch.float64)
    statistics = Statistics(mean, torch.ones_like(mean), None)
    sums = []
    for first in range(0, len(columns), 2):
        pair = columns[first : first + 2]
        source = Columns(pair[:1], pair[-1:], None, 1)
        second_sum, first_sum = merge_sums(problem, source, partition, statistics, 0.0)
        sums += [first_sum, second_sum][: len(pair)]
    return torch.stack(sums)
