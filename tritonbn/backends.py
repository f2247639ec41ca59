"""Choose the backend that computes local batch normalization, and call it."""

import os
import warnings
from importlib.util import find_spec
from typing import Literal

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from tritonbn import native, ranks
from tritonbn.caller import wants_other_derivatives
from tritonbn.partition import Partition
from tritonbn.pooling import Pooling, no_estimates, no_tau
from tritonbn.segments import plain_tensors
from tritonbn.tensors import (
    Affine,
    Running,
    Statistics,
    compute_dtype,
    empty_like,
    wide_dtype,
)

Backend = Literal["auto", "triton", "native", "reference"]

_tried: dict[torch.device, bool] = {}
_HAS_TRITON = find_spec("triton") is not None
_TRITON_TYPES = (torch.float32, torch.bfloat16, torch.float16, torch.float64)


def choose_backend(wanted: Backend, x: Tensor) -> Backend:
    """Return the backend for x: the wanted one, or for "auto" the fastest one that can run.

    Raises
    ------
    ValueError
        If the wanted backend cannot run; the message gives the reason.
    """
    if wants_other_derivatives() and wanted != "reference":
        if wanted != "auto":
            raise ValueError(
                f'backend "{wanted}" supports neither forward-mode derivatives nor nested or '
                'compiled torch.func transforms; use "reference" or "auto"'
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
    """Return whether Triton can compile and launch a kernel on this GPU; tested once."""
    if device not in _tried:
        if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
            return True  # a test launch would become part of the CUDA graph
        _tried[device] = _try(device)
    return _tried[device]


# torch.compiler.assume_constant_result sets this flag, too, but imports the whole compiler
_runs_on._dynamo_marked_constant = True  # type: ignore[attr-defined]


@plain_tensors()
def _try(device: torch.device) -> bool:
    """Launch a test kernel; if that fails, warn with the reason and return False."""
    try:
        from tritonbn.kernels import probe

        probe.run(device)
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        warnings.warn(
            f"Triton cannot run on {device}, so tritonbn uses slower PyTorch operations there: "
            f"{reason[0]}",
            stacklevel=2,
        )
        return False
    return True


def why_not_triton(x: Tensor) -> str | None:
    """Return the reason why the Triton kernels cannot run on x, or None if they can."""
    if not has_triton():
        return "Triton is not installed (it is available for Linux only)"
    if x.dtype not in _TRITON_TYPES:
        return f"the dtype of x must be one of {_TRITON_TYPES}, got {x.dtype}"
    interpreted = x.device.type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"
    if not x.is_cuda and not interpreted:
        return f"x must be on a CUDA or ROCm GPU, got {x.device} (TRITON_INTERPRET=1 allows cpu)"
    return None


def has_triton() -> bool:
    """Return whether Triton is installed, without importing it."""
    return _HAS_TRITON


def forward(
    backend: str,
    x: Tensor,
    partition: Partition,
    mask: Tensor | None,
    given: tuple[Tensor, Tensor] | None,
    affine: Affine,
    running: Running | None,
    group: str | None,
    pooling: Pooling | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Normalize x with the statistics of the batch, or with the `given` mean and variance.

    The batch is that of all ranks of the process group with the name `group`, if there is one. Only
    the backend "triton" applies the activation. Running statistics of several levels, and with the
    backend "native" those of a process group or an empty batch, are left to the caller.

    Returns
    -------
    y : Tensor, shape, dtype and memory format of x
    mean, var, count : Tensor, shape (C, S), (C, S) and (S,)
        Statistics of the batch; empty if statistics were given.
    estimates : Tensor, shape (3, C, S)
        The result of `Pooling.finest`, with which x was normalized; empty without pooling.
    """
    if x.numel() == 0:
        y = empty_like(x)
        mean, var, count = _statistics_of_nothing(backend, x, partition, running, group)
        estimates = no_estimates(x)
        if pooling is not None and count is not None:
            estimates = pooling.finest(mean, var, count)
    elif backend == "triton":
        from tritonbn.kernels import launch

        y, mean, var, count, estimates = launch.forward(
            x, partition, mask, given, affine, running, group, pooling
        )
    else:
        y, mean, var, count, estimates = native.forward(
            x, partition, mask, given, affine, running, group, pooling
        )
    if given is not None or count is None:
        mean, var, count = (x.new_empty(0, dtype=wide_dtype(x)) for _ in range(3))
    return y, mean, var, count, estimates


def backward(
    backend: str,
    dy: Tensor,
    x: Tensor,
    partition: Partition,
    mask: Tensor | None,
    statistics: Statistics,
    affine: Affine,
    group: str | None,
    pooling: Pooling | None,
    estimates: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight, bias and tau; weight and bias in the compute dtype.

    Statistics without counts were given, and so do not depend on x. With a process group, x has
    influenced the outputs of all ranks; the gradients of weight and bias are those of this rank.
    The gradient of tau is 0 if `estimates` are given.
    """
    if x.numel() == 0:
        dweight = x.new_zeros(x.shape[1], partition.segments, dtype=compute_dtype(x))
        dbias = torch.zeros_like(dweight)
        if group is not None:
            ranks.sum_gradients(dweight, dbias, group)
        return empty_like(x), dweight, dbias, no_tau(x, pooling)
    if backend == "triton":
        from tritonbn.kernels import launch

        return launch.backward(
            dy, x, partition, mask, statistics, affine, group, pooling, estimates
        )
    return native.backward(dy, x, partition, mask, statistics, affine, group, pooling, estimates)


def statistics_of(backend: str, x: Tensor, partition: Partition) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, variance and count of the segments of x, shape (C, S), (C, S) and (S,)."""
    if x.numel() == 0:
        mean, var, count = _statistics_of_nothing(backend, x, partition, None, None)
    elif backend == "triton":
        from tritonbn.kernels import launch

        mean, var, count = launch.statistics_of(x, partition)
    else:
        mean, var, count = native.statistics(x, partition)
    assert count is not None
    return mean, var, count


def merge(backend: str, columns: Tensor, partition: Partition) -> Tensor:
    """Sum K numbers of the cells of each segment: from (K, C, cells) to (K, C, S)."""
    if backend == "triton" and columns.numel():
        from tritonbn.kernels import launch

        return launch.merge(columns, partition)
    return native.merge(columns, partition)


def _statistics_of_nothing(
    backend: str, x: Tensor, partition: Partition, running: Running | None, group: str | None
) -> Statistics:
    """Return the statistics of an empty batch, or of the other ranks if there is a group."""
    mean = x.new_zeros(x.shape[1], partition.segments, dtype=wide_dtype(x))
    own = Statistics(mean, torch.zeros_like(mean), mean.new_zeros(partition.segments))
    if group is None:
        return own
    gathered = ranks.gather(own, group)
    if backend == "triton":
        from tritonbn.kernels import launch, merging

        with launch.on_device_of(x):
            return merging.merge_ranks(gathered, running)
    return Statistics(*ranks.merge(gathered))
