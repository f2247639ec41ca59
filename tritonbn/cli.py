"""The `tritonbn` command."""

import argparse
import errno
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any, NoReturn, get_args, get_type_hints

import torch
from rich.console import Console

from data_prep.city import DataError
from tritonbn.experiment.config import ARMS, PRESETS, RunConfig


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong in one line, without the usage around it."""
        self.exit(2, f"tritonbn: error: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        Exit status: 0, 2 after an error of the user or the machine, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    from tritonbn.experiment.checkpoint import CheckpointError
    from tritonbn.kernel_commands import CannotRunError

    try:
        options.run(options, Console())
    except KeyboardInterrupt:
        return _complain("interrupted; the same command goes on where it was", 130)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        place = f": {error.filename}" if error.filename else ""
        return _complain(f"error: {reason}{place}", 2)
    except (CannotRunError, DataError, CheckpointError) as error:
        return _complain(f"error: {error}", 2)
    return 0


def _complain(message: str, status: int) -> int:
    print(f"tritonbn: {' '.join(message.split())}", file=sys.stderr)
    return status


def _parser() -> _Parser:
    device = _Parser(add_help=False)
    device.add_argument("--device", type=_device, help="cpu, cuda, ... (default: a GPU if any)")

    city = _Parser(add_help=False, parents=[device])
    city.add_argument(
        "--data",
        default="synthetic",
        help="synthetic (default), senseurcity (downloads it), or a path: of a prepared city, of a "
        "folder with stations.csv and readings.parquet or .csv, of a SensEURCity zip or folder",
    )
    city.add_argument(
        "--preset",
        choices=PRESETS,
        help="quick: minutes on two cores; thorough: every test time, too; paper: the published "
        "sizes (default: what the folder has, else quick, for compare thorough)",
    )
    city.add_argument("--grid", type=_grid, help="height and width in cells (default: 32x32)")
    city.add_argument("--out", type=Path, help="folder of the results (default: results/<data>)")

    run = _Parser(add_help=False, parents=[device])
    run.add_argument("directory", type=Path, help="a run, such as results/synthetic/runs/NAME")

    station = _Parser(add_help=False)
    station.add_argument(
        "--station",
        help="the hidden station: its name or the number of its cell (default: 621, or where no "
        "station stands there the one with the most readings)",
    )

    parser = _Parser(
        prog="tritonbn",
        description="Local batch normalization and the experiment on hidden PM2.5 stations.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('tritonbn')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Any, help: str, parents: Sequence[_Parser] = ()) -> _Parser:
        added = commands.add_parser(name, help=help, description=help, parents=[*parents])
        added.set_defaults(run=run)
        return added

    reproduce = command(
        "reproduce",
        _reproduce,
        "Prepare a city, train the six models, and write tables, figures and a report.",
        [city, station],
    )
    reproduce.add_argument(
        "--protocol",
        nargs="+",
        choices=_choices("protocol"),
        default=["paper"],
        help="which stations are hidden when (default: paper)",
    )
    reproduce.add_argument("--seeds", type=_at_least(1), default=1, help="how many (default: 1)")

    compare = command(
        "compare",
        _compare,
        "Train networks and fit rivals under the same protocol, and compare them.",
        [city],
    )
    compare.add_argument(
        "--protocol",
        nargs="+",
        choices=_choices("protocol"),
        default=["masked", "unseen"],
        help="which stations are hidden when (default: masked unseen)",
    )
    compare.add_argument(
        "--arms",
        nargs="*",
        choices=[f"{model}-{norm}" for model, norm in ARMS],
        metavar="MODEL-NORM",
        help="networks (default: all that a protocol allows): "
        + ", ".join(f"{model}-{norm}" for model, norm in ARMS),
    )
    compare.add_argument(
        "--rivals",
        nargs="*",
        metavar="RIVAL",
        help="classical methods (default: all that a protocol allows): mean-own, mean, nearest, "
        "idw, idw-offset, kriging, gp, ridge, boosting",
    )
    compare.add_argument("--seeds", type=_at_least(1), default=5, help="how many (default: 5)")
    compare.add_argument("--jobs", type=_at_least(1), default=1, help="runs at a time (default: 1)")

    train = command("train", _train, "Train and test one model.", [city])
    for name in ("model", "norm", "protocol"):
        train.add_argument(f"--{name}", choices=_choices(name), required=name != "protocol")
    train.add_argument("--seed", type=_at_least(0), default=0, help="default: 0")

    command("evaluate", _evaluate, "Test a trained model station by station.", [run])

    heatmap = command("heatmap", _heatmap, "Draw what a model makes of one time.", [run, station])
    heatmap.add_argument(
        "--time", help="of the city, ISO 8601 (default: a typical one of the test)"
    )
    heatmap.add_argument("--out", type=Path, help="PNG to write (default: in the run's folder)")

    field = command(
        "map", _map, "Write the field that a model interpolates as PNG, CSV and NetCDF.", [device]
    )
    field.add_argument(
        "--data", help="other readings of the same stations (default: those of the run)"
    )
    field.add_argument("--checkpoint", type=Path, required=True, help="folder of a run")
    field.add_argument(
        "--time", nargs="+", required=True, help="of the city, ISO 8601, one or several"
    )
    field.add_argument("--out", type=Path, default=Path("map"), help="folder (default: map)")

    command("bench", _bench, "Time LocalBN beside torch.nn.BatchNorm2d.", [device])

    kernels = command("kernels", _kernels, "Compile every Triton kernel and tell what it takes.")
    kernels.add_argument(
        "--targets",
        nargs="+",
        metavar="TARGET",
        default=["sm_80", "sm_90", "sm_100", "gfx942"],
        help="GPUs, which need not be there (default: sm_80 sm_90 sm_100 gfx942)",
    )
    kernels.add_argument("--markdown", action="store_true", help="print the page of the docs")

    tune = command("tune", _tune, "Choose the configurations of the kernels ahead of time.")
    tune.add_argument("--grid", type=_grid, default=(32, 32), help="default: 32x32")
    tune.add_argument("--channels", type=_at_least(1), nargs="+", required=True)
    tune.add_argument("--batch", type=_at_least(1), default=128, help="default: 128")
    tune.add_argument(
        "--largest",
        type=_at_least(1),
        default=1,
        help="cells of the largest segment (default: 1, single cells)",
    )
    tune.add_argument(
        "--dtype",
        nargs="+",
        choices=["float32", "bfloat16", "float16", "float64"],
        default=["float32"],
        help="default: float32",
    )
    tune.add_argument(
        "--layout",
        nargs="+",
        choices=["contiguous", "channels_last"],
        default=["contiguous"],
        help="default: contiguous",
    )
    return parser


def _choices(name: str) -> tuple[str, ...]:
    return get_args(get_type_hints(RunConfig)[name])


def _device(text: str) -> torch.device:
    try:
        device = torch.device(text)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no device of this machine") from error
    return device


def _grid(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if not match or min(map(int, match.groups())) < 2:
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH, such as 32x32, got {text!r}")
    return int(match[1]), int(match[2])


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a number from {least} on, got {text!r}")
        return int(text)

    return number


def _prepare(
    options: argparse.Namespace, protocols: Sequence[str], default_preset: str = "quick"
) -> Any:
    """Open or make the results folder that the options name."""
    from tritonbn.experiment.results import Results

    out = options.out or Path("results", Path(options.data).resolve().name.removesuffix(".zip"))
    _require_writable(out)
    there = Results.open(out).facts["preset"] if (out / "config.json").exists() else default_preset
    preset = options.preset or there
    return Results.prepare(out, options.data, preset, protocols, options.grid)


def _require_writable(directory: Path) -> None:
    """Raise before a long preparation what writing would raise after it."""
    there = next(path for path in (directory, *directory.absolute().parents) if path.exists())
    if not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(there))
    if not os.access(there, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(there))


def _reproduce(options: argparse.Namespace, console: Console) -> None:
    from tritonbn.experiment.reproduce import reproduce

    protocols = list(dict.fromkeys(options.protocol))
    results = _prepare(options, protocols)
    reproduce(results, protocols, options.seeds, options.station, options.device, console)


def _compare(options: argparse.Namespace, console: Console) -> None:
    from tritonbn.experiment.baselines import rivals_of
    from tritonbn.experiment.compare import compare
    from tritonbn.experiment.rivals import RIVALS

    rivals = list(RIVALS) if options.rivals is None else options.rivals
    unknown = [name for name in rivals if name not in RIVALS]
    if unknown:
        raise DataError(f"--rivals must be of {', '.join(RIVALS)}, got {', '.join(unknown)}")
    libraries = {RIVALS[name].library for name in rivals} - {None}
    missing = sorted(library for library in libraries if library and not find_spec(library))
    if missing:
        raise DataError(
            f"rivals need {', '.join(missing)}: pip install 'tritonbn[rivals]', or choose others "
            "with --rivals"
        )
    protocols = list(dict.fromkeys(options.protocol))
    arms = [f"{model}-{norm}" for model, norm in ARMS] if options.arms is None else options.arms
    wanted = [
        (model, norm, protocol, seed)
        for protocol, seed, (model, norm) in product(protocols, range(options.seeds), ARMS)
        if f"{model}-{norm}" in arms and not (protocol == "paper" and model.startswith("wide-"))
    ]
    allowed = {f"{model}-{norm}" for model, norm, *_ in wanted} | {
        name for protocol in protocols for name in rivals_of(protocol)
    }
    named = [*(options.arms or []), *(options.rivals or [])]
    senseless = [name for name in named if name not in allowed]
    if senseless:
        raise DataError(f"protocol {' '.join(protocols)} allows no {', '.join(senseless)}")
    if not wanted and not rivals:
        raise DataError("nothing to compare: --arms and --rivals are both empty")
    results = _prepare(options, protocols, "thorough")
    configs = [results.config(*run) for run in wanted]
    compare(results, protocols, configs, rivals, options.jobs, options.device, console)


def _train(options: argparse.Namespace, console: Console) -> None:
    from tritonbn.experiment.runner import make_runs

    wide = options.model.startswith("wide-")
    protocol = options.protocol or ("masked" if wide else "paper")
    if (options.model, options.norm) not in ARMS:
        raise DataError(f"{options.model} takes one of the norms none, global and local")
    if wide and protocol == "paper":
        raise DataError(f"{options.model} learns from hidden stations; protocol paper hides none")
    results = _prepare(options, [protocol])
    config = results.config(options.model, options.norm, protocol, options.seed)
    make_runs(results, [config], options.device, console)
    console.print(f"The run is in {results.run_directory(config)}", soft_wrap=True)


def _evaluate(options: argparse.Namespace, console: Console) -> None:
    import pandas as pd
    from rich.progress import Progress

    from tritonbn.experiment.display import score_tables, text_table
    from tritonbn.experiment.evaluate import evaluate
    from tritonbn.experiment.results import REFERENCE, key_of, open_run
    from tritonbn.experiment.table import station_rows

    results, run = open_run(options.directory, options.device)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(run.config.name)

        def on_progress(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        estimates = evaluate(run, results.city, on_progress=on_progress)
    reference = results.reference(run.config.protocol)
    reference = reference[reference["station"].isin(estimates["station"])]
    key = key_of(run.config)
    of_idw = {**key, "model": REFERENCE, "norm": "-"}
    scored = [results.score(key, estimates), results.score(of_idw, reference)]
    stations = pd.concat([table for _, table in scored])
    console.print(text_table(station_rows(stations), f"RMSE at each station, {results.city.unit}"))
    console.print(*score_tables(pd.DataFrame([scores for scores, _ in scored])), sep="\n")


def _heatmap(options: argparse.Namespace, console: Console) -> None:
    from tritonbn.experiment.evaluate import predict_field
    from tritonbn.experiment.heatmap import draw_heatmap, find_station, find_time, typical_time
    from tritonbn.experiment.plots import save
    from tritonbn.experiment.results import open_run

    results, run = open_run(options.directory, options.device)
    city = results.city
    hidden = find_station(city, options.station, run.config)
    wanted = options.time
    time = find_time(city, wanted, hidden) if wanted else typical_time(city, hidden, run.config)
    out = options.out or options.directory / f"heatmap_{city.cells[hidden]}.png"
    field = predict_field(run, city, time, hidden)
    save(draw_heatmap(city, time, hidden, {run.config: field}), out)
    console.print(f"The heatmap is in {out}", soft_wrap=True)


def _map(options: argparse.Namespace, console: Console) -> None:
    from tritonbn.experiment.fields import interpolate, times_of, write_field
    from tritonbn.experiment.results import open_run
    from tritonbn.experiment.source import load_city

    _require_writable(options.out)
    results, run = open_run(options.checkpoint, options.device)
    city = results.city
    if options.data is not None:
        city = city.with_readings_of(load_city(options.data, city.grid))
    times = times_of(city, options.time)
    for path in write_field(interpolate(run, city, times), city, options.out):
        console.print(f"Wrote {path}", soft_wrap=True)


def _bench(options: argparse.Namespace, console: Console) -> None:
    from tritonbn.bench import run_bench

    run_bench(console, options.device)


def _kernels(options: argparse.Namespace, console: Console) -> None:
    from tritonbn.kernel_commands import run_kernels

    run_kernels(options.targets, options.markdown, console)


def _tune(options: argparse.Namespace, console: Console) -> None:
    from tritonbn.kernel_commands import run_tune

    shape = (options.grid, options.channels, options.batch, options.largest)
    run_tune(*shape, options.dtype, options.layout, console)
