"""The commands that train and compare: reproduce, compare, train and evaluate."""

import argparse
import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pandas as pd
from rich.console import Console

from data_prep.files import only_writer
from tritonbn.cli.arguments import (
    Commands,
    Parser,
    add_command,
    at_least,
    default_of,
    run_options,
    station_options,
    study_options,
)
from tritonbn.experiment import RunConfig, compare, load_run, train
from tritonbn.experiment.baselines import BASELINES
from tritonbn.experiment.networks.config import ConfigError
from tritonbn.experiment.networks.data_parallel import is_torchrun, ranks_of_torchrun
from tritonbn.experiment.networks.folds import train_folds
from tritonbn.experiment.networks.network import BACKBONES, DESIGNS, HEADS, OPTIONS
from tritonbn.experiment.networks.norms import NORMS
from tritonbn.experiment.networks.scaling import SCALINGS
from tritonbn.experiment.networks.trained import default_device
from tritonbn.experiment.study.compare import fill_results, report_comparison
from tritonbn.experiment.study.display import score_tables
from tritonbn.experiment.study.plan import Plan
from tritonbn.experiment.study.prepare import city_of, open_results, preset_of, source_name
from tritonbn.experiment.study.reproduce import reproduce
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.study.runner import make_runs
from tritonbn.experiment.study.tables import station_rows
from tritonbn.experiment.study.workers import Workforce, workforce_of
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.experiment.task.record import REFERENCE
from tritonbn.tables import text_table

_MOST_JOBS = 4  # each needs about 1 GB of memory
_NORMS = f"normalization: {', '.join(NORMS)}"
_DESIGN = "published, or residual: networks designed for interpolation"
_HEAD = "dense layers over the whole grid, as in the published figure, or a convolution alone"
_PROTOCOL = "which stations are hidden, and when"
_SCALING = "which reading is scaled to 1 (default: that of the preset)"


def add_commands(commands: Commands) -> None:
    """Add the commands to a parser."""
    _add_reproduce(commands)
    _add_compare(commands)
    _add_train(commands)
    add_command(
        commands,
        "evaluate",
        _evaluate,
        "Print the scores of a trained network and of IDW, station by station.",
        [run_options()],
    )


def _add_reproduce(commands: Commands) -> None:
    parser = add_command(
        commands,
        "reproduce",
        _reproduce,
        "Train the six networks of the publication; write tables, figures and a report.",
        [study_options(), station_options()],
    )
    parser.add_argument(
        "--protocols",
        nargs="+",
        choices=PROTOCOLS,
        default=["paper"],
        help=f"{_PROTOCOL} (default: paper)",
    )
    parser.add_argument("--seeds", type=at_least(1), default=1, help="number of seeds (default: 1)")
    parser.add_argument(
        "--head",
        choices=HEADS,
        default="dense",
        help=f"{_HEAD} (default: dense)",
    )
    parser.add_argument("--scaling", choices=SCALINGS, help=_SCALING)
    _add_jobs(parser)


def _add_compare(commands: Commands) -> None:
    parser = add_command(
        commands,
        "compare",
        _compare,
        "Train networks and fit baselines under the same protocols, and compare their scores.",
        [study_options()],
    )
    for name, choices, help in (
        ("backbones", BACKBONES, "backbones of the networks"),
        ("designs", DESIGNS, _DESIGN),
        ("norms", NORMS, _NORMS),
        ("protocols", PROTOCOLS, _PROTOCOL),
    ):
        default = default_of(compare, name)
        parser.add_argument(
            f"--{name}",
            nargs="+" if name == "protocols" else "*",
            choices=choices,
            metavar=name.removesuffix("s").upper(),
            default=default,
            help=f"{help} (choices: {', '.join(choices)}; default: {' '.join(default)})"
            if name != "norms"
            else f"{help} (default: {' '.join(default)})",
        )
    parser.add_argument(
        "--heads",
        nargs="+",
        choices=HEADS,
        metavar="HEAD",
        help=f"heads of the published networks (choices: {', '.join(HEADS)}; default: {HEADS[0]})",
    )
    parser.add_argument(
        "--baselines",
        nargs="*",
        choices=BASELINES,
        metavar="BASELINE",
        help=f"any of {', '.join(BASELINES)} (default: all that a protocol allows)",
    )
    parser.add_argument("--scalings", nargs="+", choices=SCALINGS, help=_SCALING)
    parser.add_argument(
        "--without",
        nargs="+",
        choices=OPTIONS,
        metavar="OPTION",
        default=default_of(compare, "without"),
        help="also train residual networks without each of these, one at a time: "
        + ", ".join(OPTIONS),
    )
    seeds = default_of(compare, "seeds")
    parser.add_argument(
        "--seeds", type=at_least(1), default=seeds, help=f"number of seeds (default: {seeds})"
    )
    _add_jobs(parser)


