"""Ratios that differ between processes, measured in several of them."""

from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pandas as pd
from rich.progress import track


def ratios_in_fresh_processes(
    measure: Callable[[], list[dict[str, Any]]], keys: Sequence[str], count: int
) -> pd.DataFrame:
    """Measure in several processes, one after the other.

    Parameters
    ----------
    measure : callable
        Returns the same rows in every process; the values of all columns but `keys` are ratios.
    keys : sequence of str
        The columns that tell the rows apart.
    count : int
        The number of processes.

    Returns
    -------
    DataFrame
        The rows, with the median of each ratio over the processes, the lowest and the highest.
    """
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        rows = [row for _ in track(range(count)) for row in pool.submit(measure).result()]
    return pd.DataFrame(rows).groupby([*keys], sort=False).agg(in_words).reset_index()


def in_words(values: pd.Series) -> str:
    """Return the median and the range."""
    return f"{values.median():.2f} ({values.min():.2f} to {values.max():.2f})"
