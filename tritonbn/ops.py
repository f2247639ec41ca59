"""`local_batch_norm`: check the arguments, choose a backend, update the running statistics."""

from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.autograd.graph import increment_version

from tritonbn import caller, compiled, export, ranks, reference
from tritonbn.backends import Backend, choose_backend
from tritonbn.checks import (
    can_check_values,
    check_arguments,
    check_counts,
    check_momentum,
    check_single,
)
from tritonbn.native.arithmetic import PYTORCH
from tritonbn.native.running import update
from tritonbn.operator import ACTIVATIONS, eager_forward, forward_operator
from tritonbn.partition import Partition
from tritonbn.pooling import Pooling
from tritonbn.segments import Segments
from tritonbn.tensors import Running

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

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
    process_group: "ProcessGroup | str | None" = None,
    pooling: Pooling | None = None,
) -> Tensor:
    """Normalize x per channel with the mean and variance of each segment of the grid.

    For segment k and channel c, over the m values of x whose cell has id k and whose mask is True::

        mean = sum(x) / m          var = sum((x - mean)^2) / m
        y    = (x - mean) / sqrt(var + eps) * weight[c, k] + bias[c, k]

    This is the biased variance; the running variance is updated with the unbiased one. Cells with
    id -1, and segments without any included value in this batch, are returned unchanged, unless
    running statistics are used: then the mask affects no output. With one segment over the whole
    grid this is `torch.nn.functional.batch_norm`.

    Parameters
    ----------
    x : floating-point Tensor, shape ``(N, C, *extra, *grid)``
        The input; N samples, C channels, any extra dimensions, and the grid.
    segments : Segments
        The partition of the grid into S segments.
    running_mean, running_var : Tensor, shape (C, S), optional
        Updated in place if `training`, else used instead of the statistics of the batch. Both must
        be given or neither.
    weight, bias : Tensor, shape (C, S), optional
        Scale and offset. Defaults: 1 and 0.
    training : bool, default False
        Whether to use the statistics of the batch. Without running statistics they are always used.
    momentum : float or Tensor of one element, default 0.1
        The weight of the batch in the updated running statistics.
    eps : float, default 1e-5
        Added to the variance for numerical stability; must be positive.
    mask : Tensor of bool, broadcastable to ``(N, 1, *extra, *grid)``, optional
        True where a value is included in the statistics. Excluded values are normalized, too, so
        fill in missing values first. An excluded value that is NaN or infinite affects no other
        output, and contributes nothing to the gradients of weight, bias and other values.
    activation : "relu", "silu", "sigmoid", "tanh" or None, default None
        Applied to the result, including cells without a segment.
    backend : "auto", "triton", "native" or "reference", default "auto"
        "triton" uses the Triton kernels for CUDA and ROCm, "native" uses PyTorch operations that
        are fast on all other devices, "reference" is the definition in a few lines of PyTorch.
        "auto" chooses "triton" if it can run and "native" otherwise, but "reference" for
        forward-mode derivatives and for nested or compiled `torch.func` transforms, which only that
        backend supports. If Triton is installed but cannot compile, one warning gives the reason.
    process_group : torch.distributed.ProcessGroup, its name, or None, default None
        If given, the statistics of the batch are those of the values of all ranks of the group. All
        ranks must then make the same calls, with the same segments, number of channels and backend;
        the batch of a rank may be empty. The gradients are those of the sum of the losses of all
        ranks, but a rank contributes only its own part to the gradients of weight and bias.
    pooling : Pooling, optional
        Levels of segments, made by `tritonbn.LocalBN`, which is the way to use them.

    Returns
    -------
    Tensor
        Shape, dtype and memory format of x. Statistics are computed in float32 or float64.

    Raises
    ------
    TypeError
        If an argument has a wrong type.
    ValueError
        If a shape, a device or an option is wrong, if `backend` cannot run, if running statistics
        would have to be updated under `torch.vmap`, or if the statistics of the batch are used and
        a segment has a single value per channel; the message names the segment. With a mask, a
        process group or levels, where it is a segment of the coarsest one, this last check is made
        on the CPU in eager mode only, because it would wait for the GPU; elsewhere the variance of
        a single value is 0.
    NotImplementedError
        If a process group is given, and derivatives are forward-mode, or nested or compiled ones of
        `torch.func`.
    RuntimeError
        If another rank of the process group has ended, or does not take part within the timeout of
        the group.

    See Also
    --------
    tritonbn.LocalBN : The same as a layer.

    Examples
    --------
    >>> import torch
    >>> from tritonbn import Segments, local_batch_norm
    >>> x = torch.tensor([[[[1.0, 3.0, 10.0, 50.0]]]])  # one sample, one channel, a 1x4 grid
    >>> segments = Segments([[0, 0, 1, 1]])
    >>> local_batch_norm(x, segments, training=True).round(decimals=3)
    tensor([[[[-1.,  1., -1.,  1.]]]])
    """
    parameters = {
        "running_mean": running_mean,
        "running_var": running_var,
        "weight": weight,
        "bias": bias,
    }
    check_arguments(x, segments, parameters, mask)
    check_options(activation, backend, eps)
    check_momentum(momentum)
    backend = choose_backend(backend, x)
    partition = _partition_for(x, segments)
    given, running = None, None
    if running_mean is not None and running_var is not None:
        if not training:
            given = (running_mean, running_var)
        elif caller.is_shared_by_a_batch(running_mean):
            raise ValueError(
                "running statistics cannot be updated under torch.vmap, because several batches "
                "share them; switch to evaluation mode, map over stacked buffers, or first call "
                "torch.func.replace_all_batch_norm_modules_(model)"
            )
        elif isinstance(momentum, Tensor):
            running = Running(running_mean, running_var, momentum, 0.0)
        else:
            running = Running(running_mean, running_var, None, momentum)
    group = None if given is not None else ranks.name_of(process_group)
    if group is not None and (
        caller.wants_other_derivatives() or (backend == "reference" and caller.is_transformed())
    ):
        raise NotImplementedError(
            "statistics over the ranks of a process group support neither forward-mode derivatives "
            'nor, with backend "reference" or in a nested or compiled way, torch.func transforms'
        )
    pooling = None if given is not None else pooling
    if given is None and group is None and pooling is None:
        check_counts(x, segments, partition.ids, mask)

    fused = activation if backend == "triton" else None
    tensors = (weight, bias, mask, *(given or (None, None)), *(pooling or (None, None, None)))
    operands = (x, partition.tensors, partition.sizes, *tensors, eps, fused, backend, group)
    if backend == "reference":
        y, *statistics = reference.forward(
            x, partition.ids, partition.segments, weight, bias, mask, given, eps, group, pooling
        )
    elif given is not None and caller.wants_plain_operations():
        y, fused = export.normalize(x, partition.ids, weight, bias, given, eps), None
    elif (
        torch.compiler.is_compiling()
        and mask is None
        and group is None
        and pooling is None
        and compiled.saves_passes(x, partition, given, fused, backend)
    ):
        y, statistics = compiled.normalize(x, partition, weight, bias, given, eps, backend)
        fused = None
    elif caller.wants_registered_operator(x):
        y, *statistics = forward_operator(*operands)
    elif (
        (backend == "triton" or (group is None and x.numel() > 0))
        and running is not None
        and pooling is None
        and not caller.is_transformed()
    ):
        y, *statistics = eager_forward(*operands, running)
        increment_version(running[:2])
        running = None
    else:
        y, *statistics = eager_forward(*operands, None)
    if can_check_values(x):
        if pooling is not None:
            check_single(
                pooling.counts(statistics[2]),
                "the segment of the coarsest level that contains segment",
            )
        elif group is not None:
            check_single(statistics[2])
    if running is not None:
        _update_running(running, pooling, *statistics)
    if activation is not None and fused is None:
        y = ACTIVATIONS[activation](y)
    return y


