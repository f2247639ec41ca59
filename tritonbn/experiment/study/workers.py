"""`Workers`: an executor of runs, and how the runs report their progress."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.managers import SyncManager
from multiprocessing.process import BaseProcess
from queue import Queue
from threading import Event as Flag
from threading import Thread
from typing import Any

import torch

from data_prep.city import CityData

Event = tuple[str, tuple[Any, ...]]
"""The name of a method of `RunDisplay`, and its arguments."""

Report = Callable[[Event], None]


class StoppedError(Exception):
    """Nobody waits for a run any more: another one has failed, or the user has interrupted all."""


class WorkersLostError(RuntimeError):
    """Workers have ended or cannot be reached; the message says what to do."""


@dataclass(frozen=True)
class Workers:
    """An executor of runs, and how the runs report their progress.

    Parameters
    ----------
    executor : Executor
    report : callable
        Called by a run in a worker, with an event. Can be pickled. Raises `StoppedError` if the run
        shall stop.
    received : callable
        Returns the events since the last call.
    send : callable
        Takes a city, and returns what a task is given in place of it: nothing if the workers read
        it from the results folder.
    losses : tuple of exception types
        What a future raises if workers have ended.
    lost : str
        What to tell the user then.
    """

    executor: Executor
    report: Report
    received: Callable[[], list[Event]]
    send: Callable[[CityData], Any]
    losses: tuple[type[BaseException], ...]
    lost: str


Workforce = Callable[[int], AbstractContextManager[Workers]]
"""Returns the workers for a number of runs; an exception in the context stops all runs."""


def workforce_of(jobs: int, scheduler: str | None = None) -> Workforce | None:
    """Return the workers of a Dask cluster, or processes of this machine, or None for this process.

    Parameters
    ----------
    jobs : int
        Number of processes of this machine, if there is no `scheduler`.
    scheduler : str, optional
        The address of a Dask scheduler, such as ``tcp://HOST:8786``.

    Raises
    ------
    ConfigError
        If the cluster cannot be used; see `dask_workers`.
    """
    if scheduler is not None:
        from tritonbn.experiment.study.cluster import dask_workers

        with dask_workers(scheduler, runs=0):  # an error is raised before any work
            return partial(dask_workers, scheduler)
    return partial(local_processes, jobs) if jobs > 1 else None


@contextmanager
def local_processes(jobs: int, runs: int) -> Iterator[Workers]:
    """Start at most `jobs` processes, which share the cores of the processor."""
    # it decides the last digits of the numbers, and so must not depend on how many runs are left
    threads = max(1, (os.cpu_count() or 1) // jobs)
    jobs = min(jobs, runs)
    context = get_context("spawn")
    manager = SyncManager(ctx=context)
    manager.start(_end_with_parent)
    with (
        manager,
        ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=(threads,)) as pool,
    ):
        report = _QueueReport(manager.Queue(), manager.Event())
        try:
            yield Workers(
                pool,
                report,
                report.received,
                send=lambda city: None,
                losses=(BrokenProcessPool,),
                lost="a process that made a run has ended, perhaps because the memory did not "
                "suffice; the same command, perhaps with fewer jobs, resumes the work",
            )
        except BaseException:
            with suppress(OSError, EOFError):  # a signal to all processes has ended the manager
                report.stop.set()
            pool.shutdown(cancel_futures=True)  # while the queue of the workers still exists
            raise


def _begin(threads: int) -> None:
    _end_with_parent()
    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """Let this process end when its parent has been killed, for which it would wait for ever."""

    def watch(parent: BaseProcess) -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, args=[parent_process()], daemon=True).start()


@dataclass(frozen=True)
class _QueueReport:
    events: "Queue[Event]"
    stop: Flag

    def __call__(self, event: Event) -> None:
        if self.stop.is_set():
            raise StoppedError
        self.events.put(event)

    def received(self) -> list[Event]:
        return [self.events.get() for _ in range(self.events.qsize())]
