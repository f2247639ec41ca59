"""Forward and backward pass: from columns to segments, and back to the rows."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tritonbn import ranks
from tritonbn.native import columns
from tritonbn.native.arithmetic import Array, silent
from tritonbn.native.coefficients import Normalization, scale_of
from tritonbn.native.layout import Layout, result_tiles
from tritonbn.native.running import update
from tritonbn.partition import Partition
from tritonbn.pooling import Estimate, Pooling, no_estimates, no_tau
from tritonbn.tensors import Affine, Running, Statistics, empty_like


@silent
def forward(
    x: Tensor,
    partition: Partition,
    mask: Tensor | None,
    given: tuple[Tensor, Tensor] | None,
    affine: Affine,
    running: Running | None,
    group: str | None,
    pooling: Pooling | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Normalize x with the statistics of the batch, or with the `given` mean and variance.

    The activation is left to the caller.

    Parameters
    ----------
    x : Tensor, shape (N, C, *extra, *grid)
        Not empty.
    partition : Partition
    mask : Tensor of bool, broadcastable to (N, 1, *extra, *grid), or None
    given : (Tensor, Tensor), each of shape (C, S), or None
    affine : Affine
    running : Running or None
        Updated with the statistics of the batch.
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
        Number of values per channel in each segment. All three are empty if statistics were given.
    estimates : Tensor, shape (3, C, S)
        The result of `Pooling.finest`, with which x was normalized; empty without pooling.
    """
    layout = Layout.of(x, partition)
    y = empty_like(x)
    rows, y_rows = layout.rows(x), layout.rows(y)
    own, estimates = (x.new_empty(0), x.new_empty(0), x.new_empty(0)), no_estimates(x)
    if given is None:
        own = _segment_statistics(rows, layout.mask_rows(mask, x), layout, y_rows)
        if group is not None:
            own = ranks.merge(ranks.gather(Statistics(*own), group))
        if running is not None:
            update(running, *own, layout.arithmetic)
    mean, var = own[:2] if given is None else given
    count = own[2]
    if given is None and pooling is not None:
        estimates = pooling.finest(*own)
        mean, var, _ = estimates
        count = count if mask is None else pooling.counts(count)
    present = None if mask is None or given is not None else count > 0
    coefficients = Normalization(layout, mean, var, affine, present).of_x()
    for tile, result in result_tiles(rows, y_rows):
        _apply(rows[tile], *coefficients, result=result)
    return y, *own, estimates


@silent
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
    dx : Tensor, shape, dtype and memory format of x
    dweight, dbias : Tensor, shape (C, S)
        In the compute dtype.
    dtau : Tensor, shape (L - 1,)
        Empty without pooling.
    """
    layout = Layout.of(x, partition)
    mean, var, counts = statistics
    count = own_count = mean.new_ones(()) if counts is None else counts
    levels: list[Estimate] = []
    if pooling is not None and counts is not None:
        levels = pooling.restore(estimates, mean, var, count)
        mean, var, _ = levels[0]
        count = count if mask is None else pooling.counts(count)
    dx = empty_like(x)
    rows, dy_rows, dx_rows = (layout.rows(t) for t in (x, dy, dx))
    mask_rows = layout.mask_rows(mask, x)
    normalization = Normalization(layout, mean, var, affine, None if mask is None else count > 0)
    sums = columns.gradient_sums(dy_rows, rows, mask_rows, normalization.center(), dx_rows)
    rstd, exact_dweight, exact_dbias, dweight, dbias = normalization.gradients(*sums)
    if counts is None:
        torch.mul(dy_rows, normalization.scale(), out=dx_rows)
        return dx, dweight, dbias, no_tau(x, pooling)

    own = exact_dweight, exact_dbias
    total = own if group is None else ranks.sum_gradients(*own, group)
    if pooling is None:
        scale_q, *through = normalization.of_dx(rstd, *total, count)
        dtau = no_tau(x, pooling)
    else:
        given = levels, own_count, scale_of(rstd, affine.weight), rstd
        slope, constant, dtau = pooling.gradients(*given, *total)
        if group is not None and estimates is None:  # as of weight and bias, that of this rank
            *_, dtau = pooling.gradients(*given, *own)
        scale_q, *through = normalization.of_dx(rstd, slope, constant, None)
    passing = None
    if partition.outside or mask is not None:
        passing = normalization.passing()
    for tile, result in result_tiles(rows, dx_rows):
        _apply(rows[tile], *through, result=result)
        if passing is not None:
            result.masked_fill_(passing, 0.0)
        if mask_rows is not None:
            result.masked_fill_(~mask_rows[tile], 0.0)
        result.addcmul_(dy_rows[tile], scale_q)
    return dx, dweight, dbias, dtau


@silent
def statistics(x: Tensor, partition: Partition) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance (C, S) and count (S,) of x (N, C, *extra, *grid), not empty."""
    layout = Layout.of(x, partition)
    return _segment_statistics(layout.rows(x), None, layout, None)


@silent
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
    columns = layout.columns(layout.spread(*layout.arithmetic.of(values), neutral=neutral))
    return columns.mT if channels_last else columns


@silent
def merge(columns: Tensor, partition: Partition) -> Tensor:
    """Sum K numbers of the cells of each segment: from (K, C, cells) to (K, C, S)."""
    layout = Layout.of(columns, partition)
    arrays = layout.arithmetic.of(layout.rows(columns))
    return layout.arithmetic.tensor(layout.merge(*map(layout.channels_first, arrays)))


def _segment_statistics(
    rows: Tensor, mask_rows: Tensor | None, layout: Layout, memory: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean and variance (C, S) and count (S,)."""
    (counts, *moments), pivot = columns.statistics(rows, mask_rows, memory)
    arithmetic, partition = layout.arithmetic, layout.partition
    if isinstance(counts, int):
        begins = arithmetic.of(partition.offsets)[:-1]
        cells = arithmetic.cast(begins[1:] - begins[:-1], layout.wide)
        total = cells * (counts * layout.frames)
    else:
        counts = layout.channels_first(counts)
        ((total,),) = layout.merge(counts)
    m = arithmetic.at_least_1(total)

    def of_channels(mean: Array, column_var: Array, pivot: Array) -> Array:
        column_mean = arithmetic.cast(mean, layout.wide) + pivot
        if layout.is_identity and layout.frames == 1 and isinstance(counts, int):
            return layout.merge(column_mean, column_var)
        segment_mean = layout.merge(counts * column_mean)[0] / m
        distance = column_mean - layout.spread(segment_mean, dtype=layout.wide)[0]
        return segment_mean, layout.merge(counts * (column_var + distance * distance))[0] / m

    given = (layout.channels_first(array) for array in (*moments, pivot))
    mean, var = (arithmetic.tensor(array) for array in layout.by_channels(of_channels, *given))
    return mean, var, arithmetic.tensor(total)


def _apply(rows: Tensor, scale: Tensor, shift: Tensor, *center: Tensor, result: Tensor) -> None:
    """Write ``(x - center) * scale + shift``; without a center it is 0."""
    if center:
        rows = torch.sub(rows, *center, out=result)
    torch.addcmul(shift, rows, scale, out=result)
