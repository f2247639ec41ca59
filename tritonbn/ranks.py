"""Statistics over the ranks of a process group: what the ranks exchange, and how it is merged.

Forward, every rank gathers the mean, the sum of squared deviations and the count of all ranks,
``2 * C * S + S`` numbers from each. Backward, two sums of shape (C, S) are added up over the ranks.
All of them are float64, and all ranks merge them in the same order, so that their results are
bitwise equal.
"""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from tritonbn.tensors import Statistics, wide_dtype

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class Gathered(NamedTuple):
    """Statistics of R ranks: means and sums of squared deviations (R, C, S), and counts (R, S)."""

    mean: Tensor
    m2: Tensor
    counts: Tensor


def name_of(group: "ProcessGroup | str | None") -> str | None:
    """Return the name of a process group, by which operators and pickled layers refer to it."""
    if group is None or isinstance(group, str):
        return group
    name = getattr(group, "group_name", None)
    if not isinstance(name, str):
        raise TypeError(
            "process_group must be a torch.distributed.ProcessGroup that this process belongs to, "
            f"its name or None; got {group!r}"
        )
    return name


def find(name: str) -> "ProcessGroup":
    """Return the process group with this name.

    Raises
    ------
    ValueError
        If there is none in this process.
    """
    if not torch.distributed.is_available():
        raise ValueError("this PyTorch was built without torch.distributed, so it has no groups")
    try:
        c10d: Any = torch.distributed.distributed_c10d
        group: ProcessGroup = c10d._resolve_process_group(name)
    except RuntimeError as error:
        raise ValueError(
            f"this process has no process group named {name!r}: call "
            "torch.distributed.init_process_group first, or set process_group to None to use the "
            "statistics of this process alone"
        ) from error
    return group


def gather(own: Statistics, name: str) -> Gathered:
    """Return the statistics of all ranks, given those of the batch of this one."""
    mean, var, counts = own
    assert counts is not None
    group = find(name)
    packed = torch.cat([mean.flatten(), (var * counts).flatten(), counts])
    everything = packed.new_empty(group.size(), len(packed))
    torch.distributed.all_gather(list(everything.unbind()), packed, group)
    values = everything[:, : 2 * mean.numel()].view(-1, 2, *mean.shape)
    return Gathered(
        values[:, 0].contiguous(),
        values[:, 1].contiguous(),
        everything[:, 2 * mean.numel() :].contiguous(),
    )


def merge(gathered: Gathered) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean, variance and counts over all ranks (Chan, Golub, LeVeque, 1979)."""
    means, m2, all_counts = gathered
    counts = all_counts.sum(0)
    m = counts.clamp(min=1)
    mean = (means * (all_counts / m)[:, None]).sum(0)
    deviations = m2 + all_counts[:, None] * (means - mean).square()
    return mean, deviations.sum(0) / m, counts


def sum_gradients(dweight: Tensor, dbias: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Return the sums of both gradients (C, S) over all ranks, each in its own dtype."""
    sums = torch.stack([dweight, dbias]).to(wide_dtype(dweight))
    torch.distributed.all_reduce(sums, group=find(name))
    return sums[0].to(dweight.dtype), sums[1].to(dbias.dtype)


@torch.library.custom_op("tritonbn::sum_over_ranks", mutates_args=())
def differentiable_sum(own: Tensor, name: str) -> Tensor:
    """Return the sum over all ranks, whose gradient is the sum of the gradients of all ranks."""
    total = own.clone(memory_format=torch.contiguous_format)
    torch.distributed.all_reduce(total, group=find(name))
    return total


@differentiable_sum.register_fake
def _(own: Tensor, name: str) -> Tensor:
    return torch.empty_like(own, memory_format=torch.contiguous_format)


def _save_name(ctx: Any, inputs: tuple[Tensor, str], output: Tensor) -> None:
    ctx.name = inputs[1]


differentiable_sum.register_autograd(
    lambda ctx, gradient: (differentiable_sum(gradient, ctx.name), None), setup_context=_save_name
)
