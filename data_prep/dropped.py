"""The rows that do not count, and why."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Dropped = Counter[str]
"""Numbers of rows that do not count, by reason."""


def count_dropped(dropped: Dropped, reasons: Mapping[str, npt.ArrayLike]) -> npt.NDArray[np.bool_]:
    """Return which rows count, and add the numbers of the others to `dropped`.

    Parameters
    ----------
    dropped : Counter
    reasons : mapping of array of bool, shape (rows,)
        For each reason, the rows that do not count. A row with several reasons is added to the
        first of them.

    Returns
    -------
    array of bool, shape (rows,)

    Examples
    --------
    >>> from collections import Counter
    >>> from data_prep.dropped import count_dropped
    >>> dropped = Counter()
    >>> count_dropped(dropped, {"low": [True, False, False], "odd": [True, True, False]})
    array([False, False,  True])
    >>> dropped
    Counter({'low': 1, 'odd': 1})
    """
    right: npt.NDArray[np.bool_] | None = None
    for reason, wrong in reasons.items():
        flags = np.asarray(wrong, bool)
        right = np.ones(len(flags), bool) if right is None else right
        dropped[reason] += int(np.count_nonzero(right & flags))
        right &= ~flags
    assert right is not None
    return right
