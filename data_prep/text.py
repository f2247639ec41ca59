"""Text in files: what to try where it cannot be read."""

import re
from pathlib import Path

_HEAD_BYTES = 4
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


def csv_hint(purpose: str, readings: Path, options: str = "") -> str:
    """Say how the source csv, which knows more notations, reads the tables of a tidy city.

    Parameters
    ----------
    purpose : str
    readings : Path
        The table of readings. For Parquet, which that source does not read, there is no hint.
    options : str
        Those of the command line that serve the purpose, after a space. Default: none.

    Examples
    --------
    >>> from pathlib import Path
    >>> from data_prep.text import csv_hint
    >>> csv_hint("for x", Path("my/readings.csv"), " --decimal ,")
    '; for x, read it as csv:my/readings.csv with --stations my/stations.csv --decimal ,'
    >>> csv_hint("for x", Path("my/readings.parquet"), " --decimal ,")
    ''
    """
    if readings.suffix.lower() == ".parquet":
        return ""
    stations = readings.parent / "stations.csv"
    return f"; {purpose}, read it as csv:{readings} with --stations {stations}{options}"


def encoding_hint(file: Path | bytes, readings: Path | None = None) -> str:
    """Say which encoding to try for text that is not UTF-8.

    Parameters
    ----------
    file : Path or bytes
        The file, or its first bytes.
    readings : Path, optional
        The table of readings of the tidy city to which the file belongs. Default: the file is read
        by the source csv.
    """
    if isinstance(file, Path):
        with file.open("rb") as stream:
            file = stream.read(_HEAD_BYTES)
    guess = "utf-16" if file.startswith(_BYTE_ORDER_MARKS) else "latin-1"
    hint = _offer("to read it as it is", "encoding", guess, readings)
    return f"the text is not encoded in UTF-8; save the file in UTF-8{hint}"


def number_hint(text: str, readings: Path | None = None) -> str:
    """Say which option reads a text that is not a number.

    Parameters
    ----------
    text : str
    readings : Path, optional
        As for `encoding_hint`.

    Examples
    --------
    >>> from data_prep.text import number_hint
    >>> number_hint("12,5")
    "; for a decimal comma, use decimal=',' of the source csv, on the command line --decimal ,"
    >>> number_hint("1,234.5")[:40]
    '; for commas between thousands, use thou'
    """
    if re.fullmatch(r"[+-]?[1-9]\d{0,2},\d{3}", text):
        purpose = "for a decimal comma (for commas between thousands --thousands ,)"
        return _offer(purpose, "decimal", ",", readings)
    if re.fullmatch(r"[+-]?\d+,\d{1,2}|[+-]?\d+,\d{4,}|[+-]?0,\d+", text):
        return _offer("for a decimal comma", "decimal", ",", readings)
    if re.fullmatch(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", text):
        return _offer("for commas between thousands", "thousands", ",", readings)
    return _offer("to count text as missing", "text", "missing", readings)


def _offer(purpose: str, option: str, value: str, readings: Path | None) -> str:
    if readings is not None:
        return csv_hint(purpose, readings, f" --{option} {value}")
    return (
        f"; {purpose}, use {option}={value!r} of the source csv, on the command line "
        f"--{option} {value}"
    )
