"""Detect what calls the layer: eager code, a tracer, or a function transform such as vmap."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

_functorch = torch._C._functorch


def wants_plain_operations() -> bool:
    """Return whether a model is being exported, possibly to run without this package."""
    return torch.compiler.is_exporting() or is_jit_traced()


def is_jit_traced() -> bool:
    """Return whether `torch.jit.trace` is running, or the ONNX exporter that is based on it."""
    return not torch.compiler.is_compiling() and torch._C._is_tracing()


def wants_registered_operator(x: Tensor) -> bool:
    """Return whether x is being traced, has no values, or is a tensor subclass."""
    return (
        torch.compiler.is_compiling()
        or is_jit_traced()
        or type(x) not in (Tensor, Parameter)
        or x.is_meta
    )


def is_transformed() -> bool:
    """Return whether a `torch.func` transform is running."""
    return torch._C._are_functorch_transforms_active()


def wants_more_than_gradients() -> bool:
    """Return whether a backward pass will itself be differentiated or transformed."""
    return torch.is_grad_enabled() or is_transformed() or forward_ad._current_level >= 0


def wants_other_derivatives() -> bool:
    """Return whether derivatives are forward-mode, or nested or compiled `torch.func` ones."""
    if forward_ad._current_level >= 0:
        return True
    if torch.compiler.is_compiling():
        return is_transformed()
    return _transforms().count(_functorch.TransformType.Grad) > 1


def is_shared_by_a_batch(running_mean: Tensor) -> bool:
    """Return whether `torch.vmap` maps over several batches that share one running mean."""
    if torch.compiler.is_compiling() or _functorch.TransformType.Vmap not in _transforms():
        return False
    while _functorch.is_gradtrackingtensor(running_mean):
        running_mean = _functorch.get_unwrapped(running_mean)
    return not _functorch.is_batchedtensor(running_mean)


def _transforms() -> list[Any]:
    stack = _functorch.get_interpreter_stack() if is_transformed() else ()
    return [level.key() for level in stack]


def is_mapped_by_autograd() -> bool:
    """Return whether gradients are batched, as by `torch.autograd.grad(is_grads_batched=True)`."""
    if torch.compiler.is_compiling():
        return False
    depth = torch._C._vmapmode_increment_nesting()  # no function only reads the depth
    torch._C._vmapmode_decrement_nesting()
    return depth > 1
