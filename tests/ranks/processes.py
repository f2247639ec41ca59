"""Start several processes that form a process group, and collect what they return.

The functions that run in the processes are in modules beside the tests, because a new process
cannot import a test module.
"""

import os
from contextlib import suppress
from datetime import timedelta
from time import monotonic

import torch

MOST_SECONDS = 900
"""After which processes that have not ended are taken for hanging."""


def run_ranks(function, world, folder, *arguments, timeout=60, lost=()):
    """Call ``function(*arguments)`` in each of `world` processes; return one result per rank.

    Ranks that are `lost` are not waited for, and return nothing.
    """
    spawned = (function, world, str(folder), timeout, arguments)
    processes = torch.multiprocessing.spawn(_run, spawned, nprocs=world, join=False)
    ranks = [rank for rank in range(world) if rank not in lost]
    started = monotonic()
    try:
        while any(processes.processes[rank].is_alive() for rank in ranks):
            assert monotonic() - started < MOST_SECONDS, "the processes hang"
            processes.join(timeout=0.1)
    finally:
        for process in processes.processes:
            process.kill()
    return [torch.load(folder / f"rank{rank}", weights_only=False) for rank in ranks]


def _run(rank, function, world, folder, timeout, arguments):
    os.environ["TRITON_INTERPRET"] = "1"
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=timeout),
    )
    torch.save(function(*arguments), f"{folder}/rank{rank}")
    with suppress(RuntimeError):  # after a test of a lost rank
        torch.distributed.barrier()
    torch.distributed.destroy_process_group()
