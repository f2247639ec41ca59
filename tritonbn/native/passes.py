"""Forward and backward pass: from columns to segments, and back to the rows."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tritonbn import ranks
from tritonbn.native import columns
from tritonbn.native.layout import Layout, result_tiles
from tritonbn.partition import Partition
from tritonbn.pooling import Estimate, Pooling, no_estimates, no_tau
from tritonbn.tensors import Statistics, compute_dtype, empty_like

_SMALL_MEAN = 4.0  # in standard deviations


def forward(
    x: Tensor,
    partition: Partition,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Tensor | None,
    running: tuple[Tensor, Tensor] | None,
    eps: float,
    group: str | None,
    pooling: Pooling | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Normalize x with the statistics of the batch, or with `running` mean and variance.

    Parameters
    ----------
    x : Tensor, shape (N, C, *extra, *grid)
        Not empty.
    partition : Partition
    weight, bias : Tensor, shape (C, S), or None
    mask : Tensor of bool, broadcastable to (N, 1, *extra, *grid), or None
    running : (Tensor, Tensor), each of shape (C, S), or None
    eps : float
    group : str or None
        Name of the process group over whose ranks the statistics are computed.
    pooling : Pooling, optional
        Levels of segments; x is normalized with the pooled statistics.

    Returns
    -------
    y : Tensor, shape, dtype and memory format of x
    mean, var : Tensor, shape (C, S)
        The statistics of each segment alone; 0 for a segment without values.
    count : Tensor, shape (S,)
        Number of values per channel in each segment; 1 if `running` was given.
    estimates : Tensor, shape (3, C, S)
        The result of `Pooling.finest`, with which x was normalized; empty without pooling.
    """
    layout = Layout.of(x, partition)
    y = empty_like(x)
    rows, y_rows = layout.rows(x), layout.rows(y)
    if running is None:
        mask_rows = layout.mask_rows(mask, x)
        mean, var, count = _segment_statistics(rows, mask_rows, layout, partition, y_rows)
        if group is not None:
            mean, var, count = ranks.merge(ranks.gather(Statistics(mean, var, count), group))
    else:
        mean, var = (statistic.to(layout.compute) for statistic in running)
        count = mean.new_ones(partition.segments)
    own, estimates = (mean, var, count), no_estimates(x)
    if running is None and pooling is not None:
        estimates = pooling.finest(*own)
        mean, var, _ = estimates
        count = count if mask is None else pooling.counts(count)

    rstd = torch.rsqrt(var + eps)
    scale = rstd if weight is None else rstd * weight
    center, low = _center(mean, rstd, x)
    shift = -low * scale if bias is None else torch.addcmul(bias, low, scale, value=-1)
    present = None if mask is None else count > 0
    # with these neutral values x passes unchanged: x * 1 + -0.0 keeps both 0.0 and -0.0
    neutral = (1.0, -0.0, 0.0)
    coefficients = layout.spread(scale, shift, *center, present=present, neutral=neutral)
    for tile, result in result_tiles(rows, y_rows):
        _apply(rows[tile], *coefficients, result=result)
    return y, *own, estimates


