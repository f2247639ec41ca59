"""Train and test the missing runs of a results folder: one at a time, or in several processes."""

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

from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.folds import evaluate_networks, train_folds
from tritonbn.experiment.networks.predict import OnProgress
from tritonbn.experiment.networks.ranks import Ranks
from tritonbn.experiment.networks.train import OnStep
from tritonbn.experiment.study.display import RunDisplay, score_tables
from tritonbn.experiment.study.results import Results

Event = tuple[str, tuple[Any, ...]]
"""The name of a method of `RunDisplay`, and its arguments."""


def make_runs(
    results: Results,
    configs: Sequence[RunConfig],
    device: torch.device | None,
    console: Console,
    jobs: int = 1,
    ranks: Ranks | None = None,
) -> None:
    """Train and test the runs that are not finished, with progress bars.

    The tables of the folder are written after each run.

    Parameters
    ----------
    results : Results
        The results folder.
    configs : sequence of RunConfig
        All runs; the finished ones are left as they are.
    device : torch.device, optional
        Default: the GPU if there is one.
    console : Console
        Where to show progress.
    jobs : int
        How many runs at the same time; they share the cores of the processor. Default 1.
    ranks : Ranks, optional
        The processes that train each network together; see `train_network`. Default: this process
        alone.
    """
    missing = [config for config in configs if not results.is_finished(config)]
    if not missing:
        console.print(f"All {len(configs)} runs are finished; there is nothing to train.")
        return
    jobs = min(jobs, len(missing))
    with RunDisplay(len(missing), console, lambda: score_tables(results.runs())) as display:
        if jobs > 1:
            _side_by_side(results, missing, device, display, jobs)
            return
        for config in missing:
            display.start(config.name)
            result = _train_and_test(
                results,
                config,
                device,
                partial(display.on_step, config),
                partial(display.on_progress, config),
                ranks,
            )
            _finish(results, display, config, result)


def _train_and_test(
    results: Results,
    config: RunConfig,
    device: torch.device | None,
    on_step: OnStep,
    on_progress: OnProgress,
    ranks: Ranks | None = None,
) -> dict[str, Any]:
    """Make one run, or resume it, and return its row of `Results.runs`."""
    directory = results.run_directory(config)
    networks = train_folds(
        results.city, config, directory, device=device, on_step=on_step, ranks=ranks
    )
    return results.add(evaluate_networks(results.city, config, networks, on_progress))


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
        results.reference(protocol)  # otherwise every process would make it
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
            pool.shutdown(cancel_futures=True)  # while the queue of the workers still exists
            raise


class _StoppedError(Exception):
    """Another run has failed, or the user has interrupted the study."""


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
    return _train_and_test(
        Results.open(directory),
        config,
        device,
        lambda info: tell("on_step", config, info),
        lambda done, total: tell("on_progress", config, done, total),
    )
