"""Text in files: what to try where it cannot be read."""

import re
from pathlib import Path

_HEAD_BYTES = 4
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


def encoding_hint(file: Path | bytes) -> str:
    """Say which encoding to try for text that is not UTF-8.

    Parameters
    ----------
    file : Path or bytes
        The file, or its first bytes.
    """
    if isinstance(file, Path):
        with file.open("rb") as stream:
            file = stream.read(_HEAD_BYTES)
    guess = "utf-16" if file.startswith(_BYTE_ORDER_MARKS) else "latin-1"
    return (
        f"the text is not encoded in UTF-8; try encoding={guess!r} of the source csv, on the "
        f"command line --encoding {guess}, or save the file in UTF-8"
    )


def number_hint(text: str) -> str:
    """Say which option reads a text that is not a number, if there is one.

    Parameters
    ----------
    text : str

    Examples
    --------
    >>> from data_prep.text import number_hint
    >>> number_hint("12,5")
    "; for a decimal comma, use decimal=',' of the source csv, on the command line --decimal ,"
    >>> number_hint("1,234.5")[:40]
    '; for commas between thousands, use thou'
    """
    if re.fullmatch(r"[+-]?\d+,\d{1,2}|[+-]?\d+,\d{4,}|[+-]?0,\d+", text):
        return _offer("for a decimal comma", "decimal", ",")
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", text):
        return _offer("for commas between thousands", "thousands", ",")
    return _offer("to count text as missing", "text", "missing")


def _offer(purpose: str, option: str, value: str) -> str:
    return (
        f"; {purpose}, use {option}={value!r} of the source csv, on the command line "
        f"--{option} {value}"
    )
