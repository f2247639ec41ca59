"""Every layer that is compared computes local batch normalization, or says that it does not."""

import pytest
import torch
from per_segment import per_segment
from torch import nn

from tritonbn.bench import peers as compared
from tritonbn.bench.cases import CONTIGUOUS, FLOAT32, MAIN, Input, segments_of
from tritonbn.bench.segment_peers import (
    OneHotMatmul,
    PublishedLayers,
    StatsAndElemt,
    UnboundLayers,
    ViewAsFeatures,
)

GRID = (3, 4)
CPU = torch.device("cpu")


def stand_in_stats(x, eps):
    return x.mean(0), (x.var(0, unbiased=False) + eps).rsqrt()


def stand_in_elemt(x, weight, bias, mean, invstd, eps):
    return (x - mean) * invstd * weight + bias


def stand_in_reduce(dy, x, mean, invstd, weight, *wanted):
    return dy.sum(0), (dy * (x - mean)).sum(0), None, None


def stand_in_gradient(dy, x, mean, invstd, weight, sum_dy, sum_dy_xmu, counts):
    m = counts.sum()
    return (dy - sum_dy / m - (x - mean) * invstd.square() * sum_dy_xmu / m) * invstd * weight


@pytest.fixture
def cuda_operations(monkeypatch):
    """Replace PyTorch's CUDA operations by their formulas; a test on a GPU has the originals."""
    names = ("stats", "elemt", "backward_reduce", "backward_elemt")
    made = (stand_in_stats, stand_in_elemt, stand_in_reduce, stand_in_gradient)
    for name, function in zip(names, made, strict=True):
        monkeypatch.setattr(torch, f"batch_norm_{name}", function)


def check_against_definition(layer, segments):
    """Compare output, gradients and inference after a step with PyTorch's layers in float64."""
    generator = torch.Generator().manual_seed(0)
    x, dy = (torch.randn(5, 2, *GRID, generator=generator) for _ in range(2))
    x = (10 + 3 * x).requires_grad_()
    y = layer(x)
    (dx,) = torch.autograd.grad(y, x, dy)
    leaf = x.detach().double().requires_grad_()
    shape = (2, segments.num_segments)
    mean, var = torch.zeros(shape), torch.ones(shape)
    expected = per_segment(leaf, segments, mean, var, training=True)
    (gradient,) = torch.autograd.grad(expected, leaf, dy.double())
    torch.testing.assert_close(y.double(), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(dx.double(), gradient, rtol=1e-4, atol=1e-4)
    layer.eval()
    expected = per_segment(x.detach(), segments, mean, var)
    torch.testing.assert_close(layer(x).double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [PublishedLayers, UnboundLayers, ViewAsFeatures])
def test_layers_per_cell_are_local_batch_norm(kind):
    check_against_definition(kind(2, GRID), segments_of("per cell", GRID))


@pytest.mark.parametrize("segments", ["single", "3 nearest", "5 runs", "per cell"])
@pytest.mark.parametrize("kind", [OneHotMatmul, StatsAndElemt])
@pytest.mark.usefixtures("cuda_operations")
def test_layers_of_segments_are_local_batch_norm(kind, segments):
    parts = segments_of(segments, GRID)
    check_against_definition(kind(2, parts), parts)


@pytest.mark.parametrize("kind", [OneHotMatmul, StatsAndElemt])
@pytest.mark.usefixtures("cuda_operations")
def test_the_gradients_of_weight_and_bias_are_those_of_the_definition(kind):
    parts = segments_of("3 nearest", GRID)
    layer = kind(2, parts)
    x, dy = torch.randn(2, 5, 2, *GRID)
    with torch.no_grad():
        layer.weight.uniform_(0.5, 2.0)
        layer.bias.normal_()
    weight, bias = (p.detach().clone().requires_grad_() for p in (layer.weight, layer.bias))
    expected = per_segment(x, parts, weight=weight, bias=bias, training=True)
    wanted = torch.autograd.grad(expected, (weight, bias), dy.double())
    found = torch.autograd.grad(layer(x), (layer.weight, layer.bias), dy)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_all_layers_for_an_input_are_made_and_run():
    case = Input((4, 3, 8, 8), FLOAT32, CONTIGUOUS)
    x = torch.randn(case.shape)
    for segments in ("single", "32 nearest", "per cell"):
        found = compared.peers(case, segments, CPU)
        assert compared.LOCAL in [peer.name for peer in found]
        outputs = [peer.make()(x) for peer in found]
        for y in outputs[1:]:
            torch.testing.assert_close(y, outputs[0], rtol=1e-4, atol=1e-4)


def test_slow_layers_are_compared_at_the_published_size_only():
    names = [peer.name for peer in compared.peers(MAIN, "per cell", CPU) if peer.slow]
    assert names == [compared.UNBOUND, compared.PUBLISHED]
    smaller = MAIN._replace(shape=(8, 16, 16, 16))
    assert not any(peer.slow for peer in compared.peers(smaller, "per cell", CPU))


def test_a_one_hot_matrix_that_needs_gigabytes_is_left_out():
    case = Input((8, 4, 320, 320), FLOAT32, CONTIGUOUS)
    names = {
        segments: [peer.name for peer in compared.peers(case, segments, CPU)]
        for segments in ("1000 runs", "100000 runs")
    }
    assert compared.ONE_HOT in names["1000 runs"]
    assert names["100000 runs"] == [compared.LOCAL]


def test_compiled_layers_are_those_that_are_not_slow():
    names = [(peer.segments, peer.name) for peer in compared.compiled_peers(CPU)]
    assert ("single", "nn.BatchNorm2d, compiled") in names
    assert ("32 nearest", "one-hot matmul, compiled") in names
    assert ("per cell", "nn.BatchNorm1d on the view, compiled") in names
    assert ("per cell", "the definition, compiled") in names
    assert not any("published" in name for _, name in names)


@pytest.mark.parametrize(
    ("name", "counts"),
    [("single", [12]), ("per cell", [1] * 12), ("5 runs", [3, 2, 3, 2, 2])],
)
def test_segments_are_named_by_their_kind(name, counts):
    assert sorted(segments_of(name, GRID).cell_counts.tolist()) == sorted(counts)


def test_a_peer_of_one_kind_is_a_module():
    assert isinstance(compared.peers(MAIN, "single", CPU)[0].make(), nn.BatchNorm2d)
