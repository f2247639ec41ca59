"""Who calls the layer: eager code, a tracer, or a transform of functions."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import Parameter

_functorch = torch._C._functorch


def wants_plain_operations() -> bool:
    """Whether a model is being written to a file, for those who may not have this package."""
    return torch.compiler.is_exporting() or is_jit_traced()


def is_jit_traced() -> bool:
    """Whether `torch.jit.trace` calls, or the exporter to ONNX that uses it."""
    return not torch.compiler.is_compiling() and torch._C._is_tracing()


def wants_registered_operator(x: Tensor) -> bool:
    """Whether x has no values, or is looked at by more than autograd."""
    return (
        torch.compiler.is_compiling()
        or is_jit_traced()
        or type(x) not in (Tensor, Parameter)
        or x.is_meta
    )


def is_transformed() -> bool:
    """Whether a transform of `torch.func` calls."""
    return torch._C._are_functorch_transforms_active()


def wants_more_than_gradients() -> bool:
    """Whether a backward pass is itself differentiated or transformed."""
    return torch.is_grad_enabled() or is_transformed() or forward_ad._current_level >= 0


def wants_other_derivatives() -> bool:
    """Whether derivatives are forward-mode, or of `torch.func` and nested or compiled."""
    if forward_ad._current_level >= 0:
        return True
    if torch.compiler.is_compiling():
        return is_transformed()
    return _transforms().count(_functorch.TransformType.Grad) > 1


def is_shared_by_a_batch(running_mean: Tensor) -> bool:
    """Whether `torch.vmap` calls with several batches, of which there is one running mean."""
    if torch.compiler.is_compiling() or _functorch.TransformType.Vmap not in _transforms():
        return False
    while _functorch.is_gradtrackingtensor(running_mean):
        running_mean = _functorch.get_unwrapped(running_mean)
    return not _functorch.is_batchedtensor(running_mean)


def _transforms() -> list[Any]:
    stack = _functorch.get_interpreter_stack() if is_transformed() else ()
    return [level.key() for level in stack]


def is_mapped_by_autograd() -> bool:
    """Whether gradients come in batches, as of `torch.autograd.grad(is_grads_batched=True)`."""
    if torch.compiler.is_compiling():
        return False
    depth = torch._C._vmapmode_increment_nesting()  # the only way to ask is to enter and leave
    torch._C._vmapmode_decrement_nesting()
    return depth > 1
