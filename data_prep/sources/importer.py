"""`Importer`: from the files that a source publishes to a city."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import pandas as pd

from data_prep.assemble import Rules, city_of, tabulate
from data_prep.city import CityData, DataError
from data_prep.progress import progress_bar
from data_prep.sources.files import files_of
from data_prep.sources.gather import Gatherer
from data_prep.sources.table import ROWS

Rows = Iterator[pd.DataFrame]
"""Readings in rows, with the columns `station` (str), `latitude` and `longitude` (degrees), `time`
(int64, seconds since 1970 in UTC), `value` (float64, in ug/m3), and facts of the stations."""


@dataclass(frozen=True)
class Importer:
    """A source of files: how they are read, and whom to credit.

    Parameters
    ----------
    help : str
        What it is, in one line.
    licence : str
        Its licence, and the citation that it asks for.
    patterns : tuple of str
        The names of its files, such as ``("*.csv",)``; ``.gz`` may follow.
    rows : callable
        ``rows(files, dropped, **options)`` yields the readings of an iterator of `File`, and
        counts the rows that it leaves out in `dropped`. Its options are keyword-only.
    every : str, optional
        The period over which the readings are averaged unless the user says otherwise. Default:
        none.
    marks_end : bool
        Whether a time is the end of what a reading describes, so that a reading at the beginning
        of a period belongs to the period before. Default False.
    """

    help: str
    licence: str
    patterns: tuple[str, ...]
    rows: Callable[..., Rows]
    every: str | None = None
    marks_end: bool = False

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the options that this source has besides those of `read`."""
        return tuple(option.name for option in self._options)

    @property
    def _options(self) -> list[Parameter]:
        parameters = signature(self.rows).parameters.values()
        return [p for p in parameters if p.kind is Parameter.KEYWORD_ONLY]

    def read(
        self,
        path: str | Path,
        grid: tuple[int, int] = (32, 32),
        name: str | None = None,
        progress: bool = True,
        *,
        bounds: tuple[float, float, float, float] | None = None,
        every: str | None = None,
        least: float = 0.75,
        valid: tuple[float, float] | None = None,
        **options: Any,
    ) -> CityData:
        """Read a city; the parameters are those that `data_prep.load_city` describes."""
        path = Path(path)
        every = self.every if every is None else every
        rules = Rules(every, least, valid)
        needed = [option.name for option in self._options if option.default is Parameter.empty]
        if missing := [option for option in needed if options.get(option) is None]:
            flags = ", ".join("--" + option.replace("_", "-") for option in missing)
            raise DataError(
                f"reading {path} needs {', '.join(missing)}, on the command line {flags}"
            )
        files = files_of(path, self.patterns)
        gatherer = Gatherer(bounds)
        with progress_bar(progress) as bar:
            shown = iter(bar.track(files, description="reading files"))
            for rows in _joined(self.rows(shown, gatherer.dropped, **options)):
                if self.marks_end and rules.period is not None:
                    rows = rows.assign(time=rows["time"] - 1)
                gatherer.add(rows)
            stations, batches = gatherer.finish()
            if stations.empty:
                reasons = ", ".join(f"{why}: {n}" for why, n in gatherer.dropped.items() if n)
                raise DataError(f"{path} has no reading that counts ({reasons or 'no rows'})")
            table = tabulate(lambda: batches, len(stations), rules, bar)
        return city_of(
            table,
            stations,
            name=name or _name_of(path.resolve()),
            grid=grid,
            report={
                "source": self.help,
                "licence": self.licence,
                "files": len(files),
                "dropped": dict(gatherer.dropped),
                "trimmed_names": sorted(gatherer.trimmed),
                "stations_that_moved": gatherer.moved,
            },
            rules=rules,
        )


def _name_of(path: Path) -> str:
    return path.name if path.is_dir() else path.name.split(".")[0]


def _joined(tables: Rows) -> Rows:
    """Join small tables, as those of many small files, to tables of at least `ROWS` rows."""
    waiting: list[pd.DataFrame] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        if rows >= ROWS:
            yield pd.concat(waiting, ignore_index=True)
            waiting, rows = [], 0
    if waiting:
        yield pd.concat(waiting, ignore_index=True)
