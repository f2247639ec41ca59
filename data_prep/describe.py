"""A description of a city for the terminal."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Group
from rich.table import Table

from data_prep.city import CityData

_Lines = Callable[[str, Any], Iterable[tuple[str, str]]]

STATION_HEADINGS = (
    "station",
    "cell",
    "latitude",
    "longitude",
    "coverage",
    "median",
    "99th percentile",
)
_NAMES = dict.fromkeys(("averaged", "averaged_over_units"), "rows averaged with others")
TEXT_COLUMNS = 4
"""So many of them are aligned to the left."""


def describe(city: CityData) -> Group:
    """Describe a city: its period, coverage, quantiles and report, and each of its stations.

    Parameters
    ----------
    city : CityData

    Returns
    -------
    rich.console.Group
        To be printed by a `rich.console.Console`.

    Examples
    --------
    >>> from data_prep import synthetic_city
    >>> from data_prep.describe import describe
    >>> from rich.console import Console
    >>> Console().print(describe(synthetic_city(days=1)))  # doctest: +ELLIPSIS
    city ...
    """
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    for line in city_facts(city):
        facts.add_row(*line)
    stations = Table(box=None, header_style="bold")
    for number, heading in enumerate(STATION_HEADINGS):
        stations.add_column(heading, justify="right" if number >= TEXT_COLUMNS else "left")
    for row in station_rows(city):
        stations.add_row(*row)
    return Group(facts, "", stations)


def city_facts(city: CityData) -> Iterator[tuple[str, str]]:
    """Yield the names and values of what is known of a city as a whole, and of its report."""
    height, width = city.grid
    yield "city", f"{city.name}, synthetic readings" if city.synthetic else city.name
    yield "quantity", f"{city.quantity} in {city.unit}"
    yield "stations", f"{len(city.stations)} in {height} x {width} cells"
    yield "span", _span(city)
    yield "coverage", _coverage(city.observed)
    yield "median", _quantile(city.values, 0.5)
    yield "99th percentile", _quantile(city.values, 0.99)
    yield from _report_lines(city.report)


def station_rows(city: CityData) -> Iterator[tuple[str, ...]]:
    """Yield what is known of each station, under `STATION_HEADINGS`."""
    known = city.stations[["station", "cell", "latitude", "longitude"]].itertuples(index=False)
    for (name, cell, *degrees), values, observed in zip(
        known, city.values.T, city.observed.T, strict=True
    ):
        yield (
            str(name),
            str(cell),
            *(f"{degree:.5f}" for degree in degrees),
            _coverage(observed),
            _quantile(values, 0.5),
            _quantile(values, 0.99),
        )


def _coverage(observed: npt.NDArray[np.bool_]) -> str:
    return f"{observed.mean():.1%}" if observed.size else "-"


def _span(city: CityData) -> str:
    if not len(city.times):
        return "no times"
    first, last = (str(time).replace("T", " ") for time in city.times[[0, -1]])
    text = f"{first} to {last}: {len(city.times):,} times"
    if len(city.times) < 2:
        return text
    steps = np.rint(np.diff(city.times) / city.step).astype(np.int64)
    absent = int((steps - 1).clip(min=0).sum())  # times may also lie between two steps
    text += f", {city.step / np.timedelta64(60, 's'):g} min apart"
    return text + (f", {absent:,} absent between them" if absent else "")


def _quantile(values: npt.NDArray[np.float32], q: float) -> str:
    real = values[~np.isnan(values)]
    return f"{np.quantile(real, q):.2f}" if len(real) else "-"


def _report_lines(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield names and values of the report; details of single devices are left out."""
    special: dict[str, _Lines] = {"window": _window_lines, "shared_cells": _shared_cells_lines}
    for key, value in report.items():
        name = _NAMES.get(key, key.replace("_", " "))
        try:
            yield from special[key](name, value)
        except (AttributeError, KeyError, TypeError, ValueError):  # it may come from elsewhere
            if key != "devices" and value not in ([], {}):
                yield name, _words(value)


def _window_lines(name: str, window: dict[str, Any]) -> list[tuple[str, str]]:
    ends = "{start} to {end}, {minutes:,} minutes"
    reasons = "; {start} to {end}".format(**window["decided_by"])
    lines = [(name, ends.format(**window) + reasons)]
    if "published" in window:
        lines.append(("published window", ends.format(**window["published"])))
    return lines


def _shared_cells_lines(name: str, groups: list[list[str]]) -> list[tuple[str, str]]:
    return [(name, "; ".join(" and ".join(group) for group in groups) or "none")]


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_words(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
