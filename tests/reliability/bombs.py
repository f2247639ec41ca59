"""Small files that unpack to more than the memory that a reader may use."""

import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

CHUNK = 1 << 24
CHUNKS = 48  # 768 MiB


def bombs(path: Path) -> Iterator[tuple[str, Path]]:
    """Make a bomb of each file of a valid input in turn; yield what it is, and `path`."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    for file in sorted(files):
        before = file.read_bytes()
        for what, content in _bombs_of(file.suffix, before):
            file.write_bytes(content)
            yield f"{file.name}: {what}", path
        file.write_bytes(before)


def _bombs_of(suffix: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    if suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {info.filename: archive.read(info) for info in archive.infolist()}
        for name in sorted({next(iter(members)), "dataset/metadata_sites.csv"} & {*members}):
            for what, repeated in (("one line", b"a"), ("empty lines", b"\n")):
                yield f"{name}, {what}", _zip_bomb(members, name, repeated)
    elif suffix == ".Rda":
        inside = gzip.decompress(data)
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as file:
            file.write(inside[:40])
            for _ in range(CHUNKS):
                file.write(bytes(CHUNK))
        yield "zeros", buffer.getvalue()
    elif suffix == ".gz":
        for what, repeated in (("one line", b"a"), ("empty lines", b"\n")):
            with io.BytesIO() as buffer:
                with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1, mtime=0) as file:
                    file.write(gzip.decompress(data))
                    for _ in range(CHUNKS):
                        file.write(repeated * CHUNK)
                yield what, buffer.getvalue()
    elif suffix == ".parquet":
        names = pq.read_schema(io.BytesIO(data)).names
        yield "rows without a value", _parquet_bomb(names)


def _zip_bomb(members: dict[str, bytes], bomb: str, repeated: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            if name != bomb:
                archive.writestr(name, content)
        with archive.open(bomb, "w") as file:
            file.write(members[bomb])
            for _ in range(CHUNKS):
                file.write(repeated * CHUNK)
    return buffer.getvalue()


def _parquet_bomb(names: list[str]) -> bytes:
    rows = pa.nulls(1 << 20, pa.float64())
    table = pa.table(dict.fromkeys(names, rows))
    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, table.schema) as writer:
        for _ in range(CHUNKS * CHUNK // 8 // (1 << 20) // 2):
            writer.write_table(table)
    return buffer.getvalue()
