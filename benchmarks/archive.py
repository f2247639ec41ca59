"""Measure the preparation of large archives: ``python benchmarks/archive.py OUT.csv``.

For each size an archive of hourly readings of 1,000 stations is written to a temporary folder, and
prepared by ``tritonbn data prepare`` in a process of its own. The largest has ten years.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

STATIONS = 1000
SIZES = {"parquet": (1_000, 10_000, 87_672, 100_000), "csv": (1_000, 10_000, 100_000)}
"""Numbers of hours: 1, 10, 88 and 100 million rows."""

MEASURE = """
import resource, sys
from tritonbn.cli import main
status = main(sys.argv[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"peak {peak} KiB", file=sys.stderr)
sys.exit(status)
"""


def main() -> None:
    """Write a table with one row per size."""
    parser = argparse.ArgumentParser(description="Measure the preparation of large archives.")
    parser.add_argument("file", type=Path, help="CSV file to write")
    file = parser.parse_args().file
    rows = []
    for kind, sizes in SIZES.items():
        for hours in sizes:
            with TemporaryDirectory() as folder:
                megabytes = write_archive(Path(folder), kind, hours)
                seconds, peak = prepare(Path(folder))
            rows.append(
                {
                    "format": kind,
                    "million rows": round(hours * STATIONS / 1e6, 1),
                    "file (MB)": round(megabytes),
                    "time (s)": round(seconds, 1),
                    "time per million rows (s)": round(seconds / hours / STATIONS * 1e6, 2),
                    "peak memory (GiB)": round(peak, 2),
                }
            )
            print(rows[-1], flush=True)
    pd.DataFrame(rows).to_csv(file, index=False)


def write_archive(folder: Path, kind: str, hours: int) -> float:
    """Write the two tables, and return the size of the readings in megabytes."""
    rng = np.random.default_rng(0)
    names = [f"S{number:04}" for number in range(STATIONS)]
    places = rng.uniform((51.0, 4.0), (51.5, 4.5), (STATIONS, 2))
    stations = pd.DataFrame(places, columns=["latitude", "longitude"])
    stations.insert(0, "station", names)
    stations.to_csv(folder / "stations.csv", index=False)
    path = folder / f"readings.{kind}"
    schema = pa.schema({"time": pa.timestamp("s"), "station": pa.string(), "value": pa.float32()})
    writer = (pq.ParquetWriter if kind == "parquet" else pacsv.CSVWriter)(path, schema)
    with writer:
        for table in tables(rng, names, hours, schema):
            writer.write_table(table)
    return path.stat().st_size / 1e6


def tables(
    rng: np.random.Generator, names: list[str], hours: int, schema: pa.Schema
) -> Iterator[pa.Table]:
    """Yield the readings of all stations, a thousand hours at a time."""
    first = np.datetime64("2014-01-01T00", "s")
    for start in range(0, hours, 1000):
        hour = np.arange(start, min(hours, start + 1000))
        value = rng.gamma(2, 6, (len(hour), STATIONS)).astype(np.float32)
        value[rng.random(value.shape) < 0.1] = np.nan
        times = first + hour * np.timedelta64(3600, "s")
        columns = [times.repeat(STATIONS), np.tile(names, len(hour)), value.round(2).ravel()]
        yield pa.table([pa.array(column) for column in columns], schema=schema)


def prepare(folder: Path) -> tuple[float, float]:
    """Return the seconds and the peak memory in GiB of the preparation."""
    command = ["data", "prepare", str(folder), "--out", str(folder / "city")]
    started = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *command], capture_output=True, text=True, check=True
    )
    seconds = perf_counter() - started
    return seconds, int(done.stderr.split("peak ")[1].split()[0]) / 2**20


if __name__ == "__main__":
    main()
