"""`local_batch_norm`: the operator, with its checks, its gradients and its choice of backend."""

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import relu, silu

from tritonbn import native, reference
from tritonbn.checks import check_arguments, check_counts
from tritonbn.dtypes import wide_dtype
from tritonbn.layout import from_rows, is_channels_last, to_rows
from tritonbn.segments import Segments

Backend = Literal["auto", "native", "reference"]
Activation = Literal["relu", "silu", "sigmoid", "tanh"]

_ACTIVATIONS: dict[Activation | None, Callable[[Tensor], Tensor]] = {
    None: lambda y: y,
    "relu": relu,
    "silu": silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def local_batch_norm(
    x: Tensor,
    segments: Segments,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Tensor = 0.1,
    eps: float = 1e-5,
    *,
    mask: Tensor | None = None,
    activation: Activation | None = None,
    backend: Backend = "auto",
) -> Tensor:
    """Normalize each channel with the mean and variance of each cell's segment.

    For segment k and channel c, over the m entries whose cell has id k and that the mask counts::

        mean = sum(x) / m          var = sum((x - mean)^2) / m
        y    = (x - mean) / sqrt(var + eps) * weight[c, k] + bias[c, k]

    Cells with id -1, and segments of which this batch counts nothing, pass unchanged. With one
    segment over the whole grid this is `torch.nn.functional.batch_norm`.

    Parameters
    ----------
    x : Tensor of a floating type, shape (N, C, *extra, *grid)
    segments : Segments
        The partition of the grid into S segments.
    running_mean, running_var : Tensor, shape (C, S), optional
        Used in place of the batch's statistics if not `training`; updated in place, the variance
        with the unbiased one, if `training`. Given together or not at all.
    weight, bias : Tensor, shape (C, S), optional
        Defaults: 1 and 0.
    training : bool, default False
        Whether to use the statistics of the batch. Without running statistics they are used anyway.
    momentum : float or Tensor of one element, default 0.1
        The share of the batch in the new running statistics.
    eps : float, default 1e-5
    mask : Tensor of bool, broadcastable to (N, 1, *extra, *grid), optional
        True = counts. What does not count is left out of the statistics and normalized all the
        same, so fill missing values before.
    activation : "relu", "silu", "sigmoid", "tanh" or None, default None
        Applied to the result, cells in no segment included.
    backend : "auto", "native" or "reference", default "auto"
        "native" is fast on every device, "reference" is the definition in a few lines of PyTorch;
        "auto" is "native".

    Returns
    -------
    Tensor
        Shape, type and memory format of x. Statistics are computed in float32 at least.

    Raises
    ------
    TypeError
        If an argument has a wrong type.
    ValueError
        If a shape, a device or an option does not fit, or if a segment has a single value per
        channel to take statistics of; the message names the segment.
    """
    parameters = {
        "running_mean": running_mean,
        "running_var": running_var,
        "weight": weight,
        "bias": bias,
    }
    check_arguments(x, segments, parameters, mask)
    for name, option, options in (
        ("activation", activation, tuple(_ACTIVATIONS)),
        ("backend", backend, get_args(Backend)),
    ):
        if option not in options:
            raise ValueError(f"{name} must be one of {options}, got {option!r}")
    ids = segments.flat_ids(x.device)
    running = None
    if not training and running_mean is not None and running_var is not None:
        running = (running_mean, running_var)
    else:
        check_counts(x, segments, ids, mask)

    shared = (x, ids, segments.num_segments, weight, bias, mask)
    if backend == "reference":
        y, mean, var, count = reference.forward(*shared, running, eps)
    else:
        y, mean, var, count = _forward(*shared, *(running or (None, None)), eps)
    if training and running_mean is not None and running_var is not None:
        _update_running(running_mean, running_var, mean, var, count, momentum)
    return _ACTIVATIONS[activation](y)


@torch.no_grad()
def _update_running(
    running_mean: Tensor,
    running_var: Tensor,
    mean: Tensor,
    var: Tensor,
    count: Tensor,
    momentum: float | Tensor,
) -> None:
    present = count > 0
    unbiased = var * (count / (count - 1).clamp(min=1))
    for running, batch in ((running_mean, mean), (running_var, unbiased)):
        updated = running + momentum * (batch - running)
        running.copy_(torch.where(present, updated, running))


@torch.library.custom_op("tritonbn::local_batch_norm", mutates_args=())
def _forward(
    x: Tensor,
    ids: Tensor,
    num_segments: int,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    running = None
    if running_mean is not None and running_var is not None:
        running = (running_mean, running_var)
    return native.forward(x, ids, num_segments, weight, bias, mask, running, eps)


@_forward.register_fake
def _(x: Tensor, ids: Tensor, num_segments: int, *_: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    wide = wide_dtype(x)
    statistic = x.new_empty(x.shape[1], num_segments, dtype=wide)
    count = x.new_empty(num_segments, dtype=wide)
    return _empty_like_rows(x), statistic, torch.empty_like(statistic), count


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, ids, _, weight, bias, mask, running_mean, _, eps = inputs
    _, mean, var, count = output
    ctx.save_for_backward(x, ids, weight, bias, mask, mean, var, count)
    ctx.eps, ctx.batch_statistics = eps, running_mean is None
    ctx.mark_non_differentiable(mean, var, count)


def _differentiate(ctx: Any, dy: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
    x, ids, weight, bias, mask, mean, var, count = ctx.saved_tensors
    dx, dweight, dbias = _backward(
        dy, x, ids, weight, mask, mean, var, count, ctx.eps, ctx.batch_statistics
    )
    dweight = dweight.to(weight.dtype) if weight is not None else None
    dbias = dbias.to(bias.dtype) if bias is not None else None
    return dx, None, None, dweight, dbias, None, None, None, None


@torch.library.custom_op("tritonbn::local_batch_norm_backward", mutates_args=())
def _backward(
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
    return native.backward(dy, x, ids, weight, mask, mean, var, count, eps, batch_statistics)


@_backward.register_fake
def _(
    dy: Tensor,
    x: Tensor,
    ids: Tensor,
    weight: Tensor | None,
    mask: Tensor | None,
    mean: Tensor,
    *_: Any,
) -> tuple[Tensor, Tensor, Tensor]:
    return _empty_like_rows(x), torch.empty_like(mean), torch.empty_like(mean)


def _save_twice(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.eps, ctx.batch_statistics = inputs
    ctx.save_for_backward(*tensors)


def _differentiate_twice(ctx: Any, *d_gradients: Tensor) -> tuple[Tensor | None, ...]:
    """Differentiate the gradients of the reference, which autograd can do as often as wanted."""
    dy, x, ids, weight, mask, mean, var, _ = ctx.saved_tensors
    again = torch.is_grad_enabled()

    def variable(t: Tensor) -> Tensor:
        # a view, as dy may itself be computed from x
        return t.view_as(t) if again and t.requires_grad else t.detach().requires_grad_()

    with torch.enable_grad():
        dy, x = variable(dy), variable(x)
        scale = variable(torch.ones_like(mean) if weight is None else weight)
        wide_scale, shift = scale.to(mean.dtype), variable(torch.zeros_like(mean))
        running = None if ctx.batch_statistics else (mean, var)
        y, *_ = reference.forward(x, ids, mean.shape[1], wide_scale, shift, mask, running, ctx.eps)
        gradients = torch.autograd.grad(y, (x, wide_scale, shift), dy, create_graph=True)
        ddy, dx, dscale = torch.autograd.grad(
            gradients, (dy, x, scale), d_gradients, create_graph=again, allow_unused=True
        )
    return ddy, dx, None, None if weight is None else dscale, *[None] * 6


_forward.register_autograd(_differentiate, setup_context=_save)
_backward.register_autograd(_differentiate_twice, setup_context=_save_twice)


def _empty_like_rows(x: Tensor) -> Tensor:
    channels_last = is_channels_last(x)
    return from_rows(torch.empty_like(to_rows(x, channels_last)), x.shape, channels_last)
