"""The layouts of the tables of times: Markdown from the records in `benchmarks/records`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tritonbn.bench.peers import GLOBAL, LOCAL, PUBLISHED, UNBOUND, VIEW
from tritonbn.bench.record import Record, copy_of, read_record
from tritonbn.bench.report import copy_ratio, global_ratio, key_of, share_of_norm
from tritonbn.tables import RIGHT, markdown

RECORDS = Path(__file__).resolve().parents[1] / "benchmarks" / "records"
Row = dict[str, Any]

SEGMENTS = {
    "single": "one segment",
    "32 nearest": "32 nearest-station segments",
    "per cell": "one segment per cell",
}
SHOWN_ON_CPU = [
    (GLOBAL, "single"),
    *((LOCAL, segments) for segments in SEGMENTS),
    ("one-hot matmul", "32 nearest"),
    (VIEW, "per cell"),
    (UNBOUND, "per cell"),
    (PUBLISHED, "per cell"),
]
SHOWN_ON_GPU = [
    (LOCAL, "per cell"),
    (VIEW, "per cell"),
    (LOCAL, "32 nearest"),
    (LOCAL, "single"),
    (GLOBAL, "single"),
]


def newest(machine: str) -> Record:
    """Return the newest record whose file is named after a machine, such as "h100"."""
    records = [read_record(path) for path in RECORDS.glob(f"{machine}-*.json")]
    if not records:
        raise ValueError(f"no record of {machine} in {RECORDS}")
    return max(records, key=lambda record: str(record["date"]))


def layers(machine: str, before: str) -> str:
    """Tabulate all layers of the newest record, in microseconds.

    Parameters
    ----------
    machine : str
        See `newest`.
    before : str
        An earlier record, by the name of its file.
    """
    record, earlier = newest(machine), read_record(RECORDS / f"{before}.json")
    then = {_name(row): row for row in earlier["layers"] if "step" in row}
    measured = [row for row in record["layers"] if "step" in row and not row.get("contended")]
    inference = any("inference" in row for row in measured)
    words = ["(N, C, H, W)", "type", "memory", "segments", "layer", "forward", "step", "range"]
    rows = [[*words, *["inference"] * inference, "ratio to copy", "step before", "launch"]]
    for row in sorted(measured, key=lambda row: _place(row, measured)):
        old = then.get(_name(row))
        rows.append(
            [
                str(tuple(row["shape"])),
                row["dtype"],
                row["memory_format"],
                row["segments"],
                row["layer"],
                _median(row, "forward"),
                _median(row, "step"),
                f"{_range(row):.0%}",
                *[_median(row, "inference")] * inference,
                f"{copy_ratio(row, copy_of(record)):,.2f}",
                "-" if old is None else _median(old, "step"),
                f"{row['host_step_us']:,.0f}" if "host_step_us" in row else "-",
            ]
        )
    return markdown(rows, ["---"] * 5 + [RIGHT] * (len(rows[0]) - 5))


def gpu_steps(machine: str) -> str:
    """Tabulate the steps at (128, 64, 32, 32) in float32 and contiguous memory."""
    record = newest(machine)
    main = [row for row in _at(record, (128, 64, 32, 32)) if "step" in row]
    rows = [["layer", "us", "ratio to copy", "launch, us"]]
    for layer, segments in SHOWN_ON_GPU:
        row = next(r for r in main if (r["layer"], r["segments"]) == (layer, segments))
        ratio = f"{copy_ratio(row, copy_of(record)):.2f}"
        launch = f"{row['host_step_us']:,.0f}"
        rows.append([_title(layer, segments), _median(row, "step"), ratio, launch])
    return f"{markdown(rows, RIGHT)}\n\n{_source(record)}"


def cpu_steps(machine: str) -> str:
    """Tabulate the steps of the newest record in float32 and contiguous memory."""
    record = newest(machine)
    header = ["(N, C, H, W)", "layer", "step, ms", "quartiles", "ratio to `nn.BatchNorm2d`"]
    rows = [[*header, "ratio, one core busy", "ratio, inference"]]
    for shape in dict.fromkeys(tuple(row["shape"]) for row in record["layers"]):
        found = [row for row in _at(record, shape) if "step" in row]
        for layer, segments in SHOWN_ON_CPU:
            here = [row for row in found if (row["layer"], row["segments"]) == (layer, segments)]
            idle = [row for row in here if not row.get("contended")]
            busy = [row for row in here if row.get("contended")]
            if not idle:
                continue
            times = idle[0]["step"]
            digits = 1 if times["median_us"] >= 1e4 else 2
            names = ("median_us", "quartile_1_us", "quartile_3_us")
            median, low, high = (f"{times[name] / 1e3:,.{digits}f}" for name in names)
            rows.append(
                [
                    str(shape),
                    _title(layer, segments),
                    median,
                    "one round" if times["min_us"] == times["max_us"] else f"{low} to {high}",
                    _ratio(idle, found, "step"),
                    _ratio(busy, found, "step"),
                    _ratio(idle, found, "inference"),
                ]
            )
    return f"{markdown(rows, ['---', '---', *[RIGHT] * 5])}\n\n{_source(record)}"


def networks(machine: str, before: str) -> str:
    """Tabulate the steps of the networks, in microseconds; the parameters are those of `layers`."""
    record, earlier = newest(machine), read_record(RECORDS / f"{before}.json")
    names = ("backbone", "head", "norm")
    then = {tuple(row[name] for name in names): row for row in earlier["models"]}
    rows = [[*names, "step before", "step", "share of the norm", "launch", "samples/s"]]
    for row in record["models"]:
        name = [row[name] for name in names]
        if "error" in row:
            rows.append([*name, *["-"] * 5])
            continue
        share = share_of_norm(row, record["models"])
        old = then.get(tuple(name), {}).get("step_us")
        rows.append(
            [
                *name,
                "-" if old is None else f"{old:,.0f}",
                f"{row['step_us']:,.0f}",
                "-" if share is None else f"{share:.0%}",
                f"{row['host_step_us']:,.0f}",
                f"{row['samples_per_s']:,}",
            ]
        )
    return markdown(rows, ["---"] * 3 + [RIGHT] * 5)


def _at(record: Record, shape: tuple[int, ...]) -> list[Row]:
    return [
        row
        for row in record["layers"]
        if (tuple(row["shape"]), row["dtype"], row["memory_format"])
        == (shape, "float32", "contiguous")
    ]


def _name(row: Row) -> tuple[object, ...]:
    return (*key_of(row), row["segments"], row["layer"])


def _place(row: Row, rows: Sequence[Row]) -> tuple[int, int]:
    """Return the order of a row: inputs as they were measured, then by segments."""
    inputs = list(dict.fromkeys(key_of(other) for other in rows))
    return inputs.index(key_of(row)), list(SEGMENTS).index(row["segments"])


def _median(row: Row, name: str) -> str:
    return f"{row[name]['median_us']:,.0f}" if name in row else "-"


def _range(row: Row) -> float:
    step: dict[str, float] = row["step"]
    return (step["max_us"] - step["min_us"]) / step["median_us"]


def _ratio(chosen: Sequence[Row], rows: Sequence[Row], name: str) -> str:
    if not chosen or name not in chosen[0]:
        return "-"
    ratio = global_ratio(chosen[0], rows, name)
    return "-" if ratio is None else f"{ratio:,.2f}"


def _title(layer: str, segments: str) -> str:
    if layer == LOCAL:
        return f"`LocalBN`, {SEGMENTS[segments]}"
    if layer == VIEW:
        return "`nn.BatchNorm1d` on the `(N, C * H * W)` view"
    return f"`{GLOBAL}`" if layer == GLOBAL else layer


def _source(record: Record) -> str:
    versions = record["versions"]
    threads = f", {record['threads']} threads" if "threads" in record else ""
    note = f" ({record['note']})" if "note" in record else ""
    return (
        f"Measured on {record['date'][:10]} on {record['device']}{threads} (torch "
        f"{versions['torch']}, Python {versions['python']}) by `{record['command']}`{note}."
    )
