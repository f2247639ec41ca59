"""Local batch normalization in models that `torch.compile` compiles.

Three operators are opaque to the compiler: the statistics, and what copies numbers of segments to
their cells and sums numbers of cells. All passes over whole tensors but that of the statistics are
PyTorch operations, which the compiler fuses with their neighbours: activations, residual
connections, and in the backward pass also the sums over the samples.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from tritonbn import backends, native
from tritonbn.partition import Partition
from tritonbn.tensors import compute_dtype, is_channels_last, wide_dtype


def saves_passes(
    x: Tensor,
    partition: Partition,
    given: tuple[Tensor, Tensor] | None,
    activation: str | None,
    backend: str,
) -> bool:
    """Return whether x is read and written less often than by the Triton kernels.

    With the statistics of the batch, it is not if these kernels need a single pass each way, or
    apply an activation. The backend "native" always needs more passes.
    """
    if backend != "triton" or given is not None:
        return True
    if activation is not None:
        return False
    from tritonbn.kernels.configs import fits_one_pass
    from tritonbn.kernels.problem import Problem

    return not fits_one_pass("one_pass_forward", Problem.of(x, partition))


def normalize(
    x: Tensor,
    partition: Partition,
    weight: Tensor | None,
    bias: Tensor | None,
    given: tuple[Tensor, Tensor] | None,
    eps: float,
    backend: str,
) -> tuple[Tensor, list[Tensor]]:
    """Normalize x with the statistics of the batch, or with the `given` mean and variance.

    Returns
    -------
    y : Tensor, shape, dtype and memory format of x
    statistics : list of Tensor
        Mean (C, S), variance (C, S) and count (S,) of the batch; empty if statistics were given.
    """
    cells = (partition.tensors, partition.sizes, backend)
    statistics = [] if given is not None else [*statistics_operator(x, *cells)]
    mean, var = (t.to(wide_dtype(x)) for t in given or statistics[:2])
    center, low = _rounded(mean, x)
    scale = torch.rsqrt(var + eps)
    if weight is not None:
        scale = scale * weight
    shift = -low * scale if bias is None else bias - low * scale
    (center,) = _spread([center], [0.0], x, *cells)
    # with these neutral values x passes unchanged: x * 1 + -0.0 keeps both 0.0 and -0.0
    scale, shift = _spread([scale, shift], [1.0, -0.0], x, *cells)
    y = ((x - center) * scale + shift).to(x.dtype)
    return (y if is_channels_last(x) else y.contiguous()), statistics


def _rounded(mean: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean in the precision of the compute dtype, as a constant, and the rest."""
    center = mean.detach().to(compute_dtype(x)).to(mean.dtype)
    return center, mean - center


def _spread(
    values: list[Tensor],
    neutral: list[float],
    x: Tensor,
    partition: Sequence[Tensor],
    sizes: Sequence[int],
    backend: str,
) -> tuple[Tensor, ...]:
    """Copy values (C, S) to the cells of their segments, in the shape (C, *extra, *grid) of x.

    Cells in no segment get the `neutral` values.
    """
    layout = is_channels_last(x), compute_dtype(x)
    columns = spread_operator(torch.stack(values), neutral, partition, sizes, backend, *layout)
    cells = columns.shape[2]
    frames = x.shape[2:].numel() // cells
    columns = columns.unsqueeze(2).expand(-1, -1, frames, -1)
    return tuple(column.reshape(x.shape[1:]) for column in columns)


