"""Progress bars of runs, and tables of scores, for terminals and notebooks."""

from collections.abc import Mapping
from typing import Any, Self

import pandas as pd
from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from data_prep.city import CityData
from tritonbn.experiment.networks.config import RunConfig
from tritonbn.experiment.networks.train import StepInfo
from tritonbn.experiment.study.results import Results
from tritonbn.experiment.study.tables import score_rows
from tritonbn.experiment.task.protocol import PROTOCOLS
from tritonbn.tables import text_table

NOT_SHOWN = ("RMSE of a time", "bias", "R2")
"""Columns of scores that do not fit a terminal."""


def score_tables(runs: pd.DataFrame, city: CityData) -> list[Table]:
    """Lay out the main scores of finished runs, one table per protocol."""
    tables = []
    for protocol, here in runs.groupby("protocol", sort=False):
        rows = score_rows(here, city)
        # published scores stand beside spMAE, in place of what fits without them
        hidden = (*NOT_SHOWN, *(("skill", "seeds") if "published" in rows[0] else ("spMAE",)))
        shown = [
            column
            for column in zip(*rows, strict=True)
            if column[0] not in hidden and {*column[1:]} != {"-"}
        ]
        fitting = [[*row] for row in zip(*shown, strict=True)]
        tables.append(text_table(fitting, f"spRMSE, protocol {protocol}"))
    return tables


class RunDisplay:
    """Progress bars of all runs and of each current run, below the scores of finished runs.

    Outside terminals and notebooks it prints one line for each finished run. Use it as a context
    manager.

    Parameters
    ----------
    total : int
        The number of runs.
    console : Console
        Where to show them.
    results : Results, optional
        Whose scores to show above the bars. Default: none.
    """

    def __init__(self, total: int, console: Console, results: Results | None = None) -> None:
        self._results = results
        self._console = console
        self._is_live = not console.quiet and (console.is_terminal or console.is_jupyter)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._total = total
        self._done = 0
        self._shares: dict[str, float] = {}
        self._all = self._progress.add_task("all runs", total=total, note=f"0/{total}")
        self._tasks: dict[str, TaskID] = {}
        self._live = Live(console=console, transient=True)

    def __enter__(self) -> Self:
        if self._is_live:
            self._show_scores()
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def start(self, name: str) -> None:
        """Add the bar of a run or baseline, unless it is there because the run is done again."""
        if name in self._tasks:
            return
        self._tasks[name] = self._progress.add_task(name, total=1, note="")
        if self._live.is_started:
            self._live.refresh()

    def on_step(self, config: RunConfig, info: StepInfo) -> None:
        """Show a training step."""
        share = (info.fold + info.step / config.steps) / PROTOCOLS[config.protocol].folds
        self._shares[config.name] = share
        self._progress.update(self._tasks[config.name], completed=share)
        self._progress.update(self._all, completed=self._done + sum(self._shares.values()))
        if info.stopping_sprmse is not None:
            note = f"validation spRMSE {info.stopping_sprmse:.2f}"
            self._progress.update(self._tasks[config.name], note=note)

    def on_progress(self, config: RunConfig, done: int, total: int) -> None:
        """Show the progress of the test."""
        self._progress.update(self._tasks[config.name], note=f"tested {done / total:.0%}")

    def finish(self, name: str, result: Mapping[str, Any]) -> None:
        """Show the scores of a finished run or baseline, given its row of `Results.runs`."""
        note = self._end(name)
        if self._is_live:
            self._show_scores()
        else:
            steps = f"{result['steps']} steps in " if result["steps"] else ""  # baselines have none
            self._console.print(
                f"{note} {name}: spRMSE {result['sprmse']:.2f} (validation "
                f"{result['validation_sprmse']:.2f}), skill against IDW {result['skill']:.2f}; "
                f"{steps}{result['seconds']:.0f} s"
            )

    def give_up(self, name: str) -> None:
        """Remove the bar of a run that diverged, or a baseline that cannot be fitted."""
        self._end(name)

    def _end(self, name: str) -> str:
        """Remove the bar of a run, and return how many are done."""
        self._done += 1
        self._shares.pop(name, None)
        self._progress.remove_task(self._tasks.pop(name))
        note = f"{self._done}/{self._total}"
        self._progress.update(self._all, completed=self._done, note=note)
        return note

    def _show_scores(self) -> None:
        results = self._results
        tables = [] if results is None else score_tables(results.runs(), results.city)
        self._live.update(Group(*tables, self._progress))
