"""What the commands share: a parser with short errors, types of arguments, common options."""

import argparse
from collections.abc import Callable, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, NoReturn, TypeAlias

import torch
from rich.console import Console

from data_prep.load import SOURCES
from data_prep.options import grid
from data_prep.sources import IMPORTERS
from tritonbn.experiment.networks.presets import PRESETS

Commands: TypeAlias = "argparse._SubParsersAction[Any]"

Run = Callable[[argparse.Namespace, Console], object]


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, without the usage around it."""
        self.exit(2, f"tritonbn: error: {message} (see {self.prog} --help)\n")


def add_command(
    commands: Commands, name: str, run: Run, help: str, parents: Sequence[Parser] = ()
) -> Parser:
    """Add a command that calls `run` with its options and a console."""
    added: Parser = commands.add_parser(name, help=help, description=help, parents=[*parents])
    added.set_defaults(run=run)
    return added


def device(text: str) -> torch.device:
    """Parse a device that this machine has."""
    try:
        found = torch.device(text)
        torch.zeros(1, device=found).item()  # which the meta device cannot do
    except (RuntimeError, AssertionError) as error:
        raise argparse.ArgumentTypeError(f"this machine has no device {text!r}") from error
    return found


def at_least(least: int) -> Callable[[str], int]:
    """Return a parser of integers from `least` on."""

    def number(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"expected a number of at least {least}, got {text!r}")
        return int(text)

    return number


def device_options() -> Parser:
    """Return a parent parser with the option of the device."""
    parser = Parser(add_help=False)
    parser.add_argument(
        "--device", type=device, help="cpu, cuda, ... (default: the GPU, if there is one)"
    )
    return parser


def study_options() -> Parser:
    """Return a parent parser for commands that fill a results folder, and resume this work."""
    parser = Parser(add_help=False, parents=[device_options()])
    names = "; ".join(f"{name}: {source.help}" for name, source in SOURCES.items())
    parser.add_argument(
        "--data",
        default="synthetic",
        help=f"{names}; or the path of a prepared city, of a folder with stations.csv and "
        "readings.parquet or .csv, of a SensEURCity zip or folder, or of the hourly .Rda file; or "
        f"NAME:PATH with a name of {', '.join(IMPORTERS)}, see tritonbn data prepare --help "
        "(default: synthetic)",
    )
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        help="quick: minutes on two cores; thorough: scores every time of the test; paper: the "
        "published sizes (default: that of the results folder; for a new folder quick, for compare "
        "thorough)",
    )
    parser.add_argument(
        "--grid",
        type=grid,
        help="height and width in cells (default: 32x32, or that of a prepared city)",
    )
    parser.add_argument("--out", type=Path, help="the results folder (default: results/<data>)")
    parser.set_defaults(resumes=True)
    return parser


def station_options() -> Parser:
    """Return a parent parser with the option of the hidden station."""
    parser = Parser(add_help=False)
    parser.add_argument(
        "--station",
        help="the hidden station, by its name or cell number (default: 621 if a station stands "
        "there, else the one with the most readings)",
    )
    return parser


def run_options() -> Parser:
    """Return a parent parser with the folder of a run."""
    parser = Parser(add_help=False, parents=[device_options()])
    parser.add_argument("directory", type=Path, help="a run, such as results/synthetic/runs/NAME")
    return parser


def default_of(function: Callable[..., object], argument: str) -> Any:
    """Return the default of an argument, so that a command has the same."""
    return signature(function).parameters[argument].default
