"""Stage 3: apply the coefficients of each column's segment to all rows.

A program processes a block of columns and a run of consecutive rows. Programs start with the last
block and run, because what stage 1 read last is still in the L2 cache.
"""

import triton
import triton.language as tl

from tritonbn.kernels.addressing import load_counted, locate_columns, mask_start, row_start
from tritonbn.kernels.arithmetic import (
    activate,
    activation_gradient,
    load_affine,
    load_statistics,
    statistics_gradient,
)


@triton.jit(do_not_specialize=["rows", "rows_per_program"])
def normalize(
    x,
    y,
    ids,
    mean,
    var,
    count,
    weight,
    bias,
    rows,
    rows_per_program,
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
    """Write ``y = activation((x - mean) * rstd * weight + bias)``."""
    block = tl.num_programs(0) - 1 - tl.program_id(0)
    _, offset, channel, cell, exists = locate_columns(
        block, frames, C, CELLS, CHANNELS_LAST, BLOCK_COLUMNS
    )
    segment = tl.load(ids + cell, mask=exists, other=-1)
    parameter = channel * S + segment
    center, low, variance, present = load_statistics(
        mean, var, count, parameter, segment, exists, COMPUTE
    )
    _, scale, shift = load_affine(variance, weight, bias, parameter, present, eps, COMPUTE)
    first = (tl.num_programs(1) - 1 - tl.program_id(1)) * rows_per_program
    last = tl.minimum(first + rows_per_program, rows)
    for start in range(first, last, BLOCK_ROWS):
        row = start + tl.arange(0, BLOCK_ROWS)
        inside = (row < last)[:, None] & exists[None, :]
        begin = row_start(row.to(tl.int64), frames, C, CELLS, CHANNELS_LAST)
        place = begin[:, None] + offset[None, :]
        value = tl.load(x + place, mask=inside, other=0).to(COMPUTE)
        z = (value - center[None, :] - low[None, :]) * scale[None, :] + shift[None, :]
        result = activate(z, ACTIVATION)
        tl.store(y + place, result.to(y.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=["rows", "rows_per_program"])
def input_gradient(
    dy,
    x,
    dx,
    mask,
    mask_sample,
    mask_frame,
    ids,
    mean,
    var,
    count,
    weight,
    bias,
    dweight,
    dbias,
    rows,
    rows_per_program,
    frames,
    eps: tl.constexpr,
    C: tl.constexpr,
    CELLS: tl.constexpr,
    S: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    POOLED: tl.constexpr,
    ACTIVATION: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
):
    """Write ``dx = scale * dz + slope * (x - center) + constant``.

    The last two terms are the gradient through the statistics, and apply to included values only.
    Without `count` the statistics were given, and these terms do not exist. If the statistics are
    pooled over levels, `dweight` and `dbias` are slope and constant.
    """
    block = tl.num_programs(0) - 1 - tl.program_id(0)
    _, offset, channel, cell, exists = locate_columns(
        block, frames, C, CELLS, CHANNELS_LAST, BLOCK_COLUMNS
    )
    segment = tl.load(ids + cell, mask=exists, other=-1)
    parameter = channel * S + segment
    center, low, variance, present = load_statistics(
        mean, var, count, parameter, segment, exists, COMPUTE
    )
    rstd, scale, shift = load_affine(variance, weight, bias, parameter, present, eps, COMPUTE)
    if count is not None:
        slope = tl.load(dweight + parameter, mask=present, other=0).to(COMPUTE)
        constant = tl.load(dbias + parameter, mask=present, other=0).to(COMPUTE)
        if not POOLED:
            m = tl.load(count + segment, mask=present, other=1).to(COMPUTE)
            slope, constant = statistics_gradient(m, slope, constant, low, rstd, scale)
    first = (tl.num_programs(1) - 1 - tl.program_id(1)) * rows_per_program
    last = tl.minimum(first + rows_per_program, rows)
    for start in range(first, last, BLOCK_ROWS):
        row = start + tl.arange(0, BLOCK_ROWS)
        inside = (row < last)[:, None] & exists[None, :]
        row = row.to(tl.int64)
        begin = row_start(row, frames, C, CELLS, CHANNELS_LAST)
        place = begin[:, None] + offset[None, :]
        gradient = tl.load(dy + place, mask=inside, other=0).to(COMPUTE)
        if count is not None or ACTIVATION is not None:
            deviation = tl.load(x + place, mask=inside, other=0).to(COMPUTE) - center[None, :]
        if ACTIVATION is not None:
            z = (deviation - low[None, :]) * scale[None, :] + shift[None, :]
            gradient = activation_gradient(gradient, z, ACTIVATION)
        result = gradient * scale[None, :]
        if count is not None:
            counted = present[None, :] & inside
            if mask is not None:
                counted_start = mask_start(row, frames, mask_sample, mask_frame)[:, None]
                counted = load_counted(
                    mask, counted_start, cell[None, :], counted, CELLS, CHANNELS_LAST
                )
            through = deviation * slope[None, :] + constant[None, :]
            result += tl.where(counted, through, 0.0)
        tl.store(dx + place, result.to(dx.dtype.element_ty), mask=inside)
