"""The `tritonbn` command."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import torch
from rich.console import Console

from data_prep.city import DataError
from tritonbn.experiment.config import ARM_NAMES, ARMS, HEADS, MODELS, NORMS, PRESETS
from tritonbn.experiment.protocol import PROTOCOLS

_HEAD = "of the network: dense, as in the published figure (default), or a convolution alone"
_SCALING = "scale the readings by their 99th percentile, which an outlier does not move"

Run = Callable[[argparse.Namespace, Console], None]


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
    except (CannotRunError, DataError, CheckpointError, FloatingPointError) as error:
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
        help="synthetic (default), senseurcity (downloads it), senseurcity-hourly (its hourly "
        "means, 4 MB), or a path: of a prepared city, of a folder with stations.csv and "
        "readings.parquet or .csv, of a SensEURCity zip or folder, of the hourly .Rda",
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

    def command(name: str, run: Run, help: str, parents: Sequence[_Parser] = ()) -> _Parser:
        added = commands.add_parser(name, help=help, description=help, parents=[*parents])
        added.set_defaults(run=run)
        return added

    reproduce = command(
        "reproduce",
        _experiment("run_reproduce"),
        "Prepare a city, train the six models, and write tables, figures and a report.",
        [city, station],
    )
    reproduce.add_argument(
        "--protocol",
        nargs="+",
        choices=PROTOCOLS,
        default=["paper"],
        help="which stations are hidden when (default: paper)",
    )
    reproduce.add_argument("--seeds", type=_at_least(1), default=1, help="how many (default: 1)")
    reproduce.add_argument("--head", choices=HEADS, default="dense", help=_HEAD)
    reproduce.add_argument("--scaling", choices=["percentile"], help=_SCALING)

    compare = command(
        "compare",
        _experiment("run_compare"),
        "Train networks and fit rivals under the same protocol, and compare them.",
        [city],
    )
    compare.add_argument(
        "--protocol",
        nargs="+",
        choices=PROTOCOLS,
        default=["masked", "unseen"],
        help="which stations are hidden when (default: masked unseen)",
    )
    compare.add_argument(
        "--arms",
        nargs="*",
        choices=[*ARMS, *ARM_NAMES],
        metavar="ARM",
        default=["published", "wide"],
        help="networks, of those that a protocol allows, by group: published and wide (default), "
        "convolution, repaired, controls, cnn-lstm, places, ablation; or by name: "
        + "; ".join(
            f"{group}: {', '.join(f'{network}-{norm}' for network, norm in arms)}"
            for group, arms in ARMS.items()
        ),
    )
    compare.add_argument(
        "--head",
        nargs="+",
        choices=HEADS,
        default=["dense"],
        help="of the arms named published (default: dense)",
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

    train = command("train", _experiment("run_train"), "Train and test one model.", [city])
    train.add_argument("--model", choices=MODELS, required=True)
    train.add_argument("--norm", choices=NORMS, required=True)
    train.add_argument("--protocol", choices=PROTOCOLS)
    train.add_argument("--head", choices=HEADS, help=_HEAD)
    train.add_argument("--scaling", choices=["percentile"], help=_SCALING)
    train.add_argument("--seed", type=_at_least(0), default=0, help="default: 0")

    command(
        "evaluate", _experiment("run_evaluate"), "Test a trained model station by station.", [run]
    )

    heatmap = command(
        "heatmap",
        _experiment("run_heatmap"),
        "Draw what a model makes of one time.",
        [run, station],
    )
    heatmap.add_argument(
        "--time", help="of the city, ISO 8601 (default: a typical one of the test)"
    )
    heatmap.add_argument("--out", type=Path, help="PNG to write (default: in the run's folder)")

    field = command(
        "map",
        _experiment("run_map"),
        "Write the field that a model interpolates as PNG, CSV and NetCDF.",
        [device],
    )
    field.add_argument(
        "--data", help="other readings of the same stations (default: those of the run)"
    )
    field.add_argument(
        "--checkpoint",
        type=Path,
        nargs="+",
        required=True,
        help="folder of a run; of several, such as those of all seeds, the mean is taken",
    )
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


def _experiment(name: str) -> Run:
    """Return a function of `tritonbn.experiment.commands`, which is imported when it is called."""

    def run(options: argparse.Namespace, console: Console) -> None:
        from tritonbn.experiment import commands

        getattr(commands, name)(options, console)

    return run


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
