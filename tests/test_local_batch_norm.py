"""`local_batch_norm` against PyTorch's own batch norm, applied segment by segment in float64."""

import pytest
import torch
from layouts import in_layout
from no_gradient import WithoutGradient
from per_segment import per_segment

from tritonbn import Segments, local_batch_norm
from tritonbn.levels import Levels

GRID = (4, 5)
SEGMENTS = {
    "single": Segments.single(GRID),
    "per_cell": Segments.per_cell(GRID),
    "nearest": Segments.nearest([0, 7, 19], GRID),
    "pool": Segments.stations([19, 0, 7], GRID),
    "identity": Segments.stations([19, 0, 7], GRID, rest="identity"),
}
TOLERANCE = {
    torch.float64: {"rtol": 1e-12, "atol": 1e-12},
    torch.float32: {"rtol": 1e-5, "atol": 2e-6},
    torch.bfloat16: {"rtol": 2**-8, "atol": 1e-4},
    torch.float16: {"rtol": 2**-11, "atol": 1e-5},
}


def sample(segments, dtype=torch.float32, extra=(), channels=3, batch=6, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    columns = (channels, segments.num_segments)
    x = (randn(batch, channels, *extra, *segments.grid) * 2 + 3).to(dtype)
    weight, bias = randn(*columns), randn(*columns)
    running_mean, running_var = randn(*columns), randn(*columns).square() + 0.5
    parameters = [p.to(torch.promote_types(dtype, torch.float32)) for p in (weight, bias)]
    return x, running_mean, running_var, *parameters


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
@pytest.mark.parametrize("extra", [(), (2,), (2, 3)])
@pytest.mark.parametrize("name", SEGMENTS)
def test_forward_backward_and_running_statistics(name, extra, layout, training, backend):
    segments = SEGMENTS[name]
    x, mean, var, weight, bias = sample(segments, torch.float64, extra)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    results = []
    for function, options in ((per_segment, {}), (local_batch_norm, {"backend": backend})):
        running = mean.clone(), var.clone()
        y = function(
            in_layout(x, layout), segments, *running, weight, bias, training, 0.3, 1e-3, **options
        )
        dy = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).sin().view(y.shape)
        results.append((y, *running, *torch.autograd.grad(y, leaves, dy)))
    for got, expected in zip(*reversed(results), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_types_are_kept_and_computed_in_float32_at_least(dtype, training, layout):
    segments = SEGMENTS["nearest"]
    x, mean, var, weight, bias = sample(segments, dtype, batch=40)
    x = in_layout(x, layout).requires_grad_()
    weight.requires_grad_()
    expected_running = mean.clone(), var.clone()
    y = local_batch_norm(x, segments, mean, var, weight, bias, training)
    exact = x.detach().double().requires_grad_()
    expected = per_segment(exact, segments, *expected_running, weight, bias, training)
    assert y.dtype == dtype
    assert y.stride() == x.stride()
    torch.testing.assert_close(y.double(), expected, **TOLERANCE[dtype])
    torch.testing.assert_close(mean, expected_running[0], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(var, expected_running[1], rtol=1e-6, atol=1e-7)
    dy = expected.detach().cos()
    dx, dweight = torch.autograd.grad(y, (x, weight), dy.to(dtype))
    expected_dx, expected_dweight = torch.autograd.grad(
        expected, (exact, weight), dy.to(dtype).double()
    )
    assert dx.dtype == dtype
    assert dx.stride() == x.stride()
    assert dweight.dtype == weight.dtype
    torch.testing.assert_close(dx.double(), expected_dx, **TOLERANCE[dtype])
    torch.testing.assert_close(dweight, expected_dweight, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["single", "nearest", "per_cell"])
@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (1e4, 1.0), (100.0, 0.1), (-3e5, 1.0)])
def test_a_large_mean_does_not_reduce_precision(name, mean, std):
    """Compare with float64; PyTorch's own layer has errors of 1e-3 at mean 1e4 and std 1."""
    segments = SEGMENTS[name]
    generator = torch.Generator().manual_seed(1)
    x = (torch.randn(300, 3, *GRID, generator=generator, dtype=torch.float64) * std + mean).float()
    x.requires_grad_()
    var = torch.ones(3, segments.num_segments)
    y = local_batch_norm(x, segments, torch.zeros_like(var), var, None, None, True, 1.0, 1e-12)
    expected_var = torch.ones_like(var, dtype=torch.float64)
    expected = per_segment(
        x, segments, torch.zeros_like(var), expected_var, None, None, True, 1.0, 1e-12
    )
    assert (
        y - expected
    ).abs().max() < 2e-6  # |y| reaches 4, where float32 has a resolution of 5e-7
    torch.testing.assert_close(var.double(), expected_var, rtol=1e-6, atol=0.0)
    dy = expected.detach().float().sin()
    dx, expected_dx = (torch.autograd.grad(out, x, dy.to(out.dtype))[0] for out in (y, expected))
    assert (dx - expected_dx).abs().max() < 2e-6 * expected_dx.abs().max()