def _statistics(
    x: Tensor, partition: Sequence[Tensor], sizes: Sequence[int], backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    return backends.statistics_of(backend, x, Partition.join(partition, sizes))


def _save_statistics(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, partition, ctx.sizes, ctx.backend = inputs
    mean, _, count = output
    ctx.mark_non_differentiable(count)
    ctx.save_for_backward(x, mean, count, *partition)


def _differentiate_statistics(ctx: Any, dmean: Tensor, dvar: Tensor, _: Any) -> tuple[Any, ...]:
    x, mean, count, *partition = ctx.saved_tensors
    cells = (partition, ctx.sizes, ctx.backend)
    center, low = _rounded(mean, x)
    values = count.clamp(min=1)
    slope = 2 * dvar / values
    offset = dmean / values - slope * low
    (center,) = _spread([center], [0.0], x, *cells)
    slope, offset = _spread([slope, offset], [0.0, 0.0], x, *cells)
    dx = (x - center) * slope + offset
    if ctx.sizes[-1]:  # in cells in no segment, x may be infinite or NaN
        positions = x.shape[2:]
        frames = positions.numel() // len(partition[0])
        inside = (partition[0] >= 0).repeat(frames).view(positions)
        dx = torch.where(inside, dx, 0.0)
    return dx.to(x.dtype), [None] * len(partition), None, None


def _copy_to_cells(
    values: Tensor,
    neutral: Sequence[float],
    partition: Sequence[Tensor],
    sizes: Sequence[int],
    backend: str,
    channels_last: bool,
    dtype: torch.dtype,
) -> Tensor:
    return native.spread(values, neutral, Partition.join(partition, sizes), channels_last, dtype)


def _save_spread(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    values, _, partition, ctx.sizes, ctx.backend, *_ = inputs
    ctx.dtype = values.dtype
    ctx.save_for_backward(*partition)


def _differentiate_spread(ctx: Any, dcolumns: Tensor) -> tuple[Any, ...]:
    partition = ctx.saved_tensors
    dvalues = merge_operator(dcolumns, partition, ctx.sizes, ctx.backend, ctx.dtype)
    return dvalues, None, [None] * len(partition), *[None] * 4


def _sum_cells(
    columns: Tensor,
    partition: Sequence[Tensor],
    sizes: Sequence[int],
    backend: str,
    dtype: torch.dtype,
) -> Tensor:
    return backends.merge(backend, columns, Partition.join(partition, sizes)).to(dtype)


def _save_sum(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    columns, partition, ctx.sizes, ctx.backend, _ = inputs
    ctx.layout = is_channels_last(columns), columns.dtype
    ctx.save_for_backward(*partition)


def _differentiate_sum(ctx: Any, dvalues: Tensor) -> tuple[Any, ...]:
    partition = ctx.saved_tensors
    neutral = [0.0] * len(dvalues)
    cells = (partition, ctx.sizes, ctx.backend)
    dcolumns = spread_operator(dvalues, neutral, *cells, *ctx.layout)
    return dcolumns, [None] * len(partition), *[None] * 3


_PARTITION = "Tensor[] partition, SymInt[] sizes, str backend"

statistics_operator = torch.library.custom_op(
    "tritonbn::segment_statistics",
    _statistics,
    mutates_args=(),
    schema=f"(Tensor x, {_PARTITION}) -> (Tensor, Tensor, Tensor)",
)
spread_operator = torch.library.custom_op(
    "tritonbn::copy_to_cells",
    _copy_to_cells,
    mutates_args=(),
    schema=f"(Tensor values, float[] neutral, {_PARTITION}, bool channels_last, ScalarType dtype)"
    " -> Tensor",
)
merge_operator = torch.library.custom_op(
    "tritonbn::sum_cells",
    _sum_cells,
    mutates_args=(),
    schema=f"(Tensor columns, {_PARTITION}, ScalarType dtype) -> Tensor",
)
statistics_operator.register_autograd(_differentiate_statistics, setup_context=_save_statistics)
spread_operator.register_autograd(_differentiate_spread, setup_context=_save_spread)
merge_operator.register_autograd(_differentiate_sum, setup_context=_save_sum)


@statistics_operator.register_fake
def _(x: Tensor, _: Any, sizes: Sequence[int], backend: str) -> tuple[Tensor, Tensor, Tensor]:
    mean, var = (x.new_empty(x.shape[1], sizes[0], dtype=wide_dtype(x)) for _ in range(2))
    return mean, var, mean.new_empty(sizes[0])


@spread_operator.register_fake
def _(values: Tensor, _: Any, partition: Sequence[Tensor], *options: Any) -> Tensor:
    *_, channels_last, dtype = options
    kinds, channels = values.shape[:2]
    cells = len(partition[0])
    if channels_last:
        return values.new_empty((kinds, cells, channels), dtype=dtype).mT
    return values.new_empty((kinds, channels, cells), dtype=dtype)


@merge_operator.register_fake
def _(columns: Tensor, _: Any, sizes: Sequence[int], backend: str, dtype: torch.dtype) -> Tensor:
    return columns.new_empty((*columns.shape[:2], sizes[0]), dtype=dtype)
