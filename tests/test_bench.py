import json

import pytest
import torch
from per_segment import per_segment
from rich.console import Console

from tritonbn import Segments, bench


@pytest.mark.parametrize("layers", [bench.PublishedLayers, bench.UnboundLayers])
def test_separate_layers_are_local_batch_norm(layers):
    x = torch.randn(6, 3, 2, 4)
    expected = per_segment(x, Segments.per_cell((2, 4)), training=True).float()
    torch.testing.assert_close(layers(3, (2, 4))(x), expected)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(bench, "SHAPES", ((2, 2, 8, 8), (3, 1, 8, 8)))
    monkeypatch.setattr(bench, "_MOST_ROUNDS", 2)


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("contend", [False, True])
def test_tables_and_record_have_every_layer_and_the_machine(contend, tmp_path):
    console = Console(record=True, width=170)
    path = tmp_path / "record.json"
    bench.run_bench(console, torch.device("cpu"), contend, path)
    text, record = console.export_text(), json.loads(path.read_text())
    shapes = {}
    for row in record["layers"]:
        shapes.setdefault(tuple(row["shape"]), []).append(row["name"])
        assert row["name"] in text
        for what in ("forward", "step", "inference"):
            assert 0 < row[what]["first"] <= row[what]["median"] <= row[what]["third"]
        assert row["forward"]["median"] < row["step"]["median"]
    assert [names[0] for names in shapes.values()] == ["nn.BatchNorm2d"] * 2
    assert [len(names) for names in shapes.values()] == ([4, 4] if contend else [6, 4])
    assert "threads; Python 3." in text
    assert ("another process" in text) == contend == ("--contend" in record["command"])
    assert list(tmp_path.iterdir()) == [path]


def test_quartiles():
    spread = bench.Spread.of([0.001, 0.005, 0.002, 0.004, 0.003])
    assert (spread.first, spread.median, spread.third) == (2, 3, 4)
    assert bench.Spread.of([0.25]) == bench.Spread(250, 250, 250)


def test_the_other_process_ends_with_the_measurement():
    def interrupt():
        with bench.busy_core() as process:
            processes.append(process)
            assert process.poll() is None
            raise KeyboardInterrupt

    processes = []
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert processes[0].poll() is not None
