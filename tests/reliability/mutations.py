"""Mutations of files: strategies of hypothesis, which take the files of a valid input."""

import gzip
import io
import json
import zipfile
import zlib
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

Files = dict[str, bytes]
"""The content of each file by its path in the input."""

TEXTS = (
    *("", " ", "nan", "inf", "-inf", "1e999", "1e308", "3.4e38", "-9999", "-0", "1_000", "0x10"),
    *(
        "99999999999999999999",
        "abc",
        "True",
        "null",
        "1,5",
        "1;5",
        "'",
        '"',
        '"a\nb"',
        "=1+1",
        "[/b]",
        ":car:",
    ),
    *("\0", "\x1b[31m", "\x85", "\u2028", "\t", "é", "💨", "../../x", "a/b", "a" * 100_000),
    *("2020-13-45", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2024-01-01T00:00+25:00"),
    *("-2024-01-01", "1970-01-01", "2024-02-30", "292277026596-12-04", "1e18", "91", "-181"),
)
JSON_VALUES = (
    *(None, True, 0, -1, 2**63, 10**400, 1e308, float("nan"), float("inf"), "", "text", "\0"),
    *([], {}, [1], [[]], {"a": 1}, [2, 2], [0, 0], [-4, -4], ["4", "4"], [1e9, 1e9], "4x4"),
)
CELLS = (
    *(None, True, 0, -1, 2**62, 1e308, 3.4e38, float("nan"), float("inf"), "", "text", "2024"),
    *(b"bytes", [1.0], {"a": 1}, Decimal("1.5"), date(1, 1, 1), datetime(9999, 1, 1)),
    *(datetime(2024, 1, 1, tzinfo=UTC), "\0", "a" * 100_000),
)
ENCODINGS = ("utf-16", "utf-32", "latin-1", "utf-8-sig", "cp037")
NAMES = (
    "../escape.csv",
    "/escape.csv",
    "dataset/../../escape.csv",
    "dataset/Antwerp_1.csv/x",
    "\\",
)


@st.composite
def mutated(draw: st.DrawFn, files: Files) -> Files:
    """Return files of which one or several are damaged."""
    files = dict(files)
    for _ in range(draw(st.integers(1, 3))):
        name = draw(st.sampled_from(sorted(files)))
        how = draw(st.integers(0, 19))
        if how == 0 and len(files) > 1:
            del files[name]
        elif how == 1:
            files[draw(st.sampled_from(sorted(files)))] = files[name]
        else:
            files[name] = draw(content(PurePosixPath(name).suffix.lower(), files[name]))
    return files


def content(suffix: str, data: bytes) -> st.SearchStrategy[bytes]:
    """Return mutations of the content of a file."""
    known = {
        ".csv": csv_bytes,
        ".json": json_bytes,
        ".parquet": parquet_bytes,
        ".zip": zip_bytes,
        ".rda": rda_bytes,
    }
    if suffix not in known:
        return any_bytes(data)
    return st.one_of(any_bytes(data), *[known[suffix](data)] * 3)


@st.composite
def any_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Cut, swap, insert or repeat bytes, or flip a bit."""
    first, second = sorted(draw(st.tuples(*[st.integers(0, len(data))] * 2)))
    middle = data[first:second]
    how = draw(st.sampled_from(["end", "cut", "swap", "insert", "repeat", "flip", "empty", "gzip"]))
    if how == "end":
        return data[:second]
    if how == "cut":
        return data[:first] + data[second:]
    if how == "swap":
        return data[second:] + middle + data[:first]
    if how == "insert":
        return data[:first] + draw(st.binary(max_size=40)) + data[first:]
    if how == "repeat":
        return data[:second] + middle * draw(st.integers(1, 50)) + data[second:]
    if how == "gzip":
        return gzip.compress(data, mtime=0)
    if how == "empty" or first == len(data):
        return b""
    flipped = data[first] ^ 1 << draw(st.integers(0, 7))
    return data[:first] + bytes([flipped]) + data[first + 1 :]


@st.composite
def csv_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Change the columns, cells, lines or encoding of a table without quotes."""
    rows = [line.split(",") for line in data.decode("latin-1").splitlines()] or [[""]]
    row = draw(st.integers(0, len(rows) - 1))
    column = draw(st.integers(0, len(rows[0]) - 1))
    text = draw(st.one_of(st.sampled_from(TEXTS), st.text(max_size=5)))
    there = [cells for cells in rows if column < len(cells)]
    how = draw(
        st.sampled_from(["drop", "twice", "rename", "cell", "column", "line", "code", "end"])
    )
    if how == "drop":
        for cells in there:
            del cells[column]
    elif how == "twice":
        for cells in there:
            cells.append(cells[column])
    elif how == "rename" and there:
        there[0][column] = text
    elif how == "cell" and column < len(rows[row]):
        rows[row][column] = text
    elif how == "column":
        for cells in there[1:]:
            cells[column] = text
    elif how == "line":
        del rows[row][draw(st.integers(0, len(rows[row]))) :]
        rows[row] += [text] * draw(st.integers(0, 3))
    comma, end = ",", "\n"
    if how == "end":
        comma, end = draw(st.sampled_from([";", "\t", ",,"])), draw(st.sampled_from("\r\n\0"))
    lines = end.join(comma.join(cells) for cells in rows) + end
    if how == "code":
        return lines.encode(draw(st.sampled_from(ENCODINGS)), "replace")
    return b"".join(
        c.encode("latin-1") if ord(c) < 256 else c.encode("utf-8", "replace") for c in lines
    )


@st.composite
def json_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Drop or replace a value somewhere, or all of it."""
    try:
        document = [json.loads(data)]
    except ValueError:
        return data
    place, key = document, 0
    while isinstance(inner := place[key], dict | list) and inner and draw(st.integers(0, 5)):
        place = inner
        keys = sorted(inner) if isinstance(inner, dict) else range(len(inner))
        key = draw(st.sampled_from(keys))
    if place is not document and draw(st.booleans()):
        del place[key]
    else:
        place[key] = draw(st.sampled_from(JSON_VALUES))
    return json.dumps(document[0]).encode()


@st.composite
def parquet_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Drop, rename, duplicate or replace a column, or some of its cells or rows."""
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError):
        return data
    if not table.num_columns:
        return data
    column = draw(st.integers(0, table.num_columns - 1))
    name = table.column_names[column]
    how = draw(st.sampled_from(["drop", "rename", "twice", "replace", "cell", "rows"]))
    if how == "drop":
        table = table.remove_column(column)
    elif how == "rename":
        other = draw(st.sampled_from([*table.column_names, *TEXTS]))
        names = table.column_names
        table = table.rename_columns([*names[:column], other, *names[column + 1 :]])
    elif how == "twice":
        table = table.append_column(name, table[column])
    elif how in ("replace", "cell"):
        values = table[column].to_pylist()
        cell = draw(st.sampled_from(CELLS))
        first = 0 if how == "replace" else draw(st.integers(0, len(values)))
        last = len(values) if how == "replace" else first + 1
        values[first:last] = [cell] * len(values[first:last])
        try:
            table = table.set_column(column, name, pa.array(values))
        except (pa.ArrowException, ArithmeticError, TypeError, ValueError):
            return data
    else:
        table = table.slice(0, draw(st.integers(0, table.num_rows)))
    buffer = io.BytesIO()
    try:
        pq.write_table(table, buffer)
    except (pa.ArrowException, UnicodeError):
        return data
    return buffer.getvalue()


@st.composite
def zip_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Change a member, its name or its entry."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
    except Exception:
        return data
    if not members:
        return data
    name = draw(st.sampled_from(sorted(members)))
    how = draw(st.integers(0, 9))
    if how == 0:
        members[draw(st.sampled_from(NAMES))] = members.pop(name)
    elif how == 1:
        del members[name]
    else:
        members[name] = draw(content(PurePosixPath(name).suffix, members[name]))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for member, text in members.items():
            info = zipfile.ZipInfo(member, (2020, 1, 1, 0, 0, 0))
            archive.writestr(info, text, zipfile.ZIP_DEFLATED)
    whole = bytearray(buffer.getvalue())
    entry = whole.find(b"PK\1\2")
    if how == 2:  # encrypted, another method, or a wrong size in the first entry of the directory
        at, value = draw(st.sampled_from([(8, 1), (10, 99), (20, 255), (24, 255), (42, 255)]))
        whole[entry + at] = value
    return bytes(whole)


@st.composite
def rda_bytes(draw: st.DrawFn, data: bytes) -> bytes:
    """Change what is compressed."""
    try:
        inside = gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        inside = data
    return gzip.compress(draw(any_bytes(inside)), mtime=0)
