"""Train and test the missing runs of a results folder: one at a time, or by several workers."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from time import monotonic

import torch
from rich.console import Console

from data_prep.city import DataError
from data_prep.files import atomic_path
from tritonbn.experiment.networks.checkpoint import FILE_NAME
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.folds import evaluate_networks, train_folds
from tritonbn.experiment.networks.ranks import Ranks
from tritonbn.experiment.networks.train import StepInfo
from tritonbn.experiment.study.display import RunDisplay, score_tables
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.study.workers import Report, Workers, WorkersLostError, Workforce
from tritonbn.experiment.task.record import Record

_REPORT_SECONDS = 0.2
"""The shortest time between two reports of a worker about a run."""

_one_at_a_time = Lock()
"""Runs seed the generators of the process, so that threads of a worker must take turns."""


def make_runs(
    results: Results,
    configs: Sequence[RunConfig],
    device: torch.device | None,
    console: Console,
    *,
    workforce: Workforce | None = None,
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
    workforce : callable, optional
        Workers that make several runs at the same time; see `workforce_of`. Default: this process
        makes one run after the other.
    ranks : Ranks, optional
        The processes that train each network together, without a `workforce`; see `train_network`.
        Default: this process alone.

    Raises
    ------
    WorkersLostError
        If workers have ended.
    """
    missing = [config for config in configs if not results.is_finished(config)]
    if not missing:
        console.print(f"All {len(configs)} runs are finished; there is nothing to train.")
        return
    with RunDisplay(len(missing), console, lambda: score_tables(results.runs())) as display:
        if workforce is not None:
            for protocol in {config.protocol for config in missing}:
                results.reference(protocol)
            with workforce(len(missing)) as workers:
                _side_by_side(results, missing, device, display, workers)
            return
        for config in missing:
            display.start(config.name)
            city, directory = results.city, results.run_directory(config)
            on_step = partial(display.on_step, config)
            networks = train_folds(
                city, config, directory, device=device, on_step=on_step, ranks=ranks
            )
            on_progress = partial(display.on_progress, config)
            _finish(
                results, display, config, evaluate_networks(city, config, networks, on_progress)
            )


def _finish(results: Results, display: RunDisplay, config: RunConfig, record: Record) -> None:
    row = results.add(record)
    results.write_tables()
    display.finish(config.name, row)


def _side_by_side(
    results: Results,
    configs: Sequence[RunConfig],
    device: torch.device | None,
    display: RunDisplay,
    workers: Workers,
) -> None:
    sent = replace(results, directory=results.directory.absolute())
    running = {
        workers.executor.submit(_make_elsewhere, sent, config, device, workers.report): config
        for config in configs
    }
    while running:
        done, _ = wait(running, timeout=0.2)
        unfinished = {config.name for config in running.values()}
        for method, (name, *arguments) in workers.received():
            if name in unfinished:
                getattr(display, method)(*arguments)
        for future in done:
            config = running.pop(future)
            try:
                record, files = future.result()
            except workers.losses as error:
                raise WorkersLostError(
                    f"the worker of {config.name} has ended, or the scheduler cannot be reached "
                    f"({type(error).__name__}); the same command resumes the work"
                ) from error
            for name, content in files.items():
                with atomic_path(results.run_directory(config) / name) as path:
                    path.write_bytes(content)
            display.start(config.name)  # in case its events arrive late
            _finish(results, display, config, record)


def _make_elsewhere(
    results: Results, config: RunConfig, device: torch.device | None, report: Report
) -> tuple[Record, Mapping[str, bytes]]:
    """Make a run in a worker; return its record, and its checkpoints if they are not in place."""
    latest = 0.0

    def on_step(info: StepInfo) -> None:
        nonlocal latest
        if info.stopping_sprmse is not None or monotonic() - latest > _REPORT_SECONDS:
            report(("on_step", (config.name, config, info)))
            latest = monotonic()

    def on_progress(done: int, total: int) -> None:
        report(("on_progress", (config.name, config, done, total)))

    with _one_at_a_time, _workplace(results, config) as directory:
        report(("start", (config.name, config.name)))
        networks = train_folds(results.city, config, directory, device=device, on_step=on_step)
        record = evaluate_networks(results.city, config, networks, on_progress)
        files = {}
        if directory != results.run_directory(config):
            files = {
                path.relative_to(directory).as_posix(): path.read_bytes()
                for path in directory.rglob(FILE_NAME)
            }
    return record, files


@contextmanager
def _workplace(results: Results, config: RunConfig) -> Iterator[Path]:
    """Yield the folder of a run, or a temporary one if this machine has not the results folder."""
    try:
        is_shared = Results.open(results.directory).facts == results.facts
    except DataError:
        is_shared = False
    if is_shared:
        yield results.run_directory(config)
    else:
        with TemporaryDirectory() as folder:
            yield Path(folder)