def check_options(activation: str | None, backend: str, eps: float) -> None:
    """Raise `ValueError` for an option that does not exist, or `eps` that is not positive."""
    for name, option, options in (
        ("activation", activation, (None, *ACTIVATIONS)),
        ("backend", backend, get_args(Backend)),
    ):
        if option not in options:
            raise ValueError(f"{name} must be one of {options}, got {option!r}")
    if not eps > 0:
        raise ValueError(f"eps must be positive, got {eps}")


def _partition_for(x: Tensor, segments: Segments) -> Partition:
    """Return the partition on the device of x, as fake tensors if x is one."""
    if isinstance(x, FakeTensor) and not x.fake_mode.allow_non_fake_inputs:
        partition = segments.on(torch.device("cpu"))
        fake = [x.fake_mode.from_tensor(t).to(x.device) for t in partition.tensors]
        return Partition.join(fake, partition.sizes)
    return segments.on(x.device)


@torch.no_grad()
def _update_running(
    running: Running,
    pooling: Pooling | None,
    mean: Tensor,
    var: Tensor,
    count: Tensor,
    estimates: Tensor | None = None,
) -> None:
    if pooling is None:
        update(running, mean, var, count, PYTORCH)
    else:
        assert estimates is not None
        mean, _, var = estimates
        update(running, mean, var, pooling.counts(count), PYTORCH, unbiased=True)
