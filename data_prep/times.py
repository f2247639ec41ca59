"""Times in ISO 8601, with and without an offset from UTC in one table."""

import pandas as pd

_DIGIT = r"\s*\d"
_OFFSET = r"\d[T ].*[Zz+-]"


def parse_times(
    cells: "pd.Series[str]",
) -> tuple["pd.Series[pd.Timestamp]", "pd.Series[bool]"]:
    """Convert times in ISO 8601 to UTC.

    Times with and without an offset are converted apart from each other, because pandas before 3
    gives a time without an offset the offset of the time before it.

    Parameters
    ----------
    cells : Series of str
        Its index has no duplicates. Cells may be missing.

    Returns
    -------
    times : Series of Timestamp
        In UTC, in seconds, NaT where a cell is not a time. Times without an offset are unchanged.
    located : Series of bool
        Whether a time has an offset.

    Examples
    --------
    >>> import pandas as pd
    >>> from data_prep.times import parse_times
    >>> times, located = parse_times(pd.Series(["2024-01-01T05:30+05:30", "2024-01-01 01:00"]))
    >>> times.dt.hour.to_list(), located.to_list()
    ([0, 1], [True, False])
    """
    located = cells.str.contains(_OFFSET, regex=True, na=False)
    possible = cells.str.match(_DIGIT, na=False)  # pandas also reads "now" and "today"
    parts = [
        pd.to_datetime(cells[rows], format="ISO8601", errors="coerce", utc=True).dt.as_unit("s")
        for rows in (possible & located, possible & ~located)
    ]
    return pd.concat(parts).reindex(cells.index), located