@pytest.mark.parametrize("batch", [1, 2, 257, 1000])
def test_any_number_of_rows(batch):
    segments = SEGMENTS["pool"]
    x, *_ = sample(segments, batch=batch, extra=(2,))
    expected = per_segment(x, segments, training=True).float()
    torch.testing.assert_close(local_batch_norm(x, segments, training=True), expected)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("shape", [(6, 1, 2, 4, 5), (1, 1, 1, 4, 5), (4, 5), (6, 1, 1, 1, 1)])
def test_mask_leaves_entries_out_of_the_statistics(shape, layout, backend):
    """Statistics are computed from included values; all values are normalized with them."""
    segments = SEGMENTS["identity"]
    x, *_, weight, bias = sample(segments, torch.float64, extra=(2,))
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(3)) > 0.4
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    running = torch.zeros_like(weight), torch.ones_like(weight)
    y = local_batch_norm(
        in_layout(x, layout),
        segments,
        *running,
        weight,
        bias,
        True,
        1.0,
        mask=mask,
        backend=backend,
    )
    expected = x.clone()
    counted = mask.expand(6, 1, 2, *GRID)
    for c in range(3):
        for k in range(segments.num_segments):
            inside = segments.ids == k
            values = x[:, c, :, inside][counted[:, 0, :, inside]]
            if len(values) == 0:
                assert running[0][c, k] == 0
                assert running[1][c, k] == 1
                continue
            var, mean = torch.var_mean(values, correction=0)
            normalized = (x[:, c, :, inside] - mean) / torch.sqrt(var + 1e-5)
            expected[:, c, :, inside] = normalized * weight[c, k] + bias[c, k]
            torch.testing.assert_close(running[0][c, k], mean)
            torch.testing.assert_close(running[1][c, k], values.var())
    torch.testing.assert_close(y, expected)
    dy = expected.detach().cos()
    gradients = torch.autograd.grad(y, leaves, dy)
    for got, wanted in zip(gradients, torch.autograd.grad(expected, leaves, dy), strict=True):
        torch.testing.assert_close(got, wanted)


def test_excluded_values_may_be_anything():
    segments = SEGMENTS["nearest"]
    x, *_ = sample(segments)
    mask = torch.rand(6, 1, *GRID, generator=torch.Generator().manual_seed(3)) > 0.4
    counted = mask.expand_as(x)
    clean = local_batch_norm(x, segments, training=True, mask=mask)
    for value in (float("nan"), float("inf"), 1e30):
        spoilt = x.masked_fill(~counted, value)
        y = local_batch_norm(spoilt, segments, training=True, mask=mask)
        torch.testing.assert_close(y[counted], clean[counted], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-45, 3e38, float("inf")])
def test_cells_in_no_segment_are_returned_bitwise_unchanged(value):
    segments = SEGMENTS["identity"]
    x, *_ = sample(segments)
    outside = segments.ids < 0
    x[:, :, outside] = value
    x.requires_grad_()
    y = local_batch_norm(x, segments, training=True)
    assert torch.equal(y[:, :, outside].view(torch.int32), x[:, :, outside].view(torch.int32))
    dy = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    (dx,) = torch.autograd.grad(y, x, dy)
    assert torch.equal(dx[:, :, outside], dy[:, :, outside])


