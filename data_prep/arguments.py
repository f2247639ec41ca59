"""Checks of arguments that several functions have."""

from collections.abc import Sequence
from numbers import Integral, Real

import numpy as np

from data_prep.city import DataError


def are_numbers(given: object, count: int, kind: type = Real) -> bool:
    """Return whether an argument is a sequence, or an array, of so many numbers.

    Parameters
    ----------
    given : object
    count : int
    kind : type
        Default: `numbers.Real`.

    Examples
    --------
    >>> from data_prep.arguments import are_numbers
    >>> are_numbers((0, 1000.0), 2), are_numbers(5, 2), are_numbers("05", 2)
    (True, False, False)
    """
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if not isinstance(given, Sequence) or len(given) != count:
        return False
    return all(isinstance(number, kind) and not isinstance(number, bool) for number in given)


def whole_number(given: object, name: str, least: int) -> int:
    """Return an argument that is a whole number of any type.

    Raises
    ------
    DataError
        If it is anything else, or less than `least`.

    Examples
    --------
    >>> import numpy as np
    >>> from data_prep.arguments import whole_number
    >>> whole_number(np.int64(3), "days", least=1)
    3
    """
    if isinstance(given, Integral) and not isinstance(given, bool) and int(given) >= least:
        return int(given)
    raise DataError(f"{name} must be a whole number, at least {least}, got {given!r}")


def require_texts(**given: object) -> None:
    """Raise `DataError` for the first argument that is no text.

    Examples
    --------
    >>> from data_prep.arguments import require_texts
    >>> require_texts(decimal=",", encoding=None)
    Traceback (most recent call last):
    data_prep.city.DataError: encoding must be a text, got None
    """
    for name, value in given.items():
        if not isinstance(value, str):
            raise DataError(f"{name} must be a text, got {value!r}")
