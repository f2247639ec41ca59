"""What a terminal shows of running and finished runs."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import pandas as pd
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from tritonbn.experiment.config import RunConfig
from tritonbn.experiment.results import Results
from tritonbn.experiment.table import Rows, score_rows
from tritonbn.experiment.train import StepInfo


def text_table(rows: Rows, title: str | None = None) -> Table:
    """Lay out a table for a terminal; columns of numbers are set right."""
    header, *body = rows
    table = Table(title=title, title_justify="left", title_style="bold")
    for column, heading in enumerate(header):
        numeric = all(row[column].replace(".", "").isdigit() or row[column] == "-" for row in body)
        table.add_column(heading, justify="right" if numeric else "left")
    for row in body:
        table.add_row(*row)
    return table


def score_tables(runs: pd.DataFrame) -> list[Table]:
    """Lay out the scores of finished runs, one table per protocol."""
    return [
        text_table(score_rows(here), f"spRMSE, protocol {protocol}")
        for protocol, here in runs.groupby("protocol", sort=False)
    ]


class RunDisplay:
    """Bars for all runs and for the current one, and the table of those that are finished.

    Where the output is no terminal: a line for each finished run. Use it as a context manager.

    Parameters
    ----------
    results : Results
        The folder in which the runs are made.
    configs : sequence of RunConfig
        The runs to come.
    console : Console
        Where to show them.
    """

    def __init__(self, results: Results, configs: Sequence[RunConfig], console: Console) -> None:
        self._results = results
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._total = len(configs)
        self._done = 0
        self._all = self._progress.add_task("all runs", total=self._total, note=f"0/{self._total}")
        self._current = self._progress.add_task("", total=None, note="")
        self._live = Live(console=console, transient=True)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._show_table()
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def start(self, config: RunConfig) -> None:
        """Begin a run."""
        self._progress.reset(self._current, description=config.name, total=config.steps, note="")

    def on_step(self, info: StepInfo) -> None:
        """Show a training step."""
        self._progress.update(self._current, completed=info.step)
        self._progress.update(self._all, completed=self._done + info.step / info.steps)
        if info.validation_sprmse is not None:
            note = f"validation spRMSE {info.validation_sprmse:.2f}"
            self._progress.update(self._current, note=note)

    def on_progress(self, done: int, total: int) -> None:
        """Show how far the test is."""
        self._progress.update(self._current, completed=done, total=total, note="test")

    def finish(self, config: RunConfig, result: Mapping[str, Any]) -> None:
        """Show the scores of a run that is finished, from `Results.run`."""
        self._done += 1
        note = f"{self._done}/{self._total}"
        self._progress.update(self._all, completed=self._done, note=note)
        if self._console.is_terminal:
            self._show_table()
        else:
            self._console.print(
                f"{note} {config.name}: spRMSE {result['sprmse']:.2f}, IDW "
                f"{result['idw_sprmse']:.2f}; {result['steps']} steps in {result['seconds']:.0f} s"
            )

    def _show_table(self) -> None:
        self._live.update(Group(*score_tables(self._results.runs()), self._progress))