def test_a_segment_that_is_masked_completely_is_unchanged():
    segments = SEGMENTS["nearest"]
    x, mean, var, weight, bias = sample(segments)
    x.requires_grad_()
    gone = segments.ids == 1
    before = mean.clone(), var.clone()
    y = local_batch_norm(x, segments, mean, var, weight, bias, True, mask=~gone)
    assert torch.equal(y[:, :, gone], x[:, :, gone])
    for running, kept in zip((mean, var), before, strict=True):
        assert torch.equal(running[:, 1], kept[:, 1])
        assert not torch.equal(running[:, 0], kept[:, 0])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_gradients_of_gradients(training, masked):
    segments = Segments([[0, 1], [1, -1]])
    x, mean, var, weight, bias = sample(segments, torch.float64, channels=2, batch=3)
    mask = torch.tensor([[[True, True], [False, True]]] * 3)[:, None] if masked else None
    leaves = [t.requires_grad_() for t in (x, weight, bias)]

    def function(x, weight, bias):
        return local_batch_norm(
            x, segments, mean.clone(), var.clone(), weight, bias, training, mask=mask
        )

    assert torch.autograd.gradcheck(function, leaves)
    assert torch.autograd.gradgradcheck(function, leaves)


def test_third_derivative():
    segments = Segments([[0, 0], [1, 1]])
    results = []
    for backend in ("native", "reference"):
        x, *_ = sample(segments, torch.float64, channels=1, batch=3)
        x.requires_grad_()
        out = local_batch_norm(x, segments, training=True, backend=backend).sin()
        for _ in range(3):
            (out,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        results.append(out)
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("activation", ["relu", "silu", "sigmoid", "tanh"])
def test_activation_is_torchs_own(activation):
    segments = SEGMENTS["identity"]
    x, *_ = sample(segments)
    y = local_batch_norm(x, segments, training=True, activation=activation)
    function = getattr(torch.nn.functional, activation)
    assert torch.equal(y, function(local_batch_norm(x, segments, training=True)))


@pytest.fixture
def _two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_two_threads")
@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_results_of_two_threads_are_bitwise_deterministic(layout, backend):
    """Each thread gets a part of this input; "native" computes other digits with one thread."""
    segments = SEGMENTS["nearest"]
    results = []
    for _ in range(3):
        x, mean, var, weight, bias = sample(segments, batch=2000)
        leaves = [t.requires_grad_() for t in (x, weight, bias)]
        y = local_batch_norm(
            in_layout(x, layout), segments, mean, var, weight, bias, True, backend=backend
        )
        results.append((y, mean, var, *torch.autograd.grad(y, leaves, x.detach().cos())))
    for again in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], again, strict=True))


def test_an_output_without_a_gradient_gives_the_input_none():
    x = torch.randn(4, 2, 2, 3, requires_grad=True)
    WithoutGradient.apply(
        local_batch_norm(x, Segments.single((2, 3)), training=True)
    ).sum().backward()
    assert x.grad is None


def test_empty_batch():
    x = torch.empty(0, 3, *GRID)
    assert local_batch_norm(x, SEGMENTS["nearest"], training=True).shape == x.shape


def test_registered_operator_is_consistent():
    segments = SEGMENTS["identity"]
    x, mean, var, weight, bias = sample(segments)
    partition = segments.on(x.device)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    levels = Levels([segments, Segments.single(GRID)])
    pooling = (levels.table, torch.tensor([3.0], requires_grad=True), levels.sizes)
    none = (None, None)
    alone = (None, None, None)
    for given, pooled in ((none, alone), ((mean, var), alone), (none, pooling)):
        operands = (x, partition.tensors, partition.sizes, *leaves[1:], None, *given, *pooled)
        arguments = (*operands, 1e-5, None, "native", None)
        torch.library.opcheck(torch.ops.tritonbn.local_batch_norm, arguments)
