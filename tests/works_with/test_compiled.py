"""`LocalBN` in models that `torch.compile` compiles, against PyTorch's batch norm per segment."""

import pytest
import torch
from functorch.compile import make_boxed_func
from layouts import in_layout
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from works_with.layers import Published, hold_to

from tritonbn import LocalBN, Segments, local_batch_norm

GRID = (2, 3)
CHANNELS = 3
SEGMENTS = {
    "single": Segments.single(GRID),
    "per_cell": Segments.per_cell(GRID),
    "reversed cells": Segments([[5, 4, 3], [2, 1, 0]]),
    "nearest": Segments.nearest([0, 5], GRID),
    "a part of the grid": Segments([[0, -1, 1], [1, 0, -1]]),
}


@pytest.fixture(params=SEGMENTS)
def segments(request):
    return SEGMENTS[request.param]


def layer_of(segments, backend, device, **options):
    layer = LocalBN(CHANNELS, segments, backend=backend, device=device, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in (*layer.parameters(), layer.running_mean, layer.running_var):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return layer


def sample(device, *shape, dtype=torch.float32, mean=-1.0):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + mean
    return x.to(device, dtype)


def compiled(module, **options):
    return torch.compile(module, fullgraph=True, **{"backend": "aot_eager", **options})


@pytest.mark.parametrize(
    ("layout", "training"),
    [("contiguous", True), ("channels_last", True), ("strided", True), ("contiguous", False)],
)
def test_output_gradients_and_statistics(layout, training, segments, backend, device):
    layer = layer_of(segments, backend, device).train(training)
    reference = Published(layer)
    x = in_layout(sample(device, 4, CHANNELS, *GRID), layout)
    hold_to(reference, compiled(layer), x)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(layer, name), getattr(reference, name))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_extra_dimensions(layout, segments, backend, device):
    layer = layer_of(segments, backend, device)
    x = in_layout(sample(device, 3, CHANNELS, 2, *GRID), layout)
    hold_to(Published(layer), compiled(layer), x)


@pytest.mark.parametrize("training", [True, False])
def test_without_weight_and_bias(training, segments, device):
    layer = layer_of(segments, "native", device, affine=False).train(training)
    hold_to(Published(layer), compiled(layer), sample(device, 4, CHANNELS, *GRID))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_dtypes(dtype, segments, backend, device):
    layer = layer_of(segments, backend, device)
    x = sample(device, 4, CHANNELS, *GRID, dtype=dtype)
    tolerance = {"rtol": 1e-6, "atol": 1e-9} if dtype == torch.float64 else {"atol": 0.03}
    hold_to(Published(layer), compiled(layer), x, **tolerance)
    assert compiled(layer)(x).dtype == dtype


def test_digits_are_kept_where_the_mean_is_large(segments, device):
    layer = LocalBN(CHANNELS, segments, backend="native", device=device)
    x = sample(device, 64, CHANNELS, *GRID, mean=1e4)
    inside = segments.ids >= 0
    expected = Published(layer)(x.double())
    got = compiled(layer)(x).double()
    torch.testing.assert_close(got[..., inside], expected[..., inside], rtol=0, atol=2e-6)


@pytest.mark.parametrize("training", [True, False])
def test_cells_in_no_segment_are_independent(training, backend, device):
    segments = SEGMENTS["a part of the grid"]
    layer = layer_of(segments, backend, device).train(training)
    x = sample(device, 4, CHANNELS, *GRID)
    outside = segments.ids < 0
    hold_to(Published(layer), compiled(layer), x)
    for value in (torch.inf, torch.nan, -0.0):
        leaf = x.masked_fill(outside.to(device), value).requires_grad_()
        y = compiled(layer)(leaf)
        dy = torch.cos(x)
        y.backward(dy)
        for result, same in ((y, leaf), (leaf.grad, dy)):
            same_values, results = same[..., outside], result[..., outside]
            torch.testing.assert_close(results, same_values, rtol=0, atol=0, equal_nan=True)
            assert torch.equal(results.signbit(), same_values.signbit())
        assert y[..., ~outside].isfinite().all()
        assert leaf.grad[..., ~outside].isfinite().all()


@pytest.mark.parametrize(
    ("segments", "backend"),
    [*((name, "native") for name in SEGMENTS), ("nearest", "triton")],
    indirect=True,
)
def test_batches_of_any_size(segments, backend, device):
    layer = layer_of(segments, backend, device)
    function = compiled(layer, dynamic=True)
    for count in (3, 5, 2):
        reference = Published(layer)
        hold_to(reference, function, sample(device, count, CHANNELS, *GRID))
        torch.testing.assert_close(layer.running_var, reference.running_var)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"activation": "silu"}], ids=str)