def _add_train(commands: Commands) -> None:
    parser = add_command(
        commands, "train", _train, "Train and test one network.", [study_options()]
    )
    parser.add_argument(
        "--backbone", choices=BACKBONES, required=True, help="backbone of the network"
    )
    norm, design = default_of(train, "norm"), default_of(train, "design")
    parser.add_argument(
        "--norm", choices=NORMS, metavar="NORM", default=norm, help=f"{_NORMS} (default: {norm})"
    )
    parser.add_argument(
        "--design", choices=DESIGNS, default=design, help=f"{_DESIGN} (default: {design})"
    )
    parser.add_argument(
        "--head", choices=HEADS, help=f"{_HEAD} (default: dense; convolution if residual)"
    )
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, help=f"{_PROTOCOL} (default: paper; masked if residual)"
    )
    parser.add_argument("--scaling", choices=SCALINGS, help=_SCALING)
    parser.add_argument(
        "--without",
        nargs="+",
        choices=OPTIONS,
        metavar="OPTION",
        default=default_of(train, "without"),
        help=f"what a residual network is trained without: {', '.join(OPTIONS)}",
    )
    seed = default_of(train, "seed")
    parser.add_argument("--seed", type=at_least(0), default=seed, help=f"default: {seed}")


def _add_jobs(parser: Parser) -> None:
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--jobs",
        type=at_least(1),
        help=f"runs at the same time (default: one per core, at most {_MOST_JOBS}; 1 on a GPU)",
    )
    where.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="of Dask, such as tcp://HOST:8786, whose workers make the runs (default: none)",
    )


def _workforce(options: argparse.Namespace) -> Workforce | None:
    """Return the workers; runs with one thread each finish earlier than one with several."""
    jobs = options.jobs or 1
    if options.jobs is None and (options.device or default_device()).type == "cpu":
        jobs = min(os.cpu_count() or 1, _MOST_JOBS)
    return workforce_of(jobs, options.scheduler)


def _reproduce(options: argparse.Namespace, console: Console) -> None:
    _require_one_process()
    plan = Plan(
        backbones=default_of(compare, "backbones"),
        designs=["published"],
        heads=[options.head],
        norms=default_of(compare, "norms"),
        protocols=options.protocols,
        scalings=[options.scaling],
        baselines=[REFERENCE],
        seeds=options.seeds,
    )
    with _opened(options, options.protocols, "quick", console) as results:
        reproduce(results, plan, options.station, _workforce(options), options.device, console)
        _print_scores(results, console)


def _compare(options: argparse.Namespace, console: Console) -> None:
    _require_one_process()
    plan = Plan(
        backbones=options.backbones,
        designs=options.designs,
        heads=options.heads,
        norms=options.norms,
        protocols=options.protocols,
        scalings=options.scalings or [None],
        without=options.without,
        baselines=options.baselines,
        seeds=options.seeds,
    )
    with _opened(options, options.protocols, "thorough", console) as results:
        fill_results(results, plan, _workforce(options), options.device, console)
        report_comparison(results)
        _print_scores(results, console)


def _train(options: argparse.Namespace, console: Console) -> None:
    choices = {
        name: getattr(options, name) for name in ("design", "head", "scaling", "without", "seed")
    }
    network = options.backbone, options.norm, options.protocol
    protocol = RunConfig.preset(options.preset or "quick", *network, **choices).protocol
    with ranks_of_torchrun(options.device) as (ranks, device), ExitStack() as stack:
        if ranks.is_first:
            try:
                results = stack.enter_context(_opened(options, [protocol], "quick", console))
                config = results.config(*network, **choices)
            except Exception:
                ranks.share(None)  # the other processes end silently
                raise
            ranks.share(None if results.is_finished(config) else (results.city, config))
            make_runs(results, [config], device, console, ranks=ranks)
            console.print(f"The run is in {results.run_directory(config)}", soft_wrap=True)
        elif training := ranks.share(None):
            train_folds(*training, device=device, ranks=ranks)


def _evaluate(options: argparse.Namespace, console: Console) -> None:
    run = load_run(options.directory, device=options.device)
    idw = run.reference
    stations = pd.concat([run.stations(), idw.stations(run.city)])
    scores = pd.DataFrame([run.row(), idw.scores(run.city, idw.estimates["test"])])
    console.print(text_table(station_rows(stations), f"RMSE at each station, {run.city.unit}"))
    console.print(*score_tables(scores, run.city), sep="\n")


def _require_one_process() -> None:
    if is_torchrun():
        raise ConfigError(
            "torchrun starts processes that train one network together, which the command train "
            "can do; for several runs at the same time, use --jobs or --scheduler without torchrun"
        )


@contextmanager
def _opened(
    options: argparse.Namespace, protocols: Sequence[str], preset: str, console: Console
) -> Iterator[Results]:
    """Open or create the results folder that the options name, say so, and be its only writer."""
    name = Path(options.data).resolve().name.removesuffix(".zip").removesuffix(".Rda")
    directory = options.out or Path("results", name)
    require_writable(directory)
    with only_writer(directory):
        preset = preset_of(directory, options.preset, preset)
        city = city_of(directory, options.data, options.grid)
        source = source_name(options.data)
        results = open_results(directory, city, protocols, preset=preset, data=source)
        console.print(f"{directory}: preset {preset}", soft_wrap=True)
        yield results


def require_writable(directory: Path) -> None:
    """Raise before any work if a folder cannot be written."""
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))


def _print_scores(results: Results, console: Console) -> None:
    console.print(*score_tables(results.runs(), results.city), sep="\n")
    console.print(f"The report is {results.directory / 'report.html'}", soft_wrap=True)
