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


def test_the_table_names_every_layer_and_the_machine(monkeypatch):
    sizes = bench.measure(batch=2, channels=2, grid=(8, 8), rounds=1)
    monkeypatch.setattr(bench, "measure", lambda *_, **__: sizes)
    console = Console(record=True, width=150)
    bench.run_bench(console)
    text = console.export_text()
    assert all(timing.name in text and timing.total > 0 for timing in sizes)
    assert "threads; Python 3." in text