def backward(
    dy: Tensor,
    x: Tensor,
    partition: Partition,
    weight: Tensor | None,
    mask: Tensor | None,
    mean: Tensor,
    var: Tensor,
    count: Tensor,
    eps: float,
    batch_statistics: bool,
    group: str | None,
    pooling: Pooling | None = None,
    estimates: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight, bias and tau, given the gradient of y.

    With ``xhat = (x - mean) / sqrt(var + eps)`` and sums over all values of a segment,
    ``dbias = sum(dy)`` and ``dweight = sum(dy * xhat)``. If the statistics are those of the batch,

        dx = weight / sqrt(var + eps) * (dy - (dbias + xhat * dweight) / m)

    where the second term applies only to the m values that the mask includes. Excluded values that
    are not finite contribute nothing to the sums. With a process group, m and the sums in the
    second term are those of all ranks; the gradients of weight and bias are those of this rank.
    With several levels of segments, the second term is that of `Pooling.gradients`.

    Parameters
    ----------
    dy, x : Tensor, shape (N, C, *extra, *grid)
        Not empty.
    partition : Partition
    weight : Tensor, shape (C, S), or None
    mask : Tensor of bool, broadcastable to (N, 1, *extra, *grid), or None
    mean, var, count : Tensor
        As returned by `forward`.
    eps : float
    batch_statistics : bool
        Whether mean and variance depend on x.
    group : str or None
        As given to `forward`.
    pooling : Pooling, optional
        As given to `forward`.
    estimates : Tensor, optional
        As returned by `forward`. None if the gradient of tau is needed: then they are computed
        again, together with those of the other levels.

    Returns
    -------
    dx : Tensor, shape, dtype and memory format of x
    dweight, dbias : Tensor, shape (C, S)
    dtau : Tensor, shape (L - 1,)
        Empty without pooling.
    """
    levels: list[Estimate] = []
    own_count = count
    if pooling is not None and batch_statistics:
        levels = pooling.again(estimates, mean, var, count)
        mean, var, _ = levels[0]
        count = count if mask is None else pooling.counts(count)
    layout = Layout.of(x, partition)
    dx = empty_like(x)
    rows, dy_rows, dx_rows = (layout.rows(t) for t in (x, dy, dx))
    mask_rows = layout.mask_rows(mask, x)
    rstd = torch.rsqrt(var + eps)
    scale = rstd if weight is None else rstd * weight

    near = mean.to(layout.compute)
    (near_q,) = layout.spread(near)
    sums = columns.gradient_sums(dy_rows, rows, mask_rows, near_q, dx_rows)
    dbias, dweight = layout.merge(*sums)
    dweight = torch.addcmul(dweight, near - mean, dbias) * rstd
    present = None if mask is None else count > 0
    if present is not None:
        dbias, dweight = torch.where(present, dbias, 0.0), torch.where(present, dweight, 0.0)
    if not batch_statistics:
        (scale_q,) = layout.spread(scale, present=present, neutral=(1.0,))
        torch.mul(dy_rows, scale_q, out=dx_rows)
        return dx, dweight, dbias, no_tau(x, pooling)

    total_dweight, total_dbias = dweight, dbias
    if group is not None:
        total_dweight, total_dbias = ranks.sum_gradients(dweight, dbias, group)
    if pooling is None:
        per_value = scale / count.clamp(min=1)
        slope, constant = -per_value * rstd * total_dweight, -per_value * total_dbias
        dtau = no_tau(x, pooling)
    else:
        given = levels, own_count, scale, rstd
        slope, constant, dtau = pooling.gradients(*given, total_dweight, total_dbias)
        if group is not None and estimates is None:  # as of weight and bias, that of this rank
            *_, dtau = pooling.gradients(*given, dweight, dbias)
    center, low = _center(mean, rstd, x)
    offset = torch.addcmul(constant, slope, low, value=-1)
    neutral = (1.0, 0.0, 0.0, 0.0)
    values = (scale, slope, offset, *center)
    scale_q, *through = layout.spread(*values, present=present, neutral=neutral)
    passing = None
    if layout.outside or present is not None:
        passing = layout.spread(torch.ones_like(scale), present=present)[0] == 0
    for tile, result in result_tiles(rows, dx_rows):
        _apply(rows[tile], *through, result=result)
        if passing is not None:
            result.masked_fill_(passing, 0.0)
        if mask_rows is not None:
            result.masked_fill_(~mask_rows[tile], 0.0)
        result.addcmul_(dy_rows[tile], scale_q)
    return dx, dweight, dbias, dtau


def statistics(x: Tensor, partition: Partition) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance (C, S) and count (S,) of x (N, C, *extra, *grid), not empty."""
    layout = Layout.of(x, partition)
    return _segment_statistics(layout.rows(x), None, layout, partition, None)


def spread(
    values: Tensor,
    neutral: Sequence[float],
    partition: Partition,
    channels_last: bool,
    dtype: torch.dtype,
) -> Tensor:
    """Copy K values (C, S) of each segment to its cells: the result is (K, C, cells), in `dtype`.

    Cells in no segment get the `neutral` values.
    """
    layout = Layout.of_frames(1, partition, channels_last, values.dtype, dtype)
    columns = layout.spread(*values, neutral=neutral)
    return columns.mT if channels_last else columns


def merge(columns: Tensor, partition: Partition) -> Tensor:
    """Sum K numbers of the cells of each segment: from (K, C, cells) to (K, C, S)."""
    layout = Layout.of(columns, partition)
    return layout.merge(*layout.rows(columns))


def _segment_statistics(
    rows: Tensor,
    mask_rows: Tensor | None,
    layout: Layout,
    partition: Partition,
    memory: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance (C, S) and count (S,)."""
    (counts, mean, m2), pivot = columns.statistics(rows, mask_rows, memory)
    column_mean = mean.to(layout.wide) + pivot
    if isinstance(counts, int):
        cells = partition.offsets[1:-1] - partition.offsets[:-2]
        total = (cells * (counts * (len(layout.ids) // len(partition.ids)))).to(layout.wide)
        m = total
    else:
        ((total,),) = layout.merge(counts)
        m = total.clamp(min=1)
    segment_mean = layout.merge(counts * column_mean)[0] / m
    distance = column_mean - layout.spread(segment_mean, dtype=layout.wide)[0]
    var = layout.merge(m2 + counts * distance.square())[0] / m
    return segment_mean, var, total


def _center(mean: Tensor, rstd: Tensor, x: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
    """Return what is subtracted from x before it is multiplied, and the rest of the mean (C, S).

    The first is the rounded mean, or nothing if the mean is small: then ``x * scale - mean *
    scale`` is as exact as ``(x - mean) * scale``, and takes one operation less. A GPU is not asked
    whether it is, because the answer would take a synchronization.
    """
    if x.device.type == "cpu" and float((mean * rstd).abs().max()) <= _SMALL_MEAN:
        return (), mean
    center = mean.to(compute_dtype(x))
    return (center,), mean - center


def _apply(rows: Tensor, scale: Tensor, shift: Tensor, *center: Tensor, result: Tensor) -> None:
    """Write ``(x - center) * scale + shift``; without a center it is 0."""
    if center:
        rows = torch.sub(rows, *center, out=result)
    torch.addcmul(shift, rows, scale, out=result)
