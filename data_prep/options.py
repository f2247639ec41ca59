"""The options of `load_city` on the command line."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data_prep.city import DataError
from data_prep.grid import parse_grid
from data_prep.load import FORMATS, options_of, split_source

Option = tuple[str, Callable[[str], Any], str, str]

_KEPT = argparse.SUPPRESS  # an option that is not given keeps the default of the reading function


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `load_city` to a parser."""
    add_grid(parser, None, "32x32, or that of a prepared city")
    for title, options in _GROUPS.items():
        group = parser.add_argument_group(title)
        for flag, kind, metavar, help in options:
            group.add_argument(flag, type=kind, metavar=metavar, help=help, default=_KEPT)


def add_grid(
    parser: argparse.ArgumentParser,
    default: tuple[int, int] | None = (32, 32),
    described: str = "32x32",
) -> None:
    """Add the option of the grid to a parser."""
    parser.add_argument(
        "--grid",
        type=grid,
        default=default,
        metavar="HxW",
        help=f"rows and columns of the grid (default: {described})",
    )


def given_options(options: argparse.Namespace, data: str) -> dict[str, Any]:
    """Return the options that were given, for `load_city`.

    Raises
    ------
    DataError
        If the data has no such option.
    """
    given = {name: value for name, value in vars(options).items() if name in _NAMES}
    allowed = options_of(data)
    if unknown := [name for name in given if name not in allowed]:
        flags = ", ".join("--" + name.replace("_", "-") for name in unknown)
        raise DataError(f"{data}{_format_of(data)} has no option {flags}")
    return given


def _format_of(data: str) -> str:
    """Return what the format of a path is, between commas; nothing for a source."""
    name, path = split_source(data)
    if name is not None or path is None:
        return ""
    return next(f", {format_.help}," for format_ in FORMATS if format_.matches(path))


def grid(text: str) -> tuple[int, int]:
    """Parse the value of a ``--grid`` option."""
    try:
        return parse_grid(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _numbers(separator: str, expected: str) -> Callable[[str], tuple[float, ...]]:
    def parse(text: str) -> tuple[float, ...]:
        parts = text.split(separator)
        try:
            if len(parts) == len(expected.split(separator)):
                return tuple(map(float, parts))
        except ValueError:
            pass
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")

    return parse


def _columns(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(name and column for name, _, column in pairs):
        raise argparse.ArgumentTypeError(f"expected NAME=COLUMN,..., got {text!r}")
    return {name: column for name, _, column in pairs}


bounds = _numbers(",", "W,S,E,N")
"""Parses the value of an option ``--bounds``."""

_GROUPS: dict[str, tuple[Option, ...]] = {
    "which readings count": (
        ("--every", str, "PERIOD", "average over periods: 15min, 1h, 1d, ...; or none"),
        (
            "--least",
            float,
            "SHARE",
            "of the usual times in a period that have readings (default: 0.75)",
        ),
        ("--valid", _numbers(":", "MIN:MAX"), "MIN:MAX", "such as 0:1000, or --valid=-50:1000"),
    ),
    "options of single sources": (
        (
            "--bounds",
            bounds,
            "W,S,E,N",
            "NAME:PATH: a box in degrees, such as --bounds=-5,40,10,60",
        ),
        ("--time-zone", str, "ZONE", "eea, csv: UTC, an offset such as UTC+1, or a name"),
        ("--metadata", Path, "FILE", "eea: the table of the sampling points"),
        ("--sensors", Path, "FILE", "purpleair: the table of the sensors"),
        ("--correction", str, "NAME", "purpleair: epa, the correction of the US EPA"),
        ("--sites", Path, "FILE", "airnow: monitoring_site_locations.dat"),
        ("--stations", Path, "FILE", "csv: a table of stations with their positions"),
        ("--columns", _columns, "NAME=COLUMN,...", "csv: such as time=Datum,value=PM2.5"),
        ("--time-format", str, "FORMAT", "csv: such as %%d/%%m/%%Y %%H:%%M (default: ISO 8601)"),
        ("--decimal", str, "MARK", "csv: the decimal mark (default: a point)"),
        ("--thousands", str, "MARK", "csv: the mark between thousands (default: none)"),
        ("--text", str, "missing", "csv: count cells that are no numbers as missing"),
        ("--encoding", str, "NAME", "csv: such as latin-1 or utf-16 (default: utf-8)"),
    ),
}

_NAMES = {
    flag.removeprefix("--").replace("-", "_") for group in _GROUPS.values() for flag, *_ in group
}
