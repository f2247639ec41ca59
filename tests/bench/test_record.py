"""Records are written completely or not at all, and those of the repository can be read."""

import json
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from tritonbn.bench.cases import CONTIGUOUS, FLOAT32, Input
from tritonbn.bench.measure import measure
from tritonbn.bench.peers import Peer
from tritonbn.bench.record import copy_of, new_record, read_record, require_writable, write_record
from tritonbn.bench.report import copy_ratio, global_ratio, layers_table, share_of_norm

RECORDS = sorted((Path(__file__).parents[2] / "benchmarks" / "records").glob("*.json"))


def row_of(layer, median, **others):
    row = {"shape": [10, 10, 10, 10], "dtype": "float32", "memory_format": "contiguous"}
    return {**row, "segments": "single", "layer": layer, "step": {"median_us": median}, **others}


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = new_record(torch.device("cpu"), "tritonbn bench", {"large": 20.0, "small": 40.0})
    record["layers"].append(row_of("LocalBN", 2.0))
    write_record(record, tmp_path / "folder" / "a.json")
    assert read_record(tmp_path / "folder" / "a.json") == record
    assert copy_of(record) == 20.0
    assert record["threads"] == torch.get_num_threads()
    assert record["versions"]["torch"] == torch.__version__


def test_a_record_that_cannot_be_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(TypeError):
        write_record({"layers": [torch.float32]}, path)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.json", "old")]


def test_a_record_that_could_not_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    for path, error in (
        (tmp_path, IsADirectoryError),
        (tmp_path / "file" / "a.json", NotADirectoryError),
    ):
        with pytest.raises(error) as caught:
            require_writable(path)
        assert caught.value.filename == str(path)
    require_writable(tmp_path / "folder" / "a.json")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_another_file_is_no_record(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"date": "2026-11-27"}), encoding="utf-8")
    with pytest.raises(ValueError, match="is no record of tritonbn bench"):
        read_record(path)


def is_complete(row):
    return "error" in row or row["step"]["median_us"] > 0


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_records_of_the_repository_are_complete(path):
    record = read_record(path)
    assert record["layers"]
    assert copy_of(record) > 0
    assert all(is_complete(row) for row in record["layers"])


def test_a_layer_that_failed_is_recorded_and_shown_with_its_error(tmp_path):
    def fail():
        raise RuntimeError("it is broken")

    case = Input((2, 2, 4, 4), FLOAT32, CONTIGUOUS)
    compared = [Peer("single", "broken", fail), Peer("single", "whole", lambda: nn.BatchNorm2d(2))]
    record = new_record(torch.device("cpu"), "tritonbn bench", {"large": 20.0})
    record["layers"] += measure(case, compared, torch.device("cpu"))
    write_record(record, tmp_path / "a.json")
    rows = read_record(tmp_path / "a.json")["layers"]
    assert [row["layer"] for row in rows if "error" in row] == ["broken"]
    assert all(is_complete(row) for row in rows)
    console = Console(record=True, width=120)
    console.print(layers_table(rows, copy_of(record)))
    lines = [line.strip() for line in console.export_text().splitlines()]
    assert "broken, single: RuntimeError: it is broken" in lines
    (shown,) = [line.split() for line in lines if line.startswith("broken ")]
    assert {*shown[1:]} == {"-"}


def test_a_ratio_is_that_to_the_global_layer_of_the_same_input():
    rows = [
        row_of("nn.BatchNorm2d", 100.0, dtype="bfloat16"),
        row_of("nn.BatchNorm2d", 40.0, contended=True),
        row_of("nn.BatchNorm2d", 20.0),
        row_of("LocalBN", 25.0),
    ]
    assert global_ratio(rows[3], rows) == 1.25
    assert global_ratio(rows[3], rows[:2]) is None


def test_a_step_reads_and_writes_five_times():
    # 5 * 10,000 values of 4 bytes at 2 GB/s are 100 us
    assert copy_ratio(row_of("LocalBN", 250.0), 2.0) == pytest.approx(2.5)
    assert copy_ratio(row_of("LocalBN", 250.0, dtype="bfloat16"), 2.0) == pytest.approx(5.0)


def test_the_share_of_a_norm_is_what_the_network_takes_longer():
    def network(norm, step, head="dense"):
        return {"backbone": "cnn", "head": head, "norm": norm, "step_us": step}

    rows = [network("none", 75.0), network("local", 100.0), network("none", 1.0, "convolution")]
    assert share_of_norm(rows[1], rows) == pytest.approx(0.25)
    assert share_of_norm(rows[0], rows) is None
