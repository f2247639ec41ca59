"""The command line of the data preparation: ``python -m data_prep --help``."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from rich.console import Console

from data_prep.city import CityData, DataError
from data_prep.describe import describe
from data_prep.grid import parse_grid
from data_prep.senseurcity.download import download
from data_prep.senseurcity.hourly import read_hourly
from data_prep.senseurcity.readings import QUANTITIES, read_archive
from data_prep.synthetic import synthetic_city, write_archive
from data_prep.synthetic.city import period
from data_prep.tidy import read_tidy

Run = Callable[[argparse.Namespace, Console], None]
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        Exit status: 0; 2 after an error, which is one line on stderr; 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="python -m data_prep", description="Prepare the readings of a city."
    )
    add_commands(parser.add_subparsers(required=True, metavar="COMMAND"))
    options = parser.parse_args(arguments)
    try:
        options.run(options, Console(markup=False, highlight=False))
    except (DataError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def add_commands(commands: Commands) -> None:
    """Add the commands of the data preparation to a parser.

    Parameters
    ----------
    commands : subparsers
        What ``parser.add_subparsers()`` returns. In the options of each command, `run` is a
        function of these options and a `rich.console.Console`; it raises `DataError` or `OSError`.
    """

    def command(name: str, run: Run, help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help)
        added.set_defaults(run=run)
        return added

    downloading = command("download", _download, "download the SensEURCity archive from Zenodo")
    downloading.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder to keep it in (default: $TRITONBN_DATA, else the cache of the system)",
    )

    describing = command("describe", _describe, "describe a prepared city")
    describing.add_argument("directory", type=Path, metavar="DIR", help="the prepared city")

    senseurcity = command("senseurcity", _senseurcity, "prepare a city of the SensEURCity archive")
    senseurcity.add_argument(
        "archive",
        nargs="?",
        type=Path,
        metavar="ARCHIVE",
        help="zip or folder of the archive (default: downloaded)",
    )
    senseurcity.add_argument("--city", default="antwerp", help="default: antwerp")
    senseurcity.add_argument(
        "--quantity",
        choices=QUANTITIES,
        default="OPCN3PM25",
        metavar="COLUMN",
        help=f"one of {', '.join(QUANTITIES)} (default: OPCN3PM25)",
    )
    for name, default in (
        ("--start", "latest first row over the sites"),
        ("--end", "earliest last row over the sites"),
    ):
        senseurcity.add_argument(
            name, metavar="TIME", help=f"UTC, like 2020-06-29T10:20 (default: {default})"
        )

    hourly = command("hourly", _hourly, "prepare Antwerp from its hourly SensEURCity means (4 MB)")
    hourly.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="LCS_df_all.Rda (default: downloaded)"
    )

    synthetic = command("synthetic", _synthetic, "make synthetic data modelled on Antwerp")
    synthetic.add_argument("--seed", type=int, default=0, help="default: 0")
    synthetic.add_argument("--days", type=int, default=14, help="default: 14")
    outputs = synthetic.add_mutually_exclusive_group(required=True)
    outputs.add_argument(
        "--archive",
        type=Path,
        metavar="FILE",
        help="write a zip in the layout of the SensEURCity archive instead of a city",
    )

    tidy = command("tidy", _tidy, "prepare any city from its readings and stations")
    tidy.add_argument(
        "directory",
        type=Path,
        metavar="DIR",
        help="folder with stations.csv and readings.parquet or readings.csv",
    )

    for preparing in (senseurcity, hourly, tidy, outputs):
        preparing.add_argument(
            "--out",
            type=Path,
            required=preparing is not outputs,
            metavar="DIR",
            help="folder to save the prepared city in",
        )
    for preparing in (senseurcity, hourly, synthetic, tidy):
        preparing.add_argument(
            "--grid",
            type=grid_option,
            default=(32, 32),
            metavar="HxW",
            help="rows and columns of the grid (default: 32x32)",
        )


def grid_option(text: str) -> tuple[int, int]:
    """Parse the value of a ``--grid`` option, for `argparse`."""
    try:
        return parse_grid(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _download(options: argparse.Namespace, console: Console) -> None:
    console.print(str(download(options.cache)), soft_wrap=True)


def _describe(options: argparse.Namespace, console: Console) -> None:
    console.print(describe(CityData.load(options.directory)))


def _senseurcity(options: argparse.Namespace, console: Console) -> None:
    def read() -> CityData:
        return read_archive(
            options.archive,
            city=options.city,
            quantity=options.quantity,
            start=options.start,
            end=options.end,
            grid=options.grid,
        )

    _prepare(read, options.out, console)


def _hourly(options: argparse.Namespace, console: Console) -> None:
    _prepare(lambda: read_hourly(options.file, options.grid), options.out, console)


def _synthetic(options: argparse.Namespace, console: Console) -> None:
    if options.archive is None:
        _prepare(
            lambda: synthetic_city(options.seed, options.days, options.grid), options.out, console
        )
    else:
        start, end = period(options.days)
        write_archive(options.archive, start=start, end=end, seed=options.seed)
        console.print(f"saved in {options.archive}", soft_wrap=True)


def _tidy(options: argparse.Namespace, console: Console) -> None:
    _prepare(lambda: read_tidy(options.directory, options.grid), options.out, console)


def _prepare(read: Callable[[], CityData], directory: Path, console: Console) -> None:
    """Read a city, save it and describe it."""
    if directory.exists() and not directory.is_dir():
        raise DataError(f"--out must be a folder, but {directory} is a file")
    city = read()
    city.save(directory)
    console.print(describe(city))
    console.print(f"\nsaved in {directory}", soft_wrap=True)
