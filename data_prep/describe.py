"""A description of a city for the terminal."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Group
from rich.table import Table

from data_prep.city import CityData


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
    >>> from rich.console import Console
    >>> Console().print(describe(synthetic_city(days=1)))  # doctest: +ELLIPSIS
    city ...
    """
    height, width = city.grid
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold")
    facts.add_row("city", f"{city.name}, synthetic readings" if city.synthetic else city.name)
    facts.add_row("quantity", f"{city.quantity} in {city.unit}")
    facts.add_row("stations", f"{len(city.stations)} in {height} x {width} cells")
    facts.add_row("span", _span(city))
    facts.add_row("coverage", f"{city.observed.mean():.1%}")
    facts.add_row("median", _quantile(city.values, 0.5))
    facts.add_row("p99", _quantile(city.values, 0.99))
    for line in _report_lines(city.report):
        facts.add_row(*line)

    stations = Table("station", "cell", "latitude", "longitude", box=None, header_style="bold")
    for heading in ("coverage", "median", "p99"):
        stations.add_column(heading, justify="right")
    known = city.stations[["station", "cell", "latitude", "longitude"]].itertuples(index=False)
    for (name, cell, *degrees), values, observed in zip(
        known, city.values.T, city.observed.T, strict=True
    ):
        stations.add_row(
            str(name),
            str(cell),
            *(f"{degree:.5f}" for degree in degrees),
            f"{observed.mean():.1%}",
            _quantile(values, 0.5),
            _quantile(values, 0.99),
        )
    return Group(facts, "", stations)


def _span(city: CityData) -> str:
    first, last = (str(time).replace("T", " ") for time in city.times[[0, -1]])
    text = f"{first} to {last}: {len(city.times):,} times"
    if len(city.times) < 2:
        return text
    absent = (city.times[-1] - city.times[0]) // city.step + 1 - len(city.times)
    text += f", {city.step / np.timedelta64(60, 's'):g} min apart"
    return text + (f", {absent:,} absent between them" if absent else "")


def _quantile(values: npt.NDArray[np.float32], q: float) -> str:
    real = values[~np.isnan(values)]
    return f"{np.quantile(real, q):.2f}" if len(real) else "-"


def _report_lines(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield names and values of the report; details of single devices are left out."""
    for key, value in report.items():
        name = key.replace("_", " ")
        if key == "window":
            ends = "{start} to {end}, {minutes:,} minutes"
            reasons = "; {start} to {end}".format(**value["decided_by"])
            yield name, ends.format(**value) + reasons
            if "published" in value:
                yield "published window", ends.format(**value["published"])
        elif key == "shared_cells":
            yield name, "; ".join(" and ".join(group) for group in value) or "none"
        elif key != "devices" and value not in ([], {}):
            yield name, _words(value)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_words(part)}" for key, part in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int) else str(value)
