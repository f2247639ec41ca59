"""`tritonbn bench`: what it prints and records."""

from argparse import ArgumentParser
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from rich.console import Console

from tritonbn.bench import command
from tritonbn.bench.cases import CONTIGUOUS, FLOAT32, Input
from tritonbn.bench.growth import Point
from tritonbn.bench.networks import Network
from tritonbn.bench.record import read_record

SMALL = Input((2, 2, 8, 8), FLOAT32, CONTIGUOUS)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(command, "INPUTS", {"cpu": [SMALL]})
    monkeypatch.setattr(command, "copy_speeds_of", lambda device: {"copy": 10.0})
    monkeypatch.setattr(command, "networks", lambda: [Network("cnn", "convolution", "none")])
    shapes = {2: (2, 2, 8, 8), 4: (4, 2, 8, 8)}
    points = [
        Point("batch", batch, Input(shape, FLOAT32, CONTIGUOUS), "32 nearest")
        for batch, shape in shapes.items()
    ]
    monkeypatch.setattr(command, "points", lambda: points)


def options(*arguments):
    parser = ArgumentParser()
    parser.set_defaults(device=torch.device("cpu"))
    command.add_options(parser)
    return parser.parse_args(arguments)


def test_a_table_names_every_layer_and_the_machine():
    console = Console(record=True, width=120)
    record = command.run_bench(options(), console)
    text = console.export_text()
    assert "Median us at (2, 2, 8, 8), float32, contiguous" in text
    assert "Python 3." in text
    assert {row["layer"] for row in record["layers"]} >= {"nn.BatchNorm2d", "LocalBN"}
    assert all(row["layer"] in text and row["segments"] in text for row in record["layers"])
    assert record["growth"] == record["models"] == []


def test_options_add_measurements_to_the_record(tmp_path, monkeypatch):
    entered = []
    monkeypatch.setattr(command, "busy_core", lambda: entered.append(1) or nullcontext())
    path = tmp_path / "record.json"
    console = Console(record=True, width=120)
    given = options("--contend", "--networks", "--growth", "--record", str(path))
    command.run_bench(given, console)
    record = read_record(path)
    idle = [row["layer"] for row in record["layers"] if not row.get("contended")]
    busy = [row["layer"] for row in record["layers"] if row.get("contended")]
    assert idle == busy
    assert entered == [1]
    assert [row["norm"] for row in record["models"]] == ["none"]
    assert {row["value"] for row in record["growth"]} == {2, 4}
    words = "tritonbn bench --contend --networks --growth --device cpu --record record.json"
    assert record["command"] == words
    text = console.export_text()
    assert "samples/s" in text
    assert "exponent" in text


def test_after_an_interruption_the_record_has_what_was_measured(tmp_path, monkeypatch):
    def interrupted(network, device):
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_network", interrupted)
    path = tmp_path / "record.json"
    with pytest.raises(KeyboardInterrupt):
        command.run_bench(options("--networks", "--record", str(path)), Console(quiet=True))
    assert [p.name for p in Path(tmp_path).iterdir()] == ["record.json"]
    assert read_record(path)["layers"]


def test_a_record_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(command, "copy_speeds_of", None)
    with pytest.raises(IsADirectoryError):
        command.run_bench(options("--record", str(tmp_path)), Console(quiet=True))


def test_what_uses_the_current_gpu_uses_the_one_asked_for(monkeypatch):
    def chosen(device):
        raise KeyboardInterrupt(device)

    given = options()
    given.device = torch.device("cuda:1")
    monkeypatch.setattr(torch.cuda, "device", chosen)
    with pytest.raises(KeyboardInterrupt, match="cuda:1"):
        command.run_bench(given, Console(quiet=True))
