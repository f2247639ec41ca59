"""Addresses of the rows, columns and values of x in memory.

A *row* is a sample and a frame (``row = sample * frames + frame``), where the frames are the
positions of the extra dimensions. A *column* is a channel and a cell. The value in a row and a
column is at ``row_start(row) + offset of the column``:

=============  ======================  ==========================
layout         memory order            column number
=============  ======================  ==========================
contiguous     (N, C, frames, cells)   ``channel * cells + cell``
channels_last  (N, frames, cells, C)   ``cell * C + channel``
=============  ======================  ==========================

All offsets are int64, as a tensor may have more than 2^31 elements. `frames` is int32, so products
begin with an int64 factor.
"""

import triton
import triton.language as tl


@triton.jit
def row_start(row, frames, C: tl.constexpr, CELLS: tl.constexpr, CHANNELS_LAST: tl.constexpr):
    """Return the offset of the beginning of a row (int64)."""
    if CHANNELS_LAST:
        return row * (C * CELLS)
    else:
        return row // frames * frames * (C * CELLS) + row % frames * CELLS


@triton.jit
def locate_column(
    column, frames, C: tl.constexpr, CELLS: tl.constexpr, CHANNELS_LAST: tl.constexpr
):
    """Return the channel, the cell and the offset in a row of a column (int64)."""
    if CHANNELS_LAST:
        return column % C, column // C, column
    else:
        channel = column // CELLS
        return channel, column % CELLS, column + channel * (frames - 1) * CELLS


@triton.jit
def column_number(channel, cell, C: tl.constexpr, CELLS: tl.constexpr, CHANNELS_LAST: tl.constexpr):
    """Return the column of a channel and a cell."""
    if CHANNELS_LAST:
        return cell.to(tl.int64) * C + channel
    else:
        return channel.to(tl.int64) * CELLS + cell


@triton.jit
def locate_columns(
    block,
    frames,
    C: tl.constexpr,
    CELLS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Return number, offset in a row, channel, cell and existence of a block of columns."""
    column = block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    channel, cell, offset = locate_column(column, frames, C, CELLS, CHANNELS_LAST)
    return column, offset, channel, cell, column < C * CELLS


@triton.jit
def mask_start(row, frames, mask_sample, mask_frame):
    """Return the offset of a row (int64) in a mask with these strides and stride 1 over cells."""
    return row // frames * mask_sample + row % frames * mask_frame


@triton.jit
def load_counted(mask, start, cell, exists, CELLS: tl.constexpr, CHANNELS_LAST: tl.constexpr):
    """Return which values of a tile exist and are included; `mask` is None if all are."""
    if mask is None:
        return exists
    else:
        offset = start + cell
        if CELLS % 4 == 0 and not CHANNELS_LAST:  # four columns are adjacent cells
            # Four bytes at once, not 16: a thread would then hold the values and coefficients of 16
            # columns, which needs more registers than there are.
            offset = tl.max_contiguous(offset, [1, 4])
        # Triton 3.4 does not broadcast pointers
        there = mask + tl.broadcast_to(offset, exists.shape)
        return exists & tl.load(there, mask=exists, other=False)
