"""Prepare a city from the command line: ``python -m data_prep --help``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from data_prep.city import CityData, DataError
from data_prep.describe import describe
from data_prep.senseurcity.download import download
from data_prep.senseurcity.hourly import read_hourly
from data_prep.senseurcity.readings import QUANTITIES, read_archive
from data_prep.synthetic import synthetic_city
from data_prep.tidy import read_tidy


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns
    -------
    int
        0; 2 after an error, told in one line on stderr; 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except (DataError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    console = Console(markup=False, highlight=False)
    if options.command == "download":
        console.print(str(download(options.cache)), soft_wrap=True)
        return
    if options.command == "describe":
        console.print(describe(CityData.load(options.directory)))
        return
    if options.out.exists() and not options.out.is_dir():
        raise DataError(f"--out must be a folder, but {options.out} is a file")
    city = _prepare(options)
    city.save(options.out)
    console.print(describe(city))
    console.print(f"\nsaved in {options.out}", soft_wrap=True)


def _prepare(options: argparse.Namespace) -> CityData:
    if options.command == "synthetic":
        return synthetic_city(seed=options.seed, days=options.days, grid=options.grid)
    if options.command == "hourly":
        return read_hourly(options.file, grid=options.grid)
    if options.command == "tidy":
        return read_tidy(options.directory, grid=options.grid)
    return read_archive(
        options.archive or download(),
        city=options.city,
        quantity=options.quantity,
        start=options.start,
        end=options.end,
        grid=options.grid,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_prep", description="Prepare a city for the experiment."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    command = commands.add_parser("download", help="download the SensEURCity archive from Zenodo")
    command.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="where to keep it (default: $TRITONBN_DATA, else the cache folder of the system)",
    )

    command = commands.add_parser("describe", help="say what a prepared city holds")
    command.add_argument("directory", type=Path, metavar="DIR", help="a prepared city")

    preparing = argparse.ArgumentParser(add_help=False)
    preparing.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where to save the prepared city"
    )
    preparing.add_argument(
        "--grid",
        type=_grid,
        default=(32, 32),
        metavar="HxW",
        help="rows and columns of the grid (default: 32x32)",
    )

    command = commands.add_parser(
        "senseurcity", parents=[preparing], help="prepare a city of the SensEURCity archive"
    )
    command.add_argument(
        "archive",
        nargs="?",
        type=Path,
        metavar="ARCHIVE",
        help="its zip or a folder (default: downloaded)",
    )
    command.add_argument("--city", default="antwerp", help="default: antwerp")
    command.add_argument(
        "--quantity",
        choices=QUANTITIES,
        default="OPCN3PM25",
        metavar="COLUMN",
        help=f"{', '.join(QUANTITIES)} (default: OPCN3PM25)",
    )
    for name, default in (
        ("--start", "latest first row over the sites"),
        ("--end", "earliest last row over the sites"),
    ):
        command.add_argument(
            name, metavar="TIME", help=f"UTC, like 2020-06-29T10:20 (default: {default})"
        )

    command = commands.add_parser(
        "hourly",
        parents=[preparing],
        help="prepare Antwerp from the hourly means of SensEURCity (4 MB)",
    )
    command.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="LCS_df_all.Rda (default: downloaded)"
    )

    command = commands.add_parser(
        "synthetic", parents=[preparing], help="make up an Antwerp-like city"
    )
    command.add_argument("--seed", type=int, default=0, help="default: 0")
    command.add_argument("--days", type=int, default=14, help="default: 14")

    command = commands.add_parser(
        "tidy", parents=[preparing], help="prepare any city from readings and stations"
    )
    command.add_argument(
        "directory",
        type=Path,
        metavar="DIR",
        help="a folder with stations.csv and readings.parquet or readings.csv",
    )
    return parser


def _grid(text: str) -> tuple[int, int]:
    height, separator, width = text.partition("x")
    if not (separator and height.isdecimal() and width.isdecimal() and int(height) * int(width)):
        raise argparse.ArgumentTypeError(f"expected HEIGHTxWIDTH like 32x32, got {text!r}")
    return int(height), int(width)


if __name__ == "__main__":
    sys.exit(main())
