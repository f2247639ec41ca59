"""The fast backend without Triton: local batch normalization with PyTorch's tensor operations.

Forward and backward have three stages each. Only the second one, which is small, depends on the
segments. (`tritonbn.tensors` explains rows and columns.)

1. Reduce the rows to statistics per column, in tiles of rows: a tile is read from memory once and
   stays in the CPU cache for the remaining operations on it.
2. Merge the columns of each segment and derive three coefficients per column, in float64
   (float32 on MPS, which does not support float64).
3. Apply the coefficients to the rows, in the same tiles.

To avoid cancellation if the mean is large compared with the standard deviation, a nearby value (the
pivot) is subtracted before summing, and the mean is subtracted before multiplying by the scale.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from tritonbn.tensors import compute_dtype, empty_like, is_channels_last, to_rows, wide_dtype

_TILE_BYTES = 4 << 20
_TILE_ROWS = 256  # longer float32 sums accumulate too much rounding error


def forward(
    x: Tensor,
    ids: Tensor,
    num_segments: int,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Tensor | None,
    running: tuple[Tensor, Tensor] | None,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalize x with the statistics of the batch, or with `running` mean and variance.

    Parameters
    ----------
    x : Tensor, shape (N, C, *extra, *grid)
    ids : Tensor of int64, shape (cells,)
    num_segments : int
    weight, bias : Tensor, shape (C, S), or None
    mask : Tensor of bool, broadcastable to (N, 1, *extra, *grid), or None
    running : (Tensor, Tensor), each of shape (C, S), or None
    eps : float

    Returns
    -------
    y : Tensor, shape, dtype and memory format of x
    mean, var : Tensor, shape (C, S)
        The statistics used; 0 for a segment without values.
    count : Tensor, shape (S,)
        Number of values per channel in each segment; 1 if `running` was given.
    """
    channels_last = is_channels_last(x)
    y = empty_like(x)
    rows, y_rows = to_rows(x, channels_last), to_rows(y, channels_last)
    ids = ids.repeat(x.shape[2:].numel() // len(ids))
    if running is None:
        mean, var, count = _segment_statistics(
            rows, _mask_rows(mask, x, channels_last), ids, num_segments, channels_last, y_rows
        )
    else:
        mean, var = (statistic.to(wide_dtype(x), copy=True) for statistic in running)
        count = mean.new_ones(num_segments)

    scale = _rstd(var, eps, weight)
    center = mean.to(compute_dtype(x))
    shift = (center - mean) * scale
    if bias is not None:
        shift = shift + bias
    present = count > 0
    center_q, scale_q, shift_q = (
        _spread(torch.where(present, coefficient, neutral), neutral, ids, rows, channels_last)
        # with these neutral values x passes unchanged: x - 0.0 and x + -0.0 keep both 0.0 and -0.0
        for coefficient, neutral in ((center, 0.0), (scale, 1.0), (shift, -0.0))
    )
    for tile, result in _result_tiles(rows, y_rows):
        torch.sub(rows[tile], center_q, out=result)
        torch.addcmul(shift_q, result, scale_q, out=result)
    return y, mean, var, count


def backward(
    dy: Tensor,
    x: Tensor,
    ids: Tensor,
    weight: Tensor | None,
    mask: Tensor | None,
    mean: Tensor,
    var: Tensor,
    count: Tensor,
    eps: float,
    batch_statistics: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight and bias, given the gradient of y.

    With ``xhat = (x - mean) / sqrt(var + eps)`` and sums over all values of a segment,
    ``dbias = sum(dy)`` and ``dweight = sum(dy * xhat)``. If the statistics are those of the batch,

        dx = weight / sqrt(var + eps) * (dy - (dbias + xhat * dweight) / m)

    where the second term applies only to the m values that the mask includes. Excluded values that
    are not finite contribute nothing to the sums.

    Parameters
    ----------
    dy, x : Tensor, shape (N, C, *extra, *grid)
    ids : Tensor of int64, shape (cells,)
    weight : Tensor, shape (C, S), or None
    mask : Tensor of bool, broadcastable to (N, 1, *extra, *grid), or None
    mean, var, count : Tensor
        As returned by `forward`.
    eps : float
    batch_statistics : bool
        Whether mean and variance depend on x.

    Returns
    -------
    dx : Tensor, shape, dtype and memory format of x
    dweight, dbias : Tensor, shape (C, S)
    """
    channels_last = is_channels_last(x)
    dx = empty_like(x)
    rows, dy_rows, dx_rows = (to_rows(t, channels_last) for t in (x, dy, dx))
    mask_rows = _mask_rows(mask, x, channels_last)
    ids = ids.repeat(x.shape[2:].numel() // len(ids))
    present = count > 0
    center = mean.to(compute_dtype(x))
    center_q = _spread(center, 0.0, ids, rows, channels_last)

    sum_dy = rows.new_zeros(rows.shape[1:], dtype=wide_dtype(x))
    sum_dy_x = torch.zeros_like(sum_dy)
    for tile, scratch in _tiles(rows, dx_rows):
        torch.sub(rows[tile], center_q, out=scratch)
        gradient = dy_rows[tile]
        if mask_rows is not None:
            lost = ~(mask_rows[tile] | rows[tile].isfinite())
            scratch.masked_fill_(lost, 0.0)
            gradient = gradient.masked_fill(lost, 0.0)
        sum_dy_x += scratch.mul_(gradient).sum(0)
        sum_dy += gradient.sum(0, dtype=scratch.dtype)
    dbias = _merge(sum_dy, ids, mean.shape[1], channels_last)
    dweight = _merge(sum_dy_x, ids, mean.shape[1], channels_last)
    rstd = _rstd(var, eps)
    dweight = (dweight + (center - mean) * dbias) * rstd
    dbias, dweight = torch.where(present, dbias, 0.0), torch.where(present, dweight, 0.0)

    scale = _rstd(var, eps, weight)
    scale_q = _spread(torch.where(present, scale, 1.0), 1.0, ids, rows, channels_last)
    if not batch_statistics:
        torch.mul(dy_rows, scale_q, out=dx_rows)
        return dx, dweight, dbias

    per_value = scale / count.clamp(min=1)
    slope = -per_value * rstd * dweight
    offset = slope * (center - mean) - per_value * dbias
    slope_q, offset_q = (_spread(term, 0.0, ids, rows, channels_last) for term in (slope, offset))
    passing = _spread(~present[None], 1.0, ids, rows, channels_last).bool()  # columns
    any_passing = x.device.type != "cpu" or bool(
        passing.any()
    )  # a GPU is not asked: the answer would take a synchronization
    for tile, result in _result_tiles(rows, dx_rows):
        torch.sub(rows[tile], center_q, out=result)
        torch.addcmul(offset_q, result, slope_q, out=result)
        if any_passing:
            result.masked_fill_(passing, 0.0)
        if mask_rows is not None:
            result.masked_fill_(~mask_rows[tile], 0.0)
        result.addcmul_(dy_rows[tile], scale_q)
    return dx, dweight, dbias


def _segment_statistics(
    rows: Tensor,
    mask_rows: Tensor | None,
    ids: Tensor,
    num_segments: int,
    channels_last: bool,
    memory: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance (C, S) and count (S,); tiles and columns are merged pairwise.

    M2 is the sum of squared deviations from the mean. The M2 of a union is the sum of the parts' M2
    plus the sum of each part's count times the squared distance of its mean from the common mean
    (Chan, Golub, LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979).
    """
    wide = wide_dtype(rows)
    if len(rows) == 0:
        zeros = rows.new_zeros(rows.shape[2 if channels_last else 1], num_segments, dtype=wide)
        return zeros, zeros.clone(), zeros[0].clone()
    pivot = _first_counted(rows, mask_rows).to(compute_dtype(rows))
    positions = (len(pivot), 1) if channels_last else (1, pivot.shape[1])
    count, mean, m2 = pivot.new_zeros(positions), torch.zeros_like(pivot), torch.zeros_like(pivot)
    for tile, values in _tiles(rows, memory):
        torch.sub(rows[tile], pivot, out=values)
        if mask_rows is None:
            tile_count = count.new_full(positions, len(values))
            tile_mean = values.mean(0)
            values -= tile_mean
        else:
            uncounted = ~mask_rows[tile]
            tile_count = mask_rows[tile].sum(0, dtype=values.dtype)
            tile_mean = values.masked_fill_(uncounted, 0.0).sum(0) / tile_count.clamp(min=1)
            values.sub_(tile_mean).masked_fill_(uncounted, 0.0)
        share = tile_count / (count + tile_count).clamp(min=1)
        tile_mean -= mean
        mean.addcmul_(tile_mean, share)
        m2 += values.square_().sum(0)
        m2.addcmul_(tile_mean.square_(), share * count)
        count += tile_count
    count, column_mean = count.to(wide), mean.to(wide) + pivot
    total = _merge(count, ids, num_segments, channels_last)  # (1, S)
    segment_mean = _merge(count * column_mean, ids, num_segments, channels_last)
    segment_mean /= total.clamp(min=1)
    distance = column_mean - _spread(segment_mean, 0.0, ids, column_mean, channels_last)
    var = _merge(m2 + count * distance.square(), ids, num_segments, channels_last)
    return segment_mean, var / total.clamp(min=1), total[0]


def _first_counted(rows: Tensor, mask_rows: Tensor | None) -> Tensor:
    """Return the first value of each column that the mask includes, or 0 if there is none."""
    if mask_rows is None:
        return rows[0]
    first = mask_rows.to(torch.uint8).argmax(0, keepdim=True).expand(1, *rows.shape[1:])
    return rows.gather(0, first)[0].masked_fill(~mask_rows.any(0), 0.0)


def _mask_rows(mask: Tensor | None, x: Tensor, channels_last: bool) -> Tensor | None:
    if mask is None:
        return None
    return to_rows(mask.expand(x.shape[0], 1, *x.shape[2:]), channels_last)


def _tiles(rows: Tensor, memory: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Cut the rows into tiles that fit into the cache, and yield each with a scratch tensor.

    If the dtype allows it, the scratch tensor is the beginning of `memory`, a result that is
    written later: allocating new memory would take longer than the computation.
    """
    row_bytes = rows.shape[1:].numel() * compute_dtype(rows).itemsize
    step = min(_TILE_ROWS, max(1, _TILE_BYTES // max(1, row_bytes)))
    scratch = memory[:step]
    if scratch.dtype != compute_dtype(rows):
        scratch = torch.empty_like(scratch, dtype=compute_dtype(rows))
    for start in range(0, len(rows), step):
        yield slice(start, start + step), scratch[: len(rows) - start]


def _result_tiles(rows: Tensor, results: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Cut `results` into the same tiles, and yield tensors of the compute dtype to write to."""
    for tile, scratch in _tiles(rows, results):
        if results.dtype == scratch.dtype:
            yield tile, results[tile]
        else:
            yield tile, scratch
            results[tile] = scratch


def _merge(columns: Tensor, ids: Tensor, num_segments: int, channels_last: bool) -> Tensor:
    """Sum the columns of each segment: (C, L), or (L, C) if channels_last, to (C, S)."""
    columns = columns.t() if channels_last else columns
    outside = num_segments  # an additional sum collects the cells in no segment
    index = ids.where(ids >= 0, outside).expand_as(columns)
    sums = columns.new_zeros(len(columns), num_segments + 1).scatter_add_(1, index, columns)
    return sums[:, :outside].contiguous()


def _spread(
    values: Tensor, outside: float, ids: Tensor, rows: Tensor, channels_last: bool
) -> Tensor:
    """Copy each segment's value to its columns: (C, S) to (C, L), or (L, C) if channels_last."""
    columns = pad(values, (0, 1), value=outside)[:, ids]  # id -1 picks the last one, the padding
    return (columns.t() if channels_last else columns).to(compute_dtype(rows)).contiguous()


def _rstd(var: Tensor, eps: float, weight: Tensor | None = None) -> Tensor:
    rstd = torch.rsqrt(var + eps)
    return rstd if weight is None else rstd * weight
