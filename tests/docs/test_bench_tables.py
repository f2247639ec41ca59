"""The tables of times: what they take from a record, and from which."""

import importlib
import json
from pathlib import Path

import pytest

STEP = {"min_us": 900.0, "quartile_1_us": 950.0, "quartile_3_us": 1_050.0, "max_us": 1_100.0}


def row_of(layer, segments, median, **others):
    row = {"shape": [10, 10, 10, 10], "dtype": "float32", "memory_format": "contiguous"}
    step = {**STEP, "median_us": median}
    return {**row, "segments": segments, "layer": layer, "step": step, "forward": step, **others}


def record_of(date, *layers, **others):
    facts = {"date": date, "command": "tritonbn bench", "device": "X", "threads": 2}
    versions = {"torch": "2", "python": "3"}
    speeds = {"ceilings_gb_per_s": {"large": 2.0, "small": 9.0}}
    return {**facts, "versions": versions, **speeds, "layers": [*layers], **others}


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Return the layouts, which read the records of an empty folder."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "docs")
    module = importlib.import_module("bench_layouts")
    monkeypatch.setattr(module, "RECORDS", tmp_path)
    return module


def write(folder, name, record):
    (folder / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")


def test_the_newest_record_of_a_machine_is_found(bench, tmp_path):
    with pytest.raises(ValueError, match="no record of box"):
        bench.newest("box")
    write(tmp_path, "box-2", record_of("2026-01-01"))
    write(tmp_path, "box-1", record_of("2026-02-01"))
    write(tmp_path, "other-1", record_of("2026-03-01"))
    assert bench.newest("box")["date"] == "2026-02-01"


def test_layers_stand_by_input_and_segments_beside_an_earlier_record(bench, tmp_path):
    rows = [
        row_of("LocalBN", "per cell", 250.0, host_step_us=7.4),
        row_of("broken", "single", 1.0, error="RuntimeError") | {"step": {}},
        row_of("nn.BatchNorm2d", "single", 1000.0),
        row_of("LocalBN", "single", 1.0, contended=True),
    ]
    rows[1].pop("step")
    write(tmp_path, "box-2", record_of("2026-02-01", *rows))
    write(tmp_path, "before", record_of("2026-01-01", row_of("LocalBN", "per cell", 300.0)))
    # a copy of 5 * 10,000 values of 4 bytes at 2 GB/s takes 100 us
    assert bench.layers("box", "before").splitlines()[2:] == [
        "| (10, 10, 10, 10) | float32 | contiguous | single | nn.BatchNorm2d | 1,000 | 1,000 | 20% "
        "| 10.00 | - | - |",
        "| (10, 10, 10, 10) | float32 | contiguous | per cell | LocalBN | 250 | 250 | 80% "
        "| 2.50 | 300 | 7 |",
    ]


def test_cpu_steps_have_ratios_to_the_global_layer(bench, tmp_path):
    rows = [
        row_of("nn.BatchNorm2d", "single", 1_000.0, inference={"median_us": 100.0}),
        row_of("LocalBN", "per cell", 1_250.0, inference={"median_us": 150.0}),
        row_of("nn.BatchNorm2d", "single", 2_000.0, contended=True),
        row_of("LocalBN", "per cell", 3_000.0, contended=True),
    ]
    write(tmp_path, "box-1", record_of("2026-01-01", *rows))
    lines = bench.cpu_steps("box").splitlines()
    assert lines[2:4] == [
        "| (10, 10, 10, 10) | `nn.BatchNorm2d` | 1.00 | 0.95 to 1.05 | 1.00 | 1.00 | 1.00 |",
        "| (10, 10, 10, 10) | `LocalBN`, one segment per cell | 1.25 | 0.95 to 1.05 | 1.25 | 1.50 "
        "| 1.50 |",
    ]
    assert lines[-1] == (
        "Measured on 2026-01-01 on X, 2 threads (torch 2, Python 3) by `tritonbn bench`."
    )


def test_networks_show_the_share_of_the_norm(bench, tmp_path):
    def network(norm, step):
        name = {"backbone": "cnn", "head": "dense", "norm": norm}
        return {**name, "step_us": step, "host_step_us": 2_000.0, "samples_per_s": 64_000}

    models = [network("none", 750.0), network("local", 1_000.0)]
    write(tmp_path, "box-1", record_of("2026-01-01", models=models))
    write(tmp_path, "before", record_of("2025-01-01", models=models[1:]))
    assert bench.networks("box", "before").splitlines()[2:] == [
        "| cnn | dense | none | - | 750 | - | 2,000 | 64,000 |",
        "| cnn | dense | local | 1,000 | 1,000 | 25% | 2,000 | 64,000 |",
    ]
