"""The backends: which of them runs, and how each is called."""

import os
import warnings
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from tritonbn import native
from tritonbn.caller import wants_other_derivatives
from tritonbn.partition import Partition
from tritonbn.segments import plain_tensors
from tritonbn.tensors import Affine, Running, Statistics, compute_dtype, wide_dtype

Backend = Literal["auto", "triton", "native", "reference"]

_tried: dict[torch.device, bool] = {}
_HAS_TRITON = find_spec("triton") is not None
_TRITON_TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def choose_backend(wanted: Backend, x: Tensor) -> Backend:
    """Return the backend for x: the wanted one, or for "auto" the fastest that can run.

    Raises
    ------
    ValueError
        If the one that is wanted cannot run; the message says why.
    """
    if wants_other_derivatives() and wanted != "reference":
        if wanted != "auto":
            raise ValueError(
                f'backend "{wanted}" has no forward-mode derivatives, and no nested or compiled '
                'ones of torch.func; "reference" and "auto" have'
            )
        return "reference"
    if wanted == "auto":
        return "triton" if x.is_cuda and _can_use_triton(x) else "native"
    if wanted == "triton" and (reason := why_not_triton(x)):
        raise ValueError(f'backend "triton" cannot run: {reason}')
    return wanted


def _can_use_triton(x: Tensor) -> bool:
    return why_not_triton(x) is None and (isinstance(x, FakeTensor) or _runs_on(x.device))


def _runs_on(device: torch.device) -> bool:
    """Whether Triton can compile for a GPU and launch there."""
    if device not in _tried:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            return True  # nothing can be tried
        _tried[device] = _try(device)
    return _tried[device]


# what torch.compiler.assume_constant_result does, which imports the whole compiler
_runs_on._dynamo_marked_constant = True  # type: ignore[attr-defined]


@plain_tensors()
def _try(device: torch.device) -> bool:
    """Try a kernel, and warn of what prevents it."""
    try:
        from tritonbn.kernels import probe

        probe.run(device)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        warnings.warn(
            f"Triton cannot run on {device}, so that local batch normalization is computed by the "
            f"slower operations of PyTorch there: {reason[0]}",
            stacklevel=2,
        )
        return False
    return True


def why_not_triton(x: Tensor) -> str | None:
    """Say why the Triton kernels cannot run on x, if they cannot."""
    if not has_triton():
        return "Triton is not installed (it has packages for Linux only)"
    if x.dtype not in _TRITON_TYPES:
        return f"x must be of one of the types {_TRITON_TYPES}, got {x.dtype}"
    interpreted = x.device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"
    if not x.is_cuda and not interpreted:
        return f"x must be on a CUDA or ROCm GPU, got {x.device} (TRITON_INTERPRET=1 allows cpu)"
    return None


def has_triton() -> bool:
    """Whether Triton is installed; it is not imported."""
    return _HAS_TRITON


def forward(
    backend: str,
    x: Tensor,
    partition: Partition,
    mask: Tensor | None,
    given: tuple[Tensor, Tensor] | None,
    affine: Affine,
    running: Running | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalize x, by the statistics of the batch or those given.

    Only "triton" knows of activations and running statistics.

    Returns
    -------
    y : Tensor, shape, type and memory format of x
    mean, var, count : Tensor, shape (C, S), (C, S) and (S,)
        Of the batch; empty where the statistics were given.
    """
    if backend == "triton" and x.numel() > 0:
        from tritonbn.kernels import launch

        y, mean, var, count = launch.forward(x, partition, mask, given, affine, running)
    else:
        y, mean, var, count = native.forward(
            x,
            partition.ids,
            partition.segments,
            affine.weight,
            affine.bias,
            mask,
            given,
            affine.eps,
        )
    if given is not None or count is None:
        mean, var, count = (x.new_empty(0, dtype=wide_dtype(x)) for _ in range(3))
    return y, mean, var, count


def backward(
    backend: str,
    dy: Tensor,
    x: Tensor,
    partition: Partition,
    mask: Tensor | None,
    statistics: Statistics,
    affine: Affine,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of x, and in the type computed in those of weight and bias.

    Without a count, mean and variance do not depend on x.
    """
    if backend == "triton" and x.numel() > 0:
        from tritonbn.kernels import launch

        return launch.backward(dy, x, partition, mask, statistics, affine)
    mean, var, counts = statistics
    mean, var = mean.to(wide_dtype(x)), var.to(wide_dtype(x))
    dx, dweight, dbias = native.backward(
        dy,
        x,
        partition.ids,
        affine.weight,
        mask,
        mean,
        var,
        mean.new_ones(partition.segments) if counts is None else counts,
        affine.eps,
        counts is not None,
    )
    return dx, dweight.to(compute_dtype(x)), dbias.to(compute_dtype(x))
