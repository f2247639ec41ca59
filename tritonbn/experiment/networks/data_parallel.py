"""`Ranks`: the processes that train a network together, each with a part of every batch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tritonbn.convert import convert_sync_localbn
from tritonbn.experiment.networks.config import ConfigError
from tritonbn.ops import local_batch_norm
from tritonbn.segments import Segments

_TIMEOUT = timedelta(hours=2)
"""How long processes wait for each other; the first one may have to download or read the data."""


class Ranks:
    """The processes that train a network together; by default this process alone.

    All of them draw the same batches, and compute the fields of their part. The fields are
    exchanged, so that the loss is that of the whole batch. Normalization and dropout are those of
    the whole batch, too. Therefore the results are those of a single process, up to rounding.
    Exceptions are symmetric networks, where each sample is turned in another way, and dropout on a
    GPU, which draws other random numbers.

    Parameters
    ----------
    rank : int, default 0
        The number of this process.
    size : int, default 1
        The number of processes.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @property
    def is_first(self) -> bool:
        """Whether this process reads and writes files and shows the progress."""
        return self.rank == 0

    def share(self, value: Any) -> Any:
        """Return the value of the first process."""
        if self.size == 1:
            return value
        values = [value]
        torch.distributed.broadcast_object_list(values, src=0)
        return values[0]

    def part(self, samples: int, rank: int | None = None) -> slice:
        """Return which samples of a batch a process computes, by default this one."""
        rank = self.rank if rank is None else rank
        return slice(samples * rank // self.size, samples * (rank + 1) // self.size)

    def parallel(self, model: nn.Module, samples: int) -> nn.Module:
        """Prepare a model, in place, for batches of this size; return what to call in training.

        Raises
        ------
        ConfigError
            If there are fewer samples than processes.
        """
        if self.size == 1:
            return model
        if samples < self.size:
            raise ConfigError(
                f"batch_size must be at least the number of processes, {self.size}, got {samples}"
            )
        convert_sync_localbn(model)
        for module in model.modules():
            if type(module) is nn.BatchNorm2d:
                module.__class__ = _SyncBatchNorm2d
            elif type(module) is nn.Dropout:
                module.__class__ = _DropoutOfPart
                vars(module).update(samples=samples, part=self.part(samples))
        # static: some weights have no gradient, in the same way in every step
        return DistributedDataParallel(model, static_graph=True)

    def gather(self, own: Tensor, samples: int) -> Tensor:
        """Return a tensor of the whole batch, given that of the part of this process.

        Gradients take into account that `DistributedDataParallel` averages those of all processes.
        """
        if self.size == 1:
            return own
        whole: Tensor = _Gather.apply(own, self, samples)  # type: ignore[no-untyped-call]
        return whole


def is_torchrun() -> bool:
    """Return whether ``torchrun`` has started this process."""
    return torch.distributed.is_available() and torch.distributed.is_torchelastic_launched()


@contextmanager
def ranks_of_torchrun(device: torch.device | None) -> Iterator[tuple[Ranks, torch.device | None]]:
    """Join the processes that ``torchrun`` has started; without it, there is one process.

    Parameters
    ----------
    device : torch.device or None
        None means a GPU for each process if there are any.

    Yields
    ------
    Ranks
    torch.device or None
        The device of this process.

    Raises
    ------
    ConfigError
        If this machine has GPUs, but fewer than processes.
    """
    if not is_torchrun():
        yield Ranks(), device
        return
    backend = "gloo"
    wants_gpu = device is None or (device.type == "cuda" and device.index is None)
    if wants_gpu and torch.cuda.is_available():
        here, gpus = int(os.environ["LOCAL_WORLD_SIZE"]), torch.cuda.device_count()
        if here > gpus:
            raise ConfigError(
                f"every process needs a GPU, but this machine has {gpus} for {here} processes; "
                "start fewer, or choose --device cpu"
            )
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        backend = "nccl" if torch.distributed.is_nccl_available() else "gloo"
    c10d: Any = torch.distributed
    store, rank, size = next(c10d.rendezvous("env://"))
    if os.environ["LOCAL_WORLD_SIZE"] == os.environ["WORLD_SIZE"]:
        # the store outlives a restart, with the addresses of processes that no longer exist; but
        # every machine counts its own restarts
        store = c10d.PrefixStore(os.environ["TORCHELASTIC_RESTART_COUNT"], store)
    c10d.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_TIMEOUT)
    try:
        yield Ranks(rank, size), device
    finally:
        torch.distributed.destroy_process_group()


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, ranks: Ranks, samples: int) -> Tensor:
        ctx.ranks, ctx.samples = ranks, samples
        sizes = [len(range(samples)[ranks.part(samples, rank)]) for rank in range(ranks.size)]
        padded = own.new_zeros(max(sizes), *own.shape[1:])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in sizes]
        torch.distributed.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = gradients
        return gradient[ctx.ranks.part(ctx.samples)] * ctx.ranks.size, None, None


class _SyncBatchNorm2d(nn.BatchNorm2d):
    """`torch.nn.SyncBatchNorm`, which computes on GPUs only, for any device."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        return local_batch_norm(
            x,
            _single(tuple(x.shape[2:])),
            self.running_mean[:, None],
            self.running_var[:, None],
            self.weight[:, None],
            self.bias[:, None],
            training=True,
            momentum=self.momentum or 0.0,
            eps=self.eps,
            process_group=torch.distributed.group.WORLD,
        )


class _DropoutOfPart(nn.Dropout):
    """Dropout that draws the numbers of the whole batch, and uses those of a part."""

    samples: int
    part: slice

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        kept = x.new_empty(self.samples, *x.shape[1:]).bernoulli_(1 - self.p)
        return x * kept[self.part].div_(1 - self.p)


_single = cache(Segments.single)
