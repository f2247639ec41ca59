"""The operator behind `tritonbn.local_batch_norm` and its gradients.

It is registered with PyTorch for everything that traces a model; eager calls take the same
functions through `torch.autograd.Function`, which costs less, and lets the kernels update the
running statistics: a registered operator must not have both side effects and gradients.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import relu, silu

from tritonbn import backends, reference
from tritonbn.arguments import Affine, Running, Statistics
from tritonbn.dtypes import compute_dtype, wide_dtype
from tritonbn.layout import empty_like
from tritonbn.partition import Partition

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": relu,
    "silu": silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def _forward(
    x: Tensor,
    ids: Tensor,
    members: Tensor,
    offsets: Tensor,
    pieces: Tensor,
    piece_offsets: Tensor,
    segments: int,
    largest: int,
    outside: int,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Tensor | None,
    mean: Tensor | None,
    var: Tensor | None,
    eps: float,
    activation: str | None,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    partition = (ids, members, offsets, pieces, piece_offsets, segments, largest, outside)
    affine = (weight, bias, mask, mean, var, eps, activation, backend)
    return _forward_and_update(x, *partition, *affine, None)


def _forward_and_update(
    x: Tensor,
    ids: Tensor,
    members: Tensor,
    offsets: Tensor,
    pieces: Tensor,
    piece_offsets: Tensor,
    segments: int,
    largest: int,
    outside: int,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Tensor | None,
    mean: Tensor | None,
    var: Tensor | None,
    eps: float,
    activation: str | None,
    backend: str,
    running: Running | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    given = None if mean is None or var is None else (mean, var)
    return backends.forward(
        backend,
        x,
        Partition(ids, members, offsets, pieces, piece_offsets, segments, largest, outside),
        mask,
        given,
        Affine(weight, bias, eps, activation),
        running,
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, *partition = inputs[:9]
    weight, bias, mask, given_mean, given_var = inputs[9:14]
    statistics = output[1:] if given_mean is None else (given_mean, given_var, None)
    ctx.save_for_backward(x, *partition[:5], weight, bias, mask, *statistics)
    ctx.sizes, ctx.options = partition[5:], inputs[14:17]
    ctx.mark_non_differentiable(*output[1:])


def _differentiate(
    backward: Callable[..., tuple[Tensor, ...]], ctx: Any, dy: Tensor, *_: Tensor
) -> tuple[Tensor | None, ...]:
    x, *partition = ctx.saved_tensors[:6]
    weight, bias, mask, mean, var, count = ctx.saved_tensors[6:]
    dx, dweight, dbias = backward(
        dy, x, *partition, *ctx.sizes, weight, bias, mask, mean, var, count, *ctx.options
    )
    return (
        dx,
        *[None] * 8,
        None if weight is None else dweight.to(weight.dtype),
        None if bias is None else dbias.to(bias.dtype),
        *[None] * 6,
    )


def _backward(
    dy: Tensor,
    x: Tensor,
    ids: Tensor,
    members: Tensor,
    offsets: Tensor,
    pieces: Tensor,
    piece_offsets: Tensor,
    segments: int,
    largest: int,
    outside: int,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Tensor | None,
    mean: Tensor,
    var: Tensor,
    count: Tensor | None,
    eps: float,
    activation: str | None,
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    return backends.backward(
        backend,
        dy,
        x,
        Partition(ids, members, offsets, pieces, piece_offsets, segments, largest, outside),
        mask,
        Statistics(mean, var, count),
        Affine(weight, bias, eps, activation),
    )


def _save_for_second(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    dy, x, ids = inputs[:3]
    ctx.segments = inputs[7]
    weight, bias, mask, mean, var, count = inputs[10:16]
    ctx.save_for_backward(dy, x, ids, weight, bias, mask, mean, var)
    ctx.batch_statistics, ctx.eps, ctx.activation = count is not None, *inputs[16:18]


def _differentiate_twice(ctx: Any, *d_gradients: Tensor) -> tuple[Tensor | None, ...]:
    """Differentiate the gradients of the reference, which autograd can do as often as wanted."""
    dy, x, ids, weight, bias, mask, mean, var = ctx.saved_tensors
    again = torch.is_grad_enabled()

    def variable(t: Tensor) -> Tensor:
        # a view, as dy may itself be computed from x
        return t.view_as(t) if again and t.requires_grad else t.detach().requires_grad_()

    wide, shape = wide_dtype(x), (x.shape[1], ctx.segments)
    with torch.enable_grad():
        dy, x = variable(dy), variable(x)
        scale = variable(x.new_ones(shape, dtype=wide) if weight is None else weight)
        shift = variable(x.new_zeros(shape, dtype=wide) if bias is None else bias)
        wide_scale, wide_shift = scale.to(wide), shift.to(wide)
        given = None if ctx.batch_statistics else (mean, var)
        y, *_ = reference.forward(
            x, ids, ctx.segments, wide_scale, wide_shift, mask, given, ctx.eps
        )
        if ctx.activation is not None:
            y = ACTIVATIONS[ctx.activation](y)
        gradients = torch.autograd.grad(y, (x, wide_scale, wide_shift), dy, create_graph=True)
        ddy, dx, dscale, dshift = torch.autograd.grad(
            gradients, (dy, x, scale, shift), d_gradients, create_graph=again, allow_unused=True
        )
    return (
        ddy,
        dx,
        *[None] * 8,
        None if weight is None else dscale,
        None if bias is None else dshift,
        *[None] * 7,
    )


def _quick_to_bind(function: Callable[..., Any]) -> Callable[..., Any]:
    """Spare `torch.autograd.Function`, which binds arguments to names in every call, 35 us."""

    def positional(*inputs: Any) -> Any:
        return function(*inputs)

    positional.__signature__ = inspect.signature(positional)  # type: ignore[attr-defined]
    return positional


class _EagerForward(torch.autograd.Function):
    forward = staticmethod(_quick_to_bind(_forward_and_update))
    setup_context = staticmethod(_save)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return *_differentiate(_EagerBackward.apply, ctx, *gradients), None


class _EagerBackward(torch.autograd.Function):
    forward = staticmethod(_quick_to_bind(_backward))
    setup_context = staticmethod(_save_for_second)
    backward = staticmethod(_differentiate_twice)


eager_forward: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]] = _EagerForward.apply
forward_operator = torch.library.custom_op("tritonbn::local_batch_norm", _forward, mutates_args=())
backward_operator = torch.library.custom_op(
    "tritonbn::local_batch_norm_backward", _backward, mutates_args=()
)


@forward_operator.register_fake
def _(x: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    segments, given_mean = arguments[5], arguments[11]
    shape = (x.shape[1], segments) if given_mean is None else (0,)
    mean, var = (x.new_empty(shape, dtype=wide_dtype(x)) for _ in range(2))
    return empty_like(x), mean, var, x.new_empty(shape[-1], dtype=wide_dtype(x))


@backward_operator.register_fake
def _(dy: Tensor, x: Tensor, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    shape = (x.shape[1], arguments[5])
    dweight, dbias = (x.new_empty(shape, dtype=compute_dtype(x)) for _ in range(2))
    return empty_like(x), dweight, dbias


forward_operator.register_autograd(partial(_differentiate, backward_operator), setup_context=_save)
backward_operator.register_autograd(_differentiate_twice, setup_context=_save_for_second)
