"""Stage 2: merge the columns of each segment.

A program merges the columns of one segment for a block of channels, by going through the list of
the segment's cells in a fixed order, in float64. An entry is a split and a cell. If a segment has
very many cells, one launch merges pieces of it (``FINAL`` is False) and a second launch of the same
kernel merges the pieces as if they were cells (``FINAL`` is True).
"""

import triton
import triton.language as tl

from tritonbn.kernels.addressing import column_number
from tritonbn.kernels.arithmetic import load_statistics, update_running


@triton.jit
def locate_entries(start, begin, cells, splits, members, BLOCK_ENTRIES: tl.constexpr):
    """Return split, cell and existence of the next block of entries of a segment."""
    entry = start + tl.arange(0, BLOCK_ENTRIES)
    exists = entry < splits * cells
    cell = begin + entry % cells
    if members is not None:
        cell = tl.load(members + cell, mask=exists, other=0)
    return (entry // cells).to(tl.int64), cell, exists


@triton.jit(do_not_specialize=["splits", "rows", "rows_per_split"])
def merge_statistics(
    column_count,
    column_mean,
    column_m2,
    members,
    offsets,
    mean,
    var,
    count,
    running_mean,
    running_var,
    share,
    momentum: tl.float64,
    splits,
    rows,
    rows_per_split,
    C: tl.constexpr,
    CELLS: tl.constexpr,
    S: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    FINAL: tl.constexpr,
    BLOCK_ENTRIES: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    """Merge counts, means and sums of squared deviations (Chan, Golub, LeVeque, 1979).

    If `FINAL`, write the mean, the variance and the count of each segment, and update its running
    statistics; otherwise write the mean, the sum of squared deviations and the count of each piece.
    """
    segment = tl.program_id(0)
    begin = tl.load(offsets + segment)
    cells = tl.load(offsets + segment + 1) - begin
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)

    total = tl.zeros([1], tl.float64)
    merged_mean = tl.zeros([BLOCK_CHANNELS], tl.float64)
    merged = tl.zeros([BLOCK_CHANNELS], tl.float64)
    for start in range(0, splits * cells, BLOCK_ENTRIES):
        split, cell, exists = locate_entries(start, begin, cells, splits, members, BLOCK_ENTRIES)
        if column_count is None:
            entry_count = tl.minimum(rows - split * rows_per_split, rows_per_split)
            entry_count = tl.where(exists, tl.maximum(entry_count, 0), 0)
        else:
            entry_count = tl.load(column_count + split * CELLS + cell, mask=exists, other=0)
        column = column_number(channel[None, :], cell[:, None], C, CELLS, CHANNELS_LAST)
        place = split[:, None] * (C * CELLS) + column
        wanted = (entry_count > 0)[:, None] & (channel < C)[None, :]
        entry_mean = tl.load(column_mean + place, mask=wanted, other=0).to(tl.float64)
        entry_m2 = tl.load(column_m2 + place, mask=wanted, other=0).to(tl.float64)
        entry_count = entry_count.to(tl.float64)[:, None]

        added = tl.sum(entry_count, 0)  # [1]
        added_mean = tl.sum(entry_count * entry_mean, 0) / tl.maximum(added, 1.0)
        distance = entry_mean - added_mean[None, :]
        added_m2 = tl.sum(entry_m2 + entry_count * distance * distance, 0)
        portion = added / tl.maximum(total + added, 1.0)
        delta = added_mean - merged_mean
        merged_mean += delta * portion
        merged += added_m2 + delta * delta * (portion * total)
        total += added

    some = tl.maximum(total, 1.0)
    if FINAL:
        place = channel.to(tl.int64) * S + segment
        merged = merged / some
    else:
        place = segment.to(tl.int64) * C + channel
    exists = channel < C
    tl.store(mean + place, merged_mean, mask=exists)
    tl.store(var + place, merged, mask=exists)
    if tl.program_id(1) == 0:
        tl.store(count + segment + tl.arange(0, 1), total)
    if running_mean is not None:
        present = exists & (total > 0)
        unbiased = merged * (total / tl.maximum(total - 1, 1.0))
        update_running(running_mean, merged_mean, momentum, share, place, present)
        update_running(running_var, unbiased, momentum, share, place, present)


@triton.jit(do_not_specialize=["splits"])
def merge_sums(
    column_dy,
    column_dy_x,
    members,
    offsets,
    mean,
    var,
    count,
    dweight,
    dbias,
    splits,
    eps: tl.constexpr,
    C: tl.constexpr,
    CELLS: tl.constexpr,
    S: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    FINAL: tl.constexpr,
    COMPUTE: tl.constexpr,
    BLOCK_ENTRIES: tl.constexpr,
    BLOCK_CHANNELS: tl.constexpr,
):
    """Sum the columns of each segment.

    If `FINAL`, write the gradients of weight and bias; otherwise write the two sums of each piece.
    """
    segment = tl.program_id(0)
    begin = tl.load(offsets + segment)
    cells = tl.load(offsets + segment + 1) - begin
    channel = tl.program_id(1) * BLOCK_CHANNELS + tl.arange(0, BLOCK_CHANNELS)

    slot_dy = tl.zeros([BLOCK_ENTRIES, BLOCK_CHANNELS], tl.float64)
    slot_dy_x = tl.zeros([BLOCK_ENTRIES, BLOCK_CHANNELS], tl.float64)
    for start in range(0, splits * cells, BLOCK_ENTRIES):
        split, cell, exists = locate_entries(start, begin, cells, splits, members, BLOCK_ENTRIES)
        column = column_number(channel[None, :], cell[:, None], C, CELLS, CHANNELS_LAST)
        place = split[:, None] * (C * CELLS) + column
        wanted = exists[:, None] & (channel < C)[None, :]
        slot_dy += tl.load(column_dy + place, mask=wanted, other=0).to(tl.float64)
        slot_dy_x += tl.load(column_dy_x + place, mask=wanted, other=0).to(tl.float64)

    sum_dy, sum_dy_x = tl.sum(slot_dy, 0), tl.sum(slot_dy_x, 0)
    exists = channel < C
    if FINAL:
        place = channel.to(tl.int64) * S + segment
        segments = segment + tl.zeros([BLOCK_CHANNELS], tl.int64)
        _, low, variance, present = load_statistics(
            mean, var, count, place, segments, exists, COMPUTE
        )
        rstd = tl.rsqrt(variance + eps)
        sum_dy = tl.where(present, sum_dy, 0.0)
        sum_dy_x = tl.where(present, (sum_dy_x - low.to(tl.float64) * sum_dy) * rstd, 0.0)
    else:
        place = segment.to(tl.int64) * C + channel
    tl.store(dweight + place, sum_dy_x, mask=exists)
    tl.store(dbias + place, sum_dy, mask=exists)
