"""Train and test the missing runs of a results folder: one at a time, or by several workers."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from time import monotonic
from uuid import uuid4

import torch
from rich.console import Console

from data_prep.city import CityData
from data_prep.files import atomic_path
from tritonbn.experiment.networks.checkpoint import FILE_NAME
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.data_parallel import Ranks
from tritonbn.experiment.networks.folds import evaluate_networks, train_folds
from tritonbn.experiment.networks.train import StepInfo
from tritonbn.experiment.study.display import RunDisplay
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.study.workers import Report, Workers, WorkersLostError, Workforce
from tritonbn.experiment.task.record import Record

_REPORT_SECONDS = 0.2
"""The shortest time between two reports of a worker about a run."""

_MARK = "in-progress"

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

    The tables of the folder are written after each run. A run that diverges does not keep the
    others from being made.

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
    FloatingPointError
        After the other runs, if the loss of a run has become infinite or NaN; the message names
        all such runs.
    WorkersLostError
        If workers have ended.
    """
    (results.directory / _MARK).unlink(missing_ok=True)  # of a process that was killed
    missing = [config for config in configs if not results.is_finished(config)]
    if not missing:
        results.write_tables()  # which an interrupted process may not have done
        finished = f"All {len(configs)} runs are" if len(configs) > 1 else "The run is"
        console.print(f"{finished} finished; there is nothing to train.")
        return
    with RunDisplay(len(missing), console, results) as display:
        if workforce is not None:
            for protocol in {config.protocol for config in missing}:
                results.reference(protocol)
            with workforce(len(missing)) as workers:
                diverged = _side_by_side(results, missing, device, display, workers)
        else:
            diverged = _in_turn(results, missing, device, display, ranks)
    if diverged:
        raise FloatingPointError("; ".join(f"{name}: {why}" for name, why in diverged.items()))


def _in_turn(
    results: Results,
    configs: Sequence[RunConfig],
    device: torch.device | None,
    display: RunDisplay,
    ranks: Ranks | None,
) -> dict[str, FloatingPointError]:
    """Make the runs in this process, and return the errors of those that diverged."""
    diverged = {}
    for config in configs:
        display.start(config.name)
        city, directory = results.city, results.run_directory(config)
        on_step = partial(display.on_step, config)
        on_progress = partial(display.on_progress, config)
        try:
            networks = train_folds(
                city, config, directory, device=device, on_step=on_step, ranks=ranks
            )
        except FloatingPointError as error:
            diverged[config.name] = error
            display.give_up(config.name)
        else:
            _finish(
                results, display, config, evaluate_networks(city, config, networks, on_progress)
            )
    return diverged


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
) -> dict[str, FloatingPointError]:
    """Let workers make the runs, and return the errors of those that diverged."""
    diverged = {}
    directory = results.directory.absolute()
    with _marked(directory) as mark:
        sent = workers.send(results.city), directory, mark
        running = {
            workers.executor.submit(_make_elsewhere, *sent, config, device, workers.report): config
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
                display.start(config.name)  # in case its events arrive late
                try:
                    record, files = future.result()
                except workers.losses as error:
                    raise WorkersLostError(f"{workers.lost} ({type(error).__name__})") from error
                except FloatingPointError as error:
                    diverged[config.name] = error
                    display.give_up(config.name)
                    continue
                for name, content in files.items():
                    with atomic_path(results.run_directory(config) / name) as path:
                        path.write_bytes(content)
                _finish(results, display, config, record)
    return diverged


def _make_elsewhere(
    city: CityData | None,
    directory: Path,
    mark: str,
    config: RunConfig,
    device: torch.device | None,
    report: Report,
) -> tuple[Record, Mapping[str, bytes]]:
    """Make a run in a worker; return its record, and its checkpoints if they are not in place.

    Without a `city` the worker has the results folder, which holds it.
    """
    latest = 0.0

    def on_step(info: StepInfo) -> None:
        nonlocal latest
        if info.stopping_sprmse is not None or monotonic() - latest > _REPORT_SECONDS:
            report(("on_step", (config.name, config, info)))
            latest = monotonic()

    def on_progress(done: int, total: int) -> None:
        report(("on_progress", (config.name, config, done, total)))

    if city is None:
        city = Results.open(directory).city
    with _one_at_a_time, _workplace(directory, mark, config) as (place, is_shared):
        report(("start", (config.name, config.name)))
        networks = train_folds(city, config, place, device=device, on_step=on_step)
        record = evaluate_networks(city, config, networks, on_progress)
        made = [] if is_shared else place.rglob(FILE_NAME)
        files = {path.relative_to(place).as_posix(): path.read_bytes() for path in made}
    return record, files


@contextmanager
def _marked(directory: Path) -> Iterator[str]:
    """Mark the results folder, so that a worker that shares the disk recognizes it."""
    mark = str(uuid4())
    path = directory / _MARK
    with atomic_path(path) as temporary:
        temporary.write_text(mark, encoding="utf-8")
    try:
        yield mark
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def _workplace(directory: Path, mark: str, config: RunConfig) -> Iterator[tuple[Path, bool]]:
    """Yield the folder of a run, or a temporary one, and whether the disk is shared."""
    path = directory / _MARK
    if path.exists() and path.read_text(encoding="utf-8") == mark:
        yield directory / "runs" / config.name, True
    else:
        with TemporaryDirectory() as folder:
            yield Path(folder), False