def test_several_batches_without_and_with_a_mask(options, training, backend, device):
    """Results and states are those of the layer that is not compiled."""
    eager, twin = (
        layer_of(SEGMENTS["nearest"], backend, device, **options).train(training) for _ in range(2)
    )
    function = compiled(twin)
    x = sample(device, 5, CHANNELS, *GRID)
    mask = (torch.rand(5, 1, *GRID, generator=torch.Generator().manual_seed(2)) > 0.3).to(device)
    for batch, counted in ((x, None), (x + 1, mask), (2 * x, mask)):
        results = []
        for layer, call in ((eager, eager), (twin, function)):
            leaf = batch.clone().requires_grad_()
            y = call(leaf, counted)
            results.append((y, *torch.autograd.grad(y.sin().sum(), (leaf, *layer.parameters()))))
        torch.testing.assert_close(*results)
    torch.testing.assert_close(eager.state_dict(), twin.state_dict())


def test_an_empty_batch(segments, device):
    layer = layer_of(segments, "native", device)
    before = layer.running_mean.clone()
    x = sample(device, 0, CHANNELS, *GRID).requires_grad_()
    y = compiled(layer)(x)
    y.sum().backward()
    assert y.shape == x.grad.shape == x.shape
    assert torch.equal(layer.running_mean, before)
    assert not layer.weight.grad.any()


@pytest.mark.parametrize("training", [True, False])
def test_gradients_of_gradients(training, segments, backend, device):
    """They need a compiler that leaves the gradients to autograd, unlike `aot_eager`."""
    layer = layer_of(segments, backend, device).train(training)
    x = sample(device, 4, CHANNELS, *GRID, dtype=torch.float64)

    def penalized(module):
        leaf = x.clone().requires_grad_()
        y = module(leaf)
        (gradient,) = torch.autograd.grad(y.sin().sum(), leaf, create_graph=True)
        loss = y.mean() + gradient.square().sum()
        return torch.autograd.grad(loss, (leaf, *module.parameters()))

    expected = penalized(Published(layer))
    for mine, theirs in zip(penalized(compiled(layer, backend="eager")), expected, strict=True):
        torch.testing.assert_close(mine, theirs, check_dtype=False, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dims", [(0, 1, 3, 2), (1, 0, 2, 3), (2, 1, 0, 3)])
def test_the_output_has_the_same_strides_as_without_a_compiler(dims, backend, device):
    layer = layer_of(SEGMENTS["nearest"], backend, device)
    shape = [(4, CHANNELS, *GRID)[dims.index(dim)] for dim in range(4)]
    x = sample(device, *shape).permute(dims)
    assert compiled(layer)(x).stride() == layer(x).stride()


def test_weight_and_bias_may_be_the_same_tensor(backend, device):
    segments = SEGMENTS["nearest"]
    both = torch.full((CHANNELS, 2), 2.0, device=device)

    def function(x):
        return local_batch_norm(x, segments, None, None, both, both, True, backend=backend)

    x = sample(device, 4, CHANNELS, *GRID)
    torch.testing.assert_close(compiled(function)(x), function(x))


@pytest.mark.parametrize("training", [True, False])
def test_no_operation_on_whole_tensors_is_hidden_from_the_compiler(training, backend, device):
    hidden = []

    def look(graph, inputs):
        for node in graph.graph.nodes:
            if "tritonbn" in str(node.target):
                value = node.meta["val"]
                hidden.extend(v.numel() for v in (value if isinstance(value, tuple) else (value,)))
        return make_boxed_func(graph.forward)

    layer = layer_of(SEGMENTS["nearest"], backend, device).train(training)
    x = sample(device, 64, CHANNELS, *GRID).requires_grad_()
    function = compiled(layer, backend=aot_autograd(fw_compiler=look, bw_compiler=look))
    function(x).sum().backward()
    assert hidden or not training
    assert max(hidden, default=0) < x.numel() / 10


class Block(nn.Module):
    """A normalization with neighbours that Inductor fuses."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x, *mask):
        return torch.relu(self.norm(x, *mask)) + x


@pytest.mark.slow
@pytest.mark.usefixtures("cxx_compiler")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_by_inductor(layout, training, segments, device):
    layer = layer_of(segments, "auto", device).train(training)
    x = in_layout(sample(device, 4, CHANNELS, *GRID), layout)
    hold_to(Block(Published(layer)), compiled(Block(layer), backend="inductor"), x)


@pytest.mark.slow
@pytest.mark.usefixtures("cxx_compiler")
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_with_a_mask_by_inductor(layout, segments, device):
    layer = layer_of(segments, "auto", device)
    everything = torch.ones(4, 1, *GRID, dtype=torch.bool, device=device)
    function = compiled(Block(layer), backend="inductor")
    x = in_layout(sample(device, 4, CHANNELS, *GRID), layout)
    torch.testing.assert_close(function(x, everything), Block(layer)(x))
