"""`local_batch_norm`: its checks, the choice of a backend, and the running statistics."""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.autograd.graph import increment_version
from torch.nn import Parameter

from tritonbn import evaluation, reference
from tritonbn.arguments import Running
from tritonbn.backends import Backend, choose_backend
from tritonbn.checks import check_arguments, check_counts
from tritonbn.operator import ACTIVATIONS, eager_forward, forward_operator
from tritonbn.segments import Segments

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
    mask : Tensor of bool, broadcastable to (N, 1, *extra, *grid), optional
        True = counts. What does not count is left out of the statistics and normalized all the
        same, so fill missing values before.
    activation : "relu", "silu", "sigmoid", "tanh" or None, default None
        Applied to the result, cells in no segment included.
    backend : "auto", "triton", "native" or "reference", default "auto"
        "triton" are the kernels for CUDA and ROCm, "native" is fast on every other device,
        "reference" is the definition in a few lines of PyTorch. "auto" is "triton" where it can
        run, else "native".

    Returns
    -------
    Tensor
        Shape, type and memory format of x. Statistics are computed in float32 at least.

    Raises
    ------
    TypeError
        If an argument has a wrong type.
    ValueError
        If a shape, a device or an option does not fit, if `backend` cannot run, or if a segment
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
    check_arguments(x, segments, parameters, mask)
    for name, option, options in (
        ("activation", activation, (None, *ACTIVATIONS)),
        ("backend", backend, get_args(Backend)),
    ):
        if option not in options:
            raise ValueError(f"{name} must be one of {options}, got {option!r}")
    backend = choose_backend(backend, x)
    partition = segments.on(x.device)
    given, running = None, None
    if running_mean is not None and running_var is not None:
        if not training:
            given = (running_mean, running_var)
        elif isinstance(momentum, Tensor):
            running = Running(running_mean, running_var, momentum, 0.0)
        else:
            running = Running(running_mean, running_var, None, momentum)
    if given is None:
        check_counts(x, segments, partition.ids, mask)

    fused = activation if backend == "triton" else None
    operands = (x, *partition, weight, bias, mask, *(given or (None, None)))
    options = (eps, fused, backend)
    if backend == "reference":
        y, *statistics = reference.forward(
            x, partition.ids, partition.segments, weight, bias, mask, given, eps
        )
    elif given is not None and torch.compiler.is_exporting():
        y, fused = evaluation.normalize(x, partition.ids, weight, bias, given, eps), None
    elif torch.compiler.is_compiling() or type(x) not in (Tensor, Parameter):
        y, *statistics = forward_operator(*operands, *options)
    elif backend == "triton":
        y, *_ = eager_forward(*operands, *options, running)
        if running is not None:
            increment_version(running[:2])
            running = None
    else:
        y, *statistics = eager_forward(*operands, *options, None)
    if running is not None:
        _update_running(running, *statistics)
    if activation is not None and fused is None:
        y = ACTIVATIONS[activation](y)
    return y


@torch.no_grad()
def _update_running(running: Running, mean: Tensor, var: Tensor, count: Tensor) -> None:
    share = running.momentum if running.share is None else running.share
    unbiased = var * (count / (count - 1).clamp(min=1))
    for old, batch in ((running.mean, mean), (running.var, unbiased)):
        old.copy_(torch.where(count > 0, old + share * (batch - old), old))
