"""The benchmark on a GPU: every layer computes the same, and is measured."""

import pytest
import torch

from tritonbn.bench.cases import CONTIGUOUS, FLOAT32, Input, segments_of
from tritonbn.bench.measure import measure
from tritonbn.bench.peers import STATS, peers

pytestmark = pytest.mark.gpu

CASE = Input((8, 4, 8, 8), FLOAT32, CONTIGUOUS)


@pytest.mark.parametrize("segments", ["32 nearest", "per cell"])
def test_all_layers_compute_the_same(segments):
    device = torch.device("cuda")
    x = torch.randn(CASE.shape, device=device, requires_grad=True)
    dy = torch.randn(CASE.shape, device=device)
    found = peers(CASE, segments, device)
    assert segments == "per cell" or STATS in [peer.name for peer in found]
    results = []
    for peer in found:
        with peer.limits():
            layer = peer.make()
            y = layer(x)
            results.append((y, *torch.autograd.grad(y, x, dy), layer.eval()(x)))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-3, atol=1e-3)


def test_all_layers_are_measured():
    device = torch.device("cuda")
    compared = peers(CASE, "32 nearest", device)
    assert len(segments_of("32 nearest", CASE.grid).cell_counts) == 32
    rows = measure(CASE, compared, device)
    assert [row["layer"] for row in rows] == [peer.name for peer in compared]
    for row in rows:
        assert "error" not in row
        assert row["forward"]["median_us"] < row["step"]["median_us"]
        assert row["inference"]["median_us"] > 0
        assert row["host_step_us"] > 0
