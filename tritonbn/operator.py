"""The operator behind `tritonbn.local_batch_norm` and its gradients.

The operator is registered with PyTorch for everything that traces a model. Eager calls use the same
functions in a `torch.autograd.Function`, which has less overhead and lets the kernels update the
running statistics: a registered operator must not both change its inputs and have gradients.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._functorch.utils import unwrap_dead_wrappers
from torch.nn.functional import relu, silu

from tritonbn import backends, caller, reference
from tritonbn.partition import Partition
from tritonbn.pooling import Pooling
from tritonbn.tensors import Affine, Running, Statistics, compute_dtype, empty_like, wide_dtype

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": relu,
    "silu": silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
}


def _forward(
    x: Tensor,
    partition: Sequence[Tensor],
    sizes: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Tensor | None,
    mean: Tensor | None,
    var: Tensor | None,
    level_table: Tensor | None,
    tau: Tensor | None,
    level_sizes: Sequence[int] | None,
    eps: float,
    activation: str | None,
    backend: str,
    group: str | None,
    running: Running | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    given = None if mean is None or var is None else (mean, var)
    affine = Affine(weight, bias, eps, activation)
    pooling = Pooling.join(level_table, tau, level_sizes)
    return backends.forward(
        backend, x, Partition.join(partition, sizes), mask, given, affine, running, group, pooling
    )


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    x, partition, ctx.sizes, weight, bias, mask, given_mean, given_var, *others = inputs
    level_table, tau, *options = others
    statistics = output[1:4] if given_mean is None else (given_mean, given_var, None)
    estimates = None if level_table is None else output[4]
    ctx.save_for_backward(
        x, weight, bias, mask, *statistics, estimates, level_table, tau, *partition
    )
    ctx.options = options[:5]
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)  # else zeros are written for the gradient of each statistic


def _differentiate(
    backward: Callable[..., tuple[Tensor, ...]], ctx: Any, dy: Tensor | None, *_: Any
) -> tuple[Any, ...]:
    # after torch.func.vjp they are wrappers without memory, which kernels cannot read
    x, weight, bias, mask, *others = unwrap_dead_wrappers(ctx.saved_tensors)
    statistics, (level_table, tau), partition = others[:4], others[4:6], others[6:]
    if dy is None and ctx.options[-1] is None:
        return None, [None] * len(partition), *[None] * 13
    if ctx.needs_input_grad[_TAU]:
        statistics[-1] = None  # the estimates do not suffice for the gradient of tau
    if dy is None:  # the outputs of other ranks depend on x
        dy = torch.zeros_like(x)
    dx, dweight, dbias, dtau = backward(
        dy, x, partition, ctx.sizes, weight, bias, mask, *statistics, level_table, tau, *ctx.options
    )
    return (
        dx,
        [None] * len(partition),
        None,
        None if weight is None else dweight.to(weight.dtype),
        None if bias is None else dbias.to(bias.dtype),
        *[None] * 4,
        None if tau is None else dtau.to(tau.dtype),
        *[None] * 5,
    )


def _backward(
    dy: Tensor,
    x: Tensor,
    partition: Sequence[Tensor],
    sizes: Sequence[int],
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Tensor | None,
    mean: Tensor,
    var: Tensor,
    count: Tensor | None,
    estimates: Tensor | None,
    level_table: Tensor | None,
    tau: Tensor | None,
    level_sizes: Sequence[int] | None,
    eps: float,
    activation: str | None,
    backend: str,
    group: str | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    statistics, affine = Statistics(mean, var, count), Affine(weight, bias, eps, activation)
    pooling = Pooling.join(level_table, tau, level_sizes)
    return backends.backward(
        backend,
        dy,
        x,
        Partition.join(partition, sizes),
        mask,
        statistics,
        affine,
        group,
        pooling,
        estimates,
    )


def _save_for_second(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    dy, x, partition, ctx.sizes, weight, bias, mask, mean, var, count, _, *others = inputs
    level_table, tau, *ctx.options = others
    ctx.save_for_backward(dy, x, weight, bias, mask, mean, var, level_table, tau, *partition)
    ctx.batch_statistics = count is not None


def _differentiate_twice(ctx: Any, *d_gradients: Tensor) -> tuple[Any, ...]:
    """Differentiate the gradients of the reference backend, which autograd can do to any order."""
    dy, x, weight, bias, mask, mean, var, level_table, tau, ids, *others = ctx.saved_tensors
    level_sizes, eps, activation, _, group = ctx.options
    segments = ctx.sizes[0]
    again = torch.is_grad_enabled()

    def variable(t: Tensor) -> Tensor:
        # a view is a new node of the graph: dy may itself depend on x
        return t.view_as(t) if again and t.requires_grad else t.detach().requires_grad_()

    wide, shape = wide_dtype(x), (x.shape[1], segments)
    with torch.enable_grad():
        dy, x = variable(dy), variable(x)
        scale = variable(x.new_ones(shape, dtype=wide) if weight is None else weight)
        shift = variable(x.new_zeros(shape, dtype=wide) if bias is None else bias)
        wide_scale, wide_shift = scale.to(wide), shift.to(wide)
        strength = variable(x.new_zeros(0, dtype=wide) if tau is None else tau)
        pooling = None if level_table is None else Pooling(level_table, strength, level_sizes)
        given = None if ctx.batch_statistics else (mean, var)
        y, *_ = reference.forward(
            x, ids, segments, wide_scale, wide_shift, mask, given, eps, group, pooling
        )
        if activation is not None:
            y = ACTIVATIONS[activation](y)
        variables = (x, wide_scale, wide_shift) + (() if pooling is None else (strength,))
        gradients = torch.autograd.grad(y, variables, dy, create_graph=True)
        ddy, dx, dscale, dshift, dstrength = torch.autograd.grad(
            gradients,
            (dy, x, scale, shift, strength),
            d_gradients[: len(variables)],
            create_graph=again,
            allow_unused=True,
        )
    return (
        ddy,
        dx,
        [None] * (1 + len(others)),
        None,
        None if weight is None else dscale,
        None if bias is None else dshift,
        *[None] * 6,
        None if tau is None else dstrength,
        *[None] * 5,
    )


def _quick_to_bind(function: Callable[..., Any]) -> Callable[..., Any]:
    """Speed up `torch.autograd.Function`, which binds the arguments in every call, by 35 us."""

    def positional(*inputs: Any) -> Any:
        return function(*inputs)

    positional.__signature__ = inspect.signature(positional)  # type: ignore[attr-defined]
    return positional


class _EagerForward(torch.autograd.Function):
    forward = staticmethod(_quick_to_bind(_forward))
    setup_context = staticmethod(_save)

    @staticmethod
    def backward(ctx: Any, dy: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        if caller.is_mapped_by_autograd():
            raise NotImplementedError(
                "local batch normalization does not support batched gradients, as requested by "
                "is_grads_batched=True or vectorize=True; "
                'use torch.func.jacrev, or backend="reference"'
            )
        function = _EagerBackward.apply if caller.wants_more_than_gradients() else _backward
        dx, _, *others = _differentiate(function, ctx, dy)
        return dx, None, *others, None

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
        return _one_by_one(_EagerForward.apply, info, in_dims, inputs)


class _EagerBackward(torch.autograd.Function):
    forward = staticmethod(_quick_to_bind(_backward))
    setup_context = staticmethod(_save_for_second)

    @staticmethod
    def backward(ctx: Any, *d_gradients: Tensor) -> tuple[Tensor | None, ...]:
        ddy, dx, _, *others = _differentiate_twice(ctx, *d_gradients)
        return ddy, dx, None, *others

    @staticmethod
    def vmap(info: Any, in_dims: Any, *inputs: Any) -> Any:
        return _one_by_one(_EagerBackward.apply, info, in_dims, inputs)


def _one_by_one(
    operator: Callable[..., tuple[Tensor, ...]], info: Any, in_dims: Any, inputs: Any
) -> tuple[tuple[Tensor, ...], tuple[int, ...]]:
    """Implement `torch.vmap` for an operator, with one call per element."""

    def element(index: int) -> Iterator[Any]:
        for value, dim in zip(inputs, in_dims, strict=True):
            yield value.select(dim, index) if isinstance(dim, int) else value

    results = [operator(*element(index)) for index in range(info.batch_size)]
    stacked = tuple(torch.stack(parts) for parts in zip(*results, strict=True))
    return stacked, (0,) * len(stacked)


_PARTITION = "Tensor[] partition, SymInt[] sizes, Tensor? weight, Tensor? bias, Tensor? mask"
_LEVELS = "Tensor? level_table, Tensor? tau, SymInt[]? level_sizes"
_TAU = 9  # its position among the arguments of _forward
_OPTIONS = f"{_LEVELS}, float eps, str? activation, str backend, str? group"

eager_forward: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor, Tensor]] = _EagerForward.apply
forward_operator = torch.library.custom_op(
    "tritonbn::local_batch_norm",
    _forward,
    mutates_args=(),
    schema=f"(Tensor x, {_PARTITION}, Tensor? mean, Tensor? var, {_OPTIONS})"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
)
backward_operator = torch.library.custom_op(
    "tritonbn::local_batch_norm_backward",
    _backward,
    mutates_args=(),
    schema=f"(Tensor dy, Tensor x, {_PARTITION}, Tensor mean, Tensor var, Tensor? count, "
    f"Tensor? estimates, {_OPTIONS}) -> (Tensor, Tensor, Tensor, Tensor)",
)


@forward_operator.register_fake
def _(x: Tensor, _: Any, sizes: Sequence[int], *arguments: Any) -> tuple[Tensor, ...]:
    given_mean = arguments[3]
    shape = (x.shape[1], sizes[0]) if given_mean is None else (0,)
    mean, var = (x.new_empty(shape, dtype=wide_dtype(x)) for _ in range(2))
    count = x.new_empty(shape[-1], dtype=wide_dtype(x))
    pooled = (0,) if arguments[5] is None else (3, *shape)
    return empty_like(x), mean, var, count, x.new_empty(pooled, dtype=wide_dtype(x))


@backward_operator.register_fake
def _(dy: Tensor, x: Tensor, _: Any, sizes: Sequence[int], *arguments: Any) -> tuple[Tensor, ...]:
    shape = (x.shape[1], sizes[0])
    dweight, dbias = (x.new_empty(shape, dtype=compute_dtype(x)) for _ in range(2))
    tau = arguments[8]
    dtau = x.new_empty(0 if tau is None else len(tau), dtype=wide_dtype(x))
    return empty_like(x), dweight, dbias, dtau


forward_operator.register_autograd(partial(_differentiate, backward_operator), setup_context=_save)
backward_operator.register_autograd(_differentiate_twice, setup_context=_save_for_second)
