"""Stage 1: reduce the rows of x to a few numbers per column.

The rows are divided into splits, so that there are enough programs even if there are few columns. A
program reduces one split of a block of columns. It accumulates into ``BLOCK_ROWS`` slots per column
and combines these at the end. The statistics do not depend on the segments.
"""

import triton
import triton.language as tl

from tritonbn.kernels.addressing import load_counted, locate_columns, mask_start, row_start
from tritonbn.kernels.arithmetic import (
    activation_gradient,
    is_used,
    load_affine,
    load_statistics,
)


@triton.jit(do_not_specialize=["rows", "rows_per_split"])
def column_statistics(
    x,
    mask,
    mask_sample,
    mask_frame,
    column_count,
    column_mean,
    column_m2,
    rows,
    rows_per_split,
    frames,
    C: tl.constexpr,
    CELLS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Write the mean (float64) and the sum of squared deviations of each split and column.

    Each slot applies Welford's recurrence (1962) to the deviations from a pivot, which avoids
    cancellation if the mean is large. Without a mask the pivot is the column's value in the first
    row of the split. A mask may exclude that value, so with a mask the pivot is the first included
    value of each slot, and the number of included values is written for each split and cell.
    """
    column, offset, channel, cell, exists = locate_columns(
        tl.program_id(0), frames, C, CELLS, CHANNELS_LAST, BLOCK_COLUMNS
    )
    split = tl.program_id(1)
    first = split * rows_per_split
    last = tl.minimum(first + rows_per_split, rows)
    slot = tl.arange(0, BLOCK_ROWS)

    mean = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], COMPUTE)
    m2 = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], COMPUTE)
    if mask is None:
        start_of_first = row_start(first.to(tl.int64), frames, C, CELLS, CHANNELS_LAST)
        pivot = tl.load(x + start_of_first + offset, mask=exists, other=0).to(COMPUTE)[None, :]
        whole_tiles = (last - first) // BLOCK_ROWS
        count = tl.zeros([1, 1], COMPUTE)
        for tile in range(whole_tiles):
            row = (first + tile * BLOCK_ROWS + slot).to(tl.int64)
            place = row_start(row, frames, C, CELLS, CHANNELS_LAST)[:, None] + offset[None, :]
            value = tl.load(x + place, mask=exists[None, :], other=0).to(COMPUTE) - pivot
            count += 1
            delta = value - mean
            mean += delta * (1 / count)
            m2 += delta * (value - mean)
        row = (first + whole_tiles * BLOCK_ROWS + slot).to(tl.int64)
        inside = (row < last)[:, None]
        if whole_tiles * BLOCK_ROWS < last - first:
            place = row_start(row, frames, C, CELLS, CHANNELS_LAST)[:, None] + offset[None, :]
            value = tl.load(x + place, mask=inside & exists[None, :], other=0).to(COMPUTE) - pivot
            delta = tl.where(inside, value - mean, 0.0)
            mean += delta * (1 / (count + 1))
            m2 += delta * (value - mean)
        count += tl.where(inside, 1.0, 0.0).to(COMPUTE)
        center = tl.reshape(pivot, [BLOCK_COLUMNS])
    else:
        count = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], COMPUTE)
        pivot = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], COMPUTE)
        for start in range(first, last, BLOCK_ROWS):
            row = start + slot
            inside = (row < last)[:, None] & exists[None, :]
            row = row.to(tl.int64)
            place = row_start(row, frames, C, CELLS, CHANNELS_LAST)[:, None] + offset[None, :]
            value = tl.load(x + place, mask=inside, other=0).to(COMPUTE)
            counted_start = mask_start(row, frames, mask_sample, mask_frame)[:, None]
            inside = load_counted(mask, counted_start, cell[None, :], inside, CELLS, CHANNELS_LAST)
            pivot = tl.where(inside & (count == 0), value, pivot)
            count += tl.where(inside, 1.0, 0.0)
            delta = tl.where(inside, value - pivot - mean, 0.0)
            mean += delta * (1 / tl.maximum(count, 1.0))
            m2 += delta * tl.where(inside, value - pivot - mean, 0.0)
        used = tl.where(count > 0, 1.0, 0.0)
        center = tl.sum(pivot * used, 0) / tl.maximum(tl.sum(used, 0), 1.0)
        mean = tl.where(count > 0, pivot - center[None, :] + mean, 0.0)

    total = tl.sum(count, 0)
    some = tl.maximum(total, 1.0)
    common = tl.sum(count * mean, 0) / some
    distance = mean - common[None, :]
    m2 = tl.sum(m2 + count * distance * distance, 0)

    result = split.to(tl.int64) * (C * CELLS) + column
    tl.store(column_mean + result, center.to(tl.float64) + common.to(tl.float64), mask=exists)
    tl.store(column_m2 + result, m2, mask=exists)
    if mask is not None:
        each_once = exists & (channel == 0)
        tl.store(column_count + split.to(tl.int64) * CELLS + cell, total, mask=each_once)


@triton.jit(do_not_specialize=["rows", "rows_per_split"])
def column_sums(
    dy,
    x,
    mask,
    mask_sample,
    mask_frame,
    ids,
    mean,
    var,
    count,
    weight,
    bias,
    column_dy,
    column_dy_x,
    rows,
    rows_per_split,
    frames,
    eps: tl.constexpr,
    C: tl.constexpr,
    CELLS: tl.constexpr,
    S: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    ACTIVATION: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Write the sums of dz and of ``dz * (x - center)`` of each split and column.

    dz is the gradient with respect to the input of the activation, and `center` is the mean rounded
    to the compute dtype. Values that the mask excludes and that are not finite are skipped.
    """
    column, offset, channel, cell, exists = locate_columns(
        tl.program_id(0), frames, C, CELLS, CHANNELS_LAST, BLOCK_COLUMNS
    )
    segment = tl.load(ids + cell, mask=exists, other=-1)
    parameter = channel * S + segment
    center, low, variance, present = load_statistics(
        mean, var, count, parameter, segment, exists, COMPUTE
    )
    _, scale, shift = load_affine(variance, weight, bias, parameter, present, eps, COMPUTE)
    split = tl.program_id(1)
    first = split * rows_per_split
    last = tl.minimum(first + rows_per_split, rows)

    sum_dy = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], COMPUTE)
    sum_dy_x = tl.zeros([BLOCK_ROWS, BLOCK_COLUMNS], COMPUTE)
    for start in range(first, last, BLOCK_ROWS):
        row = start + tl.arange(0, BLOCK_ROWS)
        inside = (row < last)[:, None] & exists[None, :]
        row = row.to(tl.int64)
        begin = row_start(row, frames, C, CELLS, CHANNELS_LAST)
        place = begin[:, None] + offset[None, :]
        gradient = tl.load(dy + place, mask=inside, other=0).to(COMPUTE)
        value = tl.load(x + place, mask=inside, other=0).to(COMPUTE)
        deviation = value - center[None, :]
        if ACTIVATION is not None:
            z = (deviation - low[None, :]) * scale[None, :] + shift[None, :]
            gradient = activation_gradient(gradient, z, ACTIVATION)
        if mask is not None:
            counted_start = mask_start(row, frames, mask_sample, mask_frame)[:, None]
            counted = load_counted(mask, counted_start, cell[None, :], inside, CELLS, CHANNELS_LAST)
            used = is_used(value, counted)
            gradient = tl.where(used, gradient, 0.0)
            deviation = tl.where(used, deviation, 0.0)
        sum_dy += gradient
        sum_dy_x += gradient * deviation

    result = split.to(tl.int64) * (C * CELLS) + column
    tl.store(column_dy + result, tl.sum(sum_dy, 0), mask=exists)
    tl.store(column_dy_x + result, tl.sum(sum_dy_x, 0), mask=exists)
