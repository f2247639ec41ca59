"""Make the runs that are not there yet: one after the other, or side by side in processes."""

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from queue import Queue
from threading import Event as Stop
from typing import Any

import torch
from rich.console import Console

from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.display import RunDisplay
from tritonbn.experiment.results import Results

Event = tuple[str, tuple[Any, ...]]
"""A method of `RunDisplay`, and what to call it with."""


def make_runs(
    results: Results,
    configs: Sequence[RunConfig],
    device: torch.device | None,
    console: Console,
    jobs: int = 1,
) -> None:
    """Train and test what is not finished yet, and show how far it is.

    The tables of the folder are written anew after each run.

    Parameters
    ----------
    results : Results
        The folder to work in.
    configs : sequence of RunConfig
        The runs wanted.
    device : torch.device, optional
        Default: the GPU if there is one.
    console : Console
        Where to show progress.
    jobs : int
        How many runs at a time; each has its share of the processor's cores. Default 1.
    """
    missing = [config for config in configs if not results.finished(config)]
    if not missing:
        console.print(f"All {len(configs)} runs are there; nothing to train.")
        return
    with RunDisplay(results, len(missing), console) as display:
        if jobs > 1:
            _side_by_side(results, missing, device, display, jobs)
            return
        for config in missing:
            display.start(config.name)
            result = results.run(
                config,
                device=device,
                on_step=partial(display.on_step, config),
                on_progress=partial(display.on_progress, config),
            )
            _finish(results, display, config, result)


def _finish(
    results: Results, display: RunDisplay, config: RunConfig, result: dict[str, Any]
) -> None:
    results.write_tables()
    display.finish(config.name, result)


def _side_by_side(
    results: Results,
    configs: Sequence[RunConfig],
    device: torch.device | None,
    display: RunDisplay,
    jobs: int,
) -> None:
    for protocol in {config.protocol for config in configs}:
        results.reference(protocol)  # or every process would make it
    context = get_context("spawn")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(
            jobs, context, initializer=torch.set_num_threads, initargs=(threads,)
        ) as pool,
    ):
        events: Queue[Event] = manager.Queue()
        stop = manager.Event()
        running = {
            pool.submit(_run, results.directory, config, device, events, stop): config
            for config in configs
        }
        try:
            while running:
                done, _ = wait(running, timeout=0.2)
                while not events.empty():
                    method, arguments = events.get()
                    getattr(display, method)(*arguments)
                for future in done:
                    _finish(results, display, running.pop(future), future.result())
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)  # before what the workers report to is gone
            raise


class _StoppedError(Exception):
    """Another run has failed, or the user has had enough."""


def _run(
    directory: Path,
    config: RunConfig,
    device: torch.device | None,
    events: "Queue[Event]",
    stop: Stop,
) -> dict[str, Any]:
    def tell(method: str, *arguments: Any) -> None:
        if stop.is_set():
            raise _StoppedError
        events.put((method, arguments))

    tell("start", config.name)
    return Results.open(directory).run(
        config,
        device=device,
        on_step=lambda info: tell("on_step", config, info),
        on_progress=lambda done, total: tell("on_progress", config, done, total),
    )
