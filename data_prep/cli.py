"""The command line of the data preparation: ``python -m data_prep --help``."""

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from rich.console import Console

from data_prep.city import CityData, DataError, DataWarning
from data_prep.describe import describe
from data_prep.files import atomic_path
from data_prep.load import SOURCES, load_city
from data_prep.options import add_grid, add_options, bounds, given_options
from data_prep.senseurcity.download import download
from data_prep.senseurcity.readings import QUANTITIES, read_archive
from data_prep.sources import IMPORTERS
from data_prep.sources.openaq_download import download_openaq
from data_prep.synthetic import synthetic_city, write_archive
from data_prep.synthetic.city import period
from data_prep.termination import STATUS, TerminatedError, sigterm_raises
from data_prep.tidy import tables_in

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
        Exit status: 0; 2 after an error, which is one line on stderr; 130 after Ctrl-C; 143 after
        SIGTERM.
    """
    parser = argparse.ArgumentParser(
        prog="python -m data_prep", description="Prepare the readings of a city."
    )
    add_commands(parser.add_subparsers(required=True, metavar="COMMAND"))
    options = parser.parse_args(arguments)
    try:
        with sigterm_raises(), short_warnings("warning"):
            options.run(options, Console(markup=False, emoji=False, highlight=False))
    except (DataError, OSError) as error:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
        return 2
    except TerminatedError:
        print("terminated", file=sys.stderr)
        return STATUS
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

    def command(
        name: str, run: Run, help: str, description: str | None = None
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=description or help)
        added.set_defaults(run=run)
        return added

    downloading = command("download", _download, "download the SensEURCity archive from Zenodo")
    downloading.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder to keep it in (default: $TRITONBN_DATA, else the cache of the system)",
    )

    openaq = command("openaq", _openaq, "download files of locations from the archive of OpenAQ")
    openaq.add_argument(
        "locations", nargs="+", metavar="LOCATION", help="number of a location, as in openaq.org"
    )
    openaq.add_argument("--start", required=True, metavar="DAY", help="such as 2022-05-01")
    openaq.add_argument("--end", required=True, metavar="DAY", help="the last day")
    openaq.add_argument(
        "--bounds",
        type=bounds,
        metavar="W,S,E,N",
        help="leave out locations outside of a box in degrees, such as --bounds=-5,40,10,60",
    )
    openaq.add_argument(
        "--out", type=Path, metavar="DIR", help="folder of the files (default: in the cache)"
    )

    describing = command("describe", _describe, "describe a prepared city")
    describing.add_argument("directory", type=Path, metavar="DIR", help="the prepared city")
    describing.add_argument(
        "--html",
        type=Path,
        metavar="FILE",
        help="write a page with figures of the readings as well",
    )

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

    names = ", ".join(map(repr, SOURCES))
    importers = "; ".join(f"{name}: {source.help}" for name, source in IMPORTERS.items())
    prepare = command(
        "prepare",
        _prepare,
        "prepare a city from any data",
        description=f"Prepare a city from any data. DATA is {names}; the path of a folder with "
        "stations.csv and readings.csv or .parquet, of a SensEURCity zip or folder, or of the "
        f"hourly .Rda file; or NAME:PATH, the name of a source and its files. {importers}.",
    )
    prepare.add_argument("data", metavar="DATA", help="a name, a path, or NAME:PATH")
    add_options(prepare)

    for preparing in (senseurcity, prepare, outputs):
        preparing.add_argument(
            "--out",
            type=Path,
            required=preparing is not outputs,
            metavar="DIR",
            help="folder to save the prepared city in",
        )
    for preparing in (senseurcity, synthetic):
        add_grid(preparing)


@contextmanager
def short_warnings(prefix: str) -> Iterator[None]:
    """Show each warning in one line."""

    def show(message: Warning | str, *_: object) -> None:
        print(f"{prefix}: {' '.join(str(message).split())}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _download(options: argparse.Namespace, console: Console) -> None:
    console.print(str(download(options.cache)), soft_wrap=True)


def _openaq(options: argparse.Namespace, console: Console) -> None:
    folder = download_openaq(
        options.locations, options.start, options.end, options.out, bounds=options.bounds
    )
    console.print(str(folder), soft_wrap=True)


def _describe(options: argparse.Namespace, console: Console) -> None:
    city = CityData.load(options.directory)
    if options.html is not None:
        from data_prep.page import page

        if options.html.is_dir():
            raise DataError(f"--html must be a file, but {options.html} is a folder")
        with atomic_path(options.html) as path:
            path.write_text(page(city), encoding="utf-8")
    console.print(describe(city))
    if options.html is not None:
        console.print(f"\nThe page is {options.html}", soft_wrap=True)


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

    _save(read, options.out, console)


def _synthetic(options: argparse.Namespace, console: Console) -> None:
    if options.archive is None:
        _save(
            lambda: synthetic_city(options.seed, options.days, options.grid), options.out, console
        )
    else:
        start, end = period(options.days)
        write_archive(options.archive, start=start, end=end, seed=options.seed)
        console.print(f"saved in {options.archive}", soft_wrap=True)


def _prepare(options: argparse.Namespace, console: Console) -> None:
    given = given_options(options, options.data)
    _save(lambda: load_city(options.data, grid=options.grid, **given), options.out, console)


def _save(read: Callable[[], CityData], directory: Path, console: Console) -> None:
    """Read a city, save it and describe it."""
    if directory.exists() and not directory.is_dir():
        raise DataError(f"--out must be a folder, but {directory} is a file")
    if tables := tables_in(directory):
        raise DataError(
            f"{directory} holds tables to read ({', '.join(tables)}); give another --out"
        )
    city = read()
    city.save(directory)
    console.print(describe(city))
    console.print(f"\nsaved in {directory}", soft_wrap=True)
