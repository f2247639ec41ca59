"""The command: its options, and the measurements in their order."""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tritonbn.backends import has_triton
from tritonbn.bench.cases import INPUTS, MAIN, SEGMENTS, Input
from tritonbn.bench.contention import busy_core
from tritonbn.bench.growth import Point, measure_point, points
from tritonbn.bench.machine import words_of
from tritonbn.bench.measure import copy_speeds_of, measure
from tritonbn.bench.networks import measure_network, networks
from tritonbn.bench.peers import Peer, compiled_peers, peers
from tritonbn.bench.record import Record, copy_of, new_record, require_writable, write_record
from tritonbn.bench.report import growth_table, layers_table, networks_table

Rows = list[dict[str, Any]]


class Job(NamedTuple):
    """A measurement: its title, the list of the record that its rows belong to, and its work."""

    title: str
    section: str
    work: Callable[[], Rows]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add all options but the device."""
    parser.add_argument(
        "--contend",
        action="store_true",
        help="measure again beside another process that keeps one core busy",
    )
    parser.add_argument(
        "--networks", action="store_true", help="also training steps of the networks"
    )
    parser.add_argument(
        "--growth",
        action="store_true",
        help="also how the time grows with the batch, channels, cells and segments",
    )
    parser.add_argument(
        "--compiled", action="store_true", help="also the layers after torch.compile"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="write a JSON record, too")


def run_bench(options: argparse.Namespace, console: Console) -> Record:
    """Measure, and print a table after each input.

    The record is written after each measurement, so after an interruption it has what was done.

    Parameters
    ----------
    options : Namespace
        With `device` (None: the GPU if there is one, else the CPU) and those of `add_options`.
    console : Console
        Where to print.

    Returns
    -------
    dict
        The record.

    Raises
    ------
    OSError
        Before any measurement, if the record cannot be written.
    """
    if options.record is not None:
        require_writable(options.record)
    device = options.device or torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with ExitStack() as stack:
        if device.type == "cuda":
            stack.enter_context(torch.cuda.device(device))  # graphs and clocks use the current one
        record = new_record(device, command_of(options), copy_speeds_of(device))
        copied = copy_of(record)
        console.print(f"{words_of(record)}; a copy moves {copied:,.0f} GB/s", soft_wrap=True)
        progress = stack.enter_context(_progress(console))
        if device.type == "cuda" and has_triton():
            from tritonbn.bench.kernels import noting_tuning

            stack.enter_context(noting_tuning(record["tuning"]))
            _compile_kernels(options, device)
        jobs = [*_jobs(options, device)]
        task = progress.add_task("", total=len(jobs))
        for job in jobs:
            progress.update(task, description=job.title, refresh=True)
            rows = job.work()
            record[job.section] += rows
            if options.record is not None:
                write_record(record, options.record)
            if job.section == "layers":
                console.print(layers_table(rows, copied))
            progress.advance(task)
    for section, table in _TABLES.items():
        if record[section]:
            console.print(table(record[section]))
    return record


def command_of(options: argparse.Namespace) -> str:
    """Return the command line, with the name of the record without its folder."""
    names = ("contend", "networks", "growth", "compiled")
    words = ["tritonbn bench", *(f"--{name}" for name in names if getattr(options, name))]
    if options.device is not None:
        words.append(f"--device {options.device}")
    if options.record is not None:
        words.append(f"--record {options.record.name}")
    return " ".join(words)


_TABLES: dict[str, Callable[[Rows], Table]] = {"models": networks_table, "growth": growth_table}


def _progress(console: Console) -> Progress:
    return Progress(
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=console,
        transient=True,
        auto_refresh=False,  # a thread that draws would disturb the measurements
    )


def _jobs(options: argparse.Namespace, device: torch.device) -> Iterator[Job]:
    """List the measurements; those that take long for what they tell come last."""
    for case in INPUTS["cuda" if device.type == "cuda" else "cpu"]:
        title = f"{case.shape}"
        compared = [peer for name in SEGMENTS for peer in peers(case, name, device)]
        yield Job(title, "layers", partial(measure, case, compared, device))
        if options.contend:
            fast = [peer for peer in compared if not peer.slow]
            yield Job(title, "layers", partial(_contended, case, fast, device))
    if options.networks:
        for network in networks():
            yield Job(" ".join(network), "models", partial(_network, network, device))
    if options.growth:
        for point in points():
            title = f"{point.value} {point.vary}"
            yield Job(title, "growth", partial(_point, point, device))
    if options.compiled:
        for peer in compiled_peers(device):
            work = partial(measure, MAIN, [peer], device, ("forward", "step"))
            yield Job(peer.name, "layers", work)


def _contended(case: Input, compared: list[Peer], device: torch.device) -> Rows:
    with busy_core():
        return [{**row, "contended": True} for row in measure(case, compared, device)]


def _network(network: Any, device: torch.device) -> Rows:
    return [measure_network(network, device)]


def _point(point: Point, device: torch.device) -> Rows:
    """Measure a point with the default configurations, as tuning all would take minutes."""
    without_tuning = patch.dict(os.environ, TRITONBN_AUTOTUNE="0")
    with without_tuning if device.type == "cuda" else nullcontext():
        return measure_point(point, device)


def _compile_kernels(options: argparse.Namespace, device: torch.device) -> None:
    from tritonbn.bench.kernels import compile_ahead, work_of

    if torch.version.hip is not None:
        return
    tuned = [(case, name) for case in INPUTS["cuda"] for name in SEGMENTS]
    untuned = [(point.case, point.segments) for point in points()] if options.growth else []
    major, minor = torch.cuda.get_device_capability(device)
    compile_ahead(work_of(tuned, untuned), f"sm_{major}{minor}")
