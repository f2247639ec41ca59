"""Where the kernels find rows, columns and entries of x in memory.

A *row* is a sample and a frame (``row = sample * frames + frame``), a *column* a channel and a
cell. The element of a row and a column lies at ``row_start(row) + offset of the column``:

=============  ======================  ==========================
layout         memory order            column number
=============  ======================  ==========================
contiguous     (N, C, frames, cells)   ``channel * cells + cell``
channels_last  (N, frames, cells, C)   ``cell * C + channel``
=============  ======================  ==========================

All offsets are int64, as a tensor may have more than 2^31 elements.
"""

import triton
import triton.language as tl


@triton.jit
def row_start(row, frames, C: tl.constexpr, CELLS: tl.constexpr, CHANNELS_LAST: tl.constexpr):
    """Return the offset at which a row (int64) begins."""
    if CHANNELS_LAST:
        return row * (C * CELLS)
    else:
        return row // frames * (frames * (C * CELLS)) + row % frames * CELLS


@triton.jit
def locate_column(
    column, frames, C: tl.constexpr, CELLS: tl.constexpr, CHANNELS_LAST: tl.constexpr
):
    """Return the channel and the cell of a column (int64), and its offset in a row."""
    if CHANNELS_LAST:
        return column % C, column // C, column
    else:
        channel = column // CELLS
        return channel, column % CELLS, column + channel * ((frames - 1) * CELLS)


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
    """Return number, offset in a row, channel and cell of neighbouring columns, and which exist."""
    column = block.to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    channel, cell, offset = locate_column(column, frames, C, CELLS, CHANNELS_LAST)
    return column, offset, channel, cell, column < C * CELLS


@triton.jit
def mask_start(row, frames, mask_sample, mask_frame):
    """Return the offset of a row (int64) in a mask with these strides, and 1 over the cells."""
    return row // frames * mask_sample + row % frames * mask_frame


@triton.jit
def load_counted(mask, start, cell, exists, CELLS: tl.constexpr, CHANNELS_LAST: tl.constexpr):
    """Return which entries of a tile exist and count; `mask` is None where all do."""
    if mask is None:
        return exists
    else:
        offset = start + cell
        if CELLS % 4 == 0 and not CHANNELS_LAST:  # four columns are neighbouring cells
            # A thread could read 16 neighbouring bytes of mask, but then it had to hold the values
            # and coefficients of as many columns, for which its registers do not suffice.
            offset = tl.max_contiguous(offset, [1, 4])
        there = mask + tl.broadcast_to(offset, exists.shape)  # Triton 3.4 widens no pointers
        return exists & tl.load(there, mask=exists, other=False)
