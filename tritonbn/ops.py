"""`local_batch_norm`: its checks, the choice of a backend, and the running statistics."""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.graph import increment_version

from tritonbn import caller, export, reference
from tritonbn.backends import Backend, choose_backend
from tritonbn.checks import check_arguments, check_counts
from tritonbn.operator import ACTIVATIONS, eager_forward, forward_operator
from tritonbn.partition import Partition
from tritonbn.segments import Segments
from tritonbn.tensors import Running

Activation = Literal["relu", "silu", "sigmoid", "tanh"]


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
        Must be positive.
    mask : Tensor of bool, broadcastable to (N, 1, *extra, *grid), optional
        True = counts. What does not count is left out of the statistics and normalized all the
        same, so fill missing values before. A value that is left out and not finite (NaN, infinity)
        changes no other result, and adds nothing to the gradients of weight, bias and other values.
    activation : "relu", "silu", "sigmoid", "tanh" or None, default None
        Applied to the result, cells in no segment included.
    backend : "auto", "triton", "native" or "reference", default "auto"
        "triton" are the kernels for CUDA and ROCm, "native" is fast on every other device,
        "reference" is the definition in a few lines of PyTorch. "auto" is "triton" where it can
        run, else "native", and "reference" for forward-mode derivatives and for nested or
        compiled ones of `torch.func`, which the others do not have. Where Triton is installed and
        cannot compile, a warning says why, once.

    Returns
    -------
    Tensor
        Shape, type and memory format of x. Statistics are computed in float32 at least.

    Raises
    ------
    TypeError
        If an argument has a wrong type.
    ValueError
        If a shape, a device or an option does not fit, if `backend` cannot run, if running
        statistics would have to be updated under `torch.vmap`, or if a segment
        has a single value per channel to take statistics of; the message names the segment. What a
        mask leaves is looked at on the CPU and outside of `torch.compile` only, as the look would
        wait for a GPU; elsewhere the variance of a single value is 0.
    """
    parameters = {
        "running_mean": running_mean,
        "running_var": running_var,
        "weight": weight,
        "bias": bias,
    }
    check_arguments(x, segments, parameters, mask, eps)
    for name, option, options in (
        ("activation", activation, (None, *ACTIVATIONS)),
        ("backend", backend, get_args(Backend)),
    ):
        if option not in options:
            raise ValueError(f"{name} must be one of {options}, got {option!r}")
    backend = choose_backend(backend, x)
    partition = _partition_for(x, segments)
    given, running = None, None
    if running_mean is not None and running_var is not None:
        if not training:
            given = (running_mean, running_var)
        elif caller.is_shared_by_a_batch(running_mean):
            raise ValueError(
                "running statistics cannot be updated under vmap, which has several batches at "
                "once; evaluate, map over stacked buffers, or call "
                "torch.func.replace_all_batch_norm_modules_(model) before"
            )
        elif isinstance(momentum, Tensor):
            running = Running(running_mean, running_var, momentum, 0.0)
        else:
            running = Running(running_mean, running_var, None, momentum)
    if given is None:
        check_counts(x, segments, partition.ids, mask)

    fused = activation if backend == "triton" else None
    tensors = (weight, bias, mask, *(given or (None, None)))
    operands = (x, partition.tensors, partition.sizes, *tensors, eps, fused, backend)
    if backend == "reference":
        y, *statistics = reference.forward(
            x, partition.ids, partition.segments, weight, bias, mask, given, eps
        )
    elif given is not None and caller.wants_plain_operations():
        y, fused = export.normalize(x, partition.ids, weight, bias, given, eps), None
    elif caller.wants_registered_operator(x):
        y, *statistics = forward_operator(*operands)
    elif backend == "triton" and running is not None and not caller.is_transformed():
        y, *_ = eager_forward(*operands, running)
        increment_version(running[:2])
        running = None
    else:
        y, *statistics = eager_forward(*operands, None)
    if running is not None:
        _update_running(running, *statistics)
    if activation is not None and fused is None:
        y = ACTIVATIONS[activation](y)
    return y


def _partition_for(x: Tensor, segments: Segments) -> Partition:
    """Return the partition on the device of x, without values where x has none."""
    if isinstance(x, FakeTensor) and not x.fake_mode.allow_non_fake_inputs:
        partition = segments.on(torch.device("cpu"))
        fake = [x.fake_mode.from_tensor(t).to(x.device) for t in partition.tensors]
        return Partition.join(fake, partition.sizes)
    return segments.on(x.device)


@torch.no_grad()
def _update_running(running: Running, mean: Tensor, var: Tensor, count: Tensor) -> None:
    share = running.momentum if running.share is None else running.share
    unbiased = var * (count / (count - 1).clamp(min=1))
    for old, batch in ((running.mean, mean), (running.var, unbiased)):
        old.copy_(torch.where(count > 0, old + share * (batch - old), old))
