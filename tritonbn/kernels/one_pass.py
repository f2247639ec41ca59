"""All three stages in one kernel, if all values of a segment fit on the chip.

A program holds a tile of entries (vertical) and columns (horizontal). Each column of the tile
contains all values of one segment and one channel, so x is read once and the result is written
once. There are two kinds of tiles:

- single-cell segments: the entries are the rows of x. In contiguous memory the columns are adjacent
  cells. In channels_last memory they are adjacent channels of adjacent cells, because x is
  contiguous along the channels, but parameters and statistics (C, S) along the cells: a block
  reads and writes at least 32 adjacent bytes of both, which is the unit of memory accesses;
- larger segments in channels_last memory: the entries are the rows of x for each cell of the
  segment, and the columns are adjacent channels. Cells in no segment follow the last segment in the
  list of cells; they are processed in pieces of `largest` cells.
"""

import triton
import triton.language as tl

from tritonbn.kernels.addressing import (
    column_number,
    load_counted,
    locate_column,
    locate_columns,
    mask_start,
    row_start,
)
from tritonbn.kernels.arithmetic import (
    activate,
    activation_gradient,
    is_used,
    load_affine,
    load_statistics,
    statistics_gradient,
    update_running,
)


@triton.jit
def locate_tile(
    ids,
    members,
    offsets,
    mask,
    mask_sample,
    mask_frame,
    rows,
    frames,
    largest,
    C: tl.constexpr,
    CELLS: tl.constexpr,
    S: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    SINGLE_CELLS: tl.constexpr,
    BLOCK_ENTRIES: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    """Return the tile of this program.

    Returns
    -------
    place, inside, counted : [BLOCK_ENTRIES, BLOCK_COLUMNS]
        Offset in x, whether the entry exists, and whether it exists and is included.
    entries : scalar
        Number of existing entries of each column.
    first, channel, segment, exists : [BLOCK_COLUMNS]
        Offset of the first entry, channel, segment (-1 for cells in none), and whether the column
        exists.
    """
    entry = tl.arange(0, BLOCK_ENTRIES)
    if SINGLE_CELLS:
        if BLOCK_CHANNELS == 0:
            _, offset, channel, cell, exists = locate_columns(
                tl.program_id(0), frames, C, CELLS, CHANNELS_LAST, BLOCK_COLUMNS
            )
        else:
            number = tl.arange(0, BLOCK_COLUMNS)
            across = C // BLOCK_CHANNELS
            cells = (tl.program_id(0) // across).to(tl.int64) * (BLOCK_COLUMNS // BLOCK_CHANNELS)
            cell = cells + number // BLOCK_CHANNELS
            channel = tl.program_id(0) % across * BLOCK_CHANNELS + number % BLOCK_CHANNELS
            offset, exists = cell * C + channel, cell < CELLS
        segment = tl.load(ids + cell, mask=exists, other=-1)
        entries = rows
        first = offset
        row = entry.to(tl.int64)
        place = row_start(row, frames, C, CELLS, CHANNELS_LAST)[:, None] + offset[None, :]
        inside = (row < rows)[:, None] & exists[None, :]
        counted_start = mask_start(row, frames, mask_sample, mask_frame)[:, None]
        counted = load_counted(mask, counted_start, cell[None, :], inside, CELLS, CHANNELS_LAST)
    else:
        number = tl.program_id(0)
        begin = tl.load(offsets + tl.minimum(number, S)) + tl.maximum(number - S, 0) * largest
        end = tl.load(offsets + tl.minimum(number, S) + 1)
        cells = tl.minimum(end - begin, largest)
        entries = rows * cells
        row = (entry // cells).to(tl.int64)
        cell = tl.load(members + begin + entry % cells, mask=entry < entries, other=0)
        channel = (tl.program_id(1) * BLOCK_COLUMNS + tl.arange(0, BLOCK_COLUMNS)).to(tl.int64)
        exists = channel < C
        segment = tl.where(number < S, number, -1) + tl.zeros([BLOCK_COLUMNS], tl.int64)
        begin_row = row_start(row, frames, C, CELLS, CHANNELS_LAST)[:, None]
        column = column_number(channel[None, :], cell[:, None], C, CELLS, CHANNELS_LAST)
        _, _, offset = locate_column(column, frames, C, CELLS, CHANNELS_LAST)
        place = begin_row + offset
        first = column_number(channel, tl.load(members + begin), C, CELLS, CHANNELS_LAST)
        inside = (entry < entries)[:, None] & exists[None, :]
        counted_start = mask_start(row, frames, mask_sample, mask_frame)[:, None]
        counted = load_counted(mask, counted_start, cell[:, None], inside, CELLS, CHANNELS_LAST)
    return place, inside, counted, entries, first, channel, segment, exists


@triton.jit(do_not_specialize=["rows", "largest"])
def forward(
    x,
    y,
    ids,
    members,
    offsets,
    mask,
    mask_sample,
    mask_frame,
    weight,
    bias,
    mean,
    var,
    count,
    running_mean,
    running_var,
    share,
    momentum: tl.float64,
    rows,
    frames,
    largest,
    eps: tl.constexpr,
    C: tl.constexpr,
    CELLS: tl.constexpr,
    S: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    SINGLE_CELLS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    """Write y, and the mean, variance and count of each segment; update running statistics."""
    place, inside, counted, entries, first, channel, segment, exists = locate_tile(
        ids, members, offsets, mask, mask_sample, mask_frame, rows, frames, largest,
        C, CELLS, S, CHANNELS_LAST, SINGLE_CELLS, BLOCK_ROWS, BLOCK_COLUMNS, BLOCK_CHANNELS,
    )  # fmt: skip
    value = tl.load(x + place, mask=inside, other=0).to(COMPUTE)
    member = exists & (segment >= 0)
    if mask is None:
        m = tl.zeros([BLOCK_COLUMNS], COMPUTE) + entries
        present = member
        center = tl.load(x + first, mask=member, other=0).to(COMPUTE)
    else:
        m = tl.sum(tl.where(counted, 1.0, 0.0).to(COMPUTE), 0)
        present = member & (m > 0)
        center = tl.sum(tl.where(counted, value, 0.0), 0) / tl.maximum(m, 1.0)
        center = tl.where(present, center, 0.0)
    part = 1.0 / tl.maximum(m, 1.0)
    deviation = value - center[None, :]
    low = tl.sum(tl.where(counted, deviation, 0.0), 0) * part
    low = tl.where(present, low, 0.0)
    pivot = center  # below, center becomes the rounded mean, and low its rounding error
    center += low
    low -= center - pivot
    deviation = (value - center[None, :]) - low[None, :]
    distance = tl.where(counted, deviation, 0.0)
    variance = tl.sum(distance * distance, 0) * part

    parameter = channel * S + segment
    _, scale, shift = load_affine(variance, weight, bias, parameter, present, eps, COMPUTE)
    result = activate(deviation * scale[None, :] + shift[None, :], ACTIVATION)
    tl.store(y + place, result.to(y.dtype.element_ty), mask=inside)

    exact_variance = variance.to(tl.float64)
    exact_mean = center.to(tl.float64) + low.to(tl.float64)
    tl.store(mean + parameter, exact_mean, mask=member)
    tl.store(var + parameter, exact_variance, mask=member)
    tl.store(count + segment, m.to(tl.float64), mask=member & (channel == 0))
    if running_mean is not None:
        m = m.to(tl.float64)
        unbiased = exact_variance * (m / tl.maximum(m - 1, 1.0))
        update_running(running_mean, exact_mean, momentum, share, parameter, present)
        update_running(running_var, unbiased, momentum, share, parameter, present)


@triton.jit(do_not_specialize=["rows", "largest"])
def backward(
    dy,
    x,
    dx,
    ids,
    members,
    offsets,
    mask,
    mask_sample,
    mask_frame,
    weight,
    bias,
    mean,
    var,
    count,
    dweight,
    dbias,
    rows,
    frames,
    largest,
    eps: tl.constexpr,
    C: tl.constexpr,
    CELLS: tl.constexpr,
    S: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    SINGLE_CELLS: tl.constexpr,
    ACTIVATION: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_COLUMNS: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    """Write dx and the gradients of weight and bias."""
    place, inside, counted, entries, _, channel, segment, exists = locate_tile(
        ids, members, offsets, mask, mask_sample, mask_frame, rows, frames, largest,
        C, CELLS, S, CHANNELS_LAST, SINGLE_CELLS, BLOCK_ROWS, BLOCK_COLUMNS, BLOCK_CHANNELS,
    )  # fmt: skip
    parameter = channel * S + segment
    gradient = tl.load(dy + place, mask=inside, other=0).to(COMPUTE)
    value = tl.load(x + place, mask=inside, other=0).to(COMPUTE)
    center, low, variance, present = load_statistics(
        mean, var, None if mask is None else count, parameter, segment, exists, COMPUTE
    )
    rstd, scale, shift = load_affine(variance, weight, bias, parameter, present, eps, COMPUTE)
    deviation = value - center[None, :]
    if ACTIVATION is not None:
        z = (deviation - low[None, :]) * scale[None, :] + shift[None, :]
        gradient = activation_gradient(gradient, z, ACTIVATION)
    used_gradient = gradient
    if mask is not None:
        used = is_used(value, counted)
        used_gradient = tl.where(used, gradient, 0.0)
        deviation = tl.where(used, deviation, 0.0)
    sum_dy = tl.sum(used_gradient, 0)
    sum_dy_x = (tl.sum(used_gradient * deviation, 0) - low * sum_dy) * rstd
    sum_dy = tl.where(present, sum_dy, 0.0)
    sum_dy_x = tl.where(present, sum_dy_x, 0.0)

    if mask is None:
        m = tl.zeros([BLOCK_COLUMNS], COMPUTE) + entries
    else:
        m = tl.load(count + segment, mask=present, other=1).to(COMPUTE)
    slope, constant = statistics_gradient(m, sum_dy_x, sum_dy, low, rstd, scale)
    through = tl.where(
        counted & present[None, :], deviation * slope[None, :] + constant[None, :], 0.0
    )
    result = gradient * scale[None, :] + through
    tl.store(dx + place, result.to(dx.dtype.element_ty), mask=inside)
    member = exists & (segment >= 0)
    tl.store(dweight + parameter, sum_dy_x, mask=member)
    tl.store(dbias + parameter, sum_dy, mask=member)
