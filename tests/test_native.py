"""The native backend: what its arithmetic on CPUs and on other devices has to do alike."""

import warnings

import pytest
import torch
from layouts import in_layout

import tritonbn.native.columns
import tritonbn.native.layout
from tritonbn import LocalBN, Segments, local_batch_norm
from tritonbn.native import arithmetic

GRID = (3, 4)
SEGMENTS = {
    "single": Segments.single(GRID),
    "per cell": Segments.per_cell(GRID),
    "nearest": Segments.nearest([0, 7, 10], GRID),
    "a part of the grid": Segments([[2, 0, -1, 1], [1, 1, 0, 2], [-1, 2, 2, 0]]),
}


@pytest.fixture(params=["NumPy", "NumPy, one channel at a time", "PyTorch"])
def _arithmetic(request, monkeypatch):
    """Compute as on a CPU, or as on other devices, which the machine need not have."""
    chosen = arithmetic.PYTORCH if request.param == "PyTorch" else arithmetic.NUMPY
    if "one channel" in request.param:
        monkeypatch.setattr(arithmetic, "_BLOCK", 1)
    for module in (tritonbn.native.columns, tritonbn.native.layout):
        monkeypatch.setattr(module, "arithmetic_on", lambda device: chosen)


def results_of(backend, segments, x, dy, mask, training, dtype, **options):
    layer = LocalBN(2, segments, backend=backend, dtype=dtype, **options).train(training)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in (*layer.parameters(), layer.running_mean, layer.running_var):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    x = x.to(dtype).detach().requires_grad_()
    y = layer(x, mask)
    gradients = torch.autograd.grad(y, [x, *layer.parameters()], dy.to(dtype))
    return [t.double() for t in (y, *gradients, layer.running_mean, layer.running_var)]


@pytest.mark.usefixtures("_arithmetic")
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
@pytest.mark.parametrize("extra", [(), (2,)])
@pytest.mark.parametrize("name", SEGMENTS)
def test_results_are_those_of_the_definition(name, extra, layout, masked, training):
    generator = torch.Generator().manual_seed(0)
    shape = (5, 2, *extra, *GRID)
    x = torch.randn(shape, generator=generator) + 3
    dy = torch.randn(shape, generator=generator)
    mask = torch.rand(5, 1, *extra, *GRID, generator=generator) < 0.7 if masked else None
    if masked:
        mask[:, :, ..., 0, 0] = False  # a segment without values, where each cell is one
    given = (SEGMENTS[name], in_layout(x, layout), dy, mask, training)
    expected = results_of("reference", *given, torch.float64)
    for got, wanted in zip(results_of("native", *given, torch.float32), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=2e-5, atol=2e-5)


@pytest.mark.usefixtures("_arithmetic")
@pytest.mark.parametrize("masked", [False, True])
def test_a_batch_of_several_tiles_of_rows(masked):
    generator = torch.Generator().manual_seed(0)
    x, dy = torch.randn(2, 1300, 2, *GRID, generator=generator)
    mask = torch.rand(1300, 1, *GRID, generator=generator) < 0.7 if masked else None
    given = (SEGMENTS["nearest"], x + 3, dy, mask, True)
    expected = results_of("reference", *given, torch.float64)
    got = results_of("native", *given, torch.float32)
    for mine, exact in zip(got, expected, strict=True):
        torch.testing.assert_close(
            mine, exact, rtol=0, atol=2e-6 * float(exact.detach().abs().max())
        )


@pytest.mark.usefixtures("_arithmetic")
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_results_with_levels_are_those_of_the_definition(layout):
    generator = torch.Generator().manual_seed(0)
    x, dy = torch.randn(2, 5, 2, *GRID, generator=generator) + 3
    mask = torch.rand(5, 1, *GRID, generator=generator) < 0.7
    levels = [SEGMENTS[name] for name in ("per cell", "nearest", "single")]
    given = (levels, in_layout(x, layout), dy, mask, True)
    options = {"pooling": 4.0, "learn_pooling": True}
    expected = results_of("reference", *given, torch.float64, **options)
    got = results_of("native", *given, torch.float32, **options)
    torch.testing.assert_close(got, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.usefixtures("_arithmetic")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_running_statistics_in_half_precision(dtype):
    x = torch.randn(4, 2, *GRID, generator=torch.Generator().manual_seed(0)) + 3
    segments = SEGMENTS["nearest"]
    running = torch.zeros(2, 2, 3, dtype=dtype)
    exact = torch.zeros(2, 2, 3, dtype=torch.float64)
    for kept, backend in ((running, "native"), (exact, "reference")):
        local_batch_norm(x, segments, *kept, training=True, momentum=0.5, backend=backend)
    torch.testing.assert_close(running, exact.to(dtype))


@pytest.mark.usefixtures("_arithmetic")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_spoil_their_segment_without_a_warning(value):
    x = torch.randn(4, 2, *GRID)
    x[0, 0, 0, 0] = value
    x.requires_grad_()
    layer = LocalBN(2, SEGMENTS["nearest"], backend="native")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = layer(x)
        y.sum().backward()
    spoiled = layer.segment_ids == 0
    assert y[:, 0][:, spoiled].isnan().all()
    assert y[:, 0][:, ~spoiled].isfinite().all()
    assert y[:, 1].isfinite().all()


@pytest.mark.usefixtures("_arithmetic")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_statistics_in_half_precision_are_used_in_single_precision(dtype):
    layer = LocalBN(2, Segments.single(GRID), eps=1e-8, backend="native", dtype=dtype).eval()
    layer.running_var.copy_(torch.tensor([[0.0], [3.1]]))
    x = 30 * torch.randn(5, 2, *GRID, generator=torch.Generator().manual_seed(0))
    x[:, 0] = 0
    statistics = layer.running_mean[:, 0].double(), layer.running_var[:, 0].double()
    expected = torch.nn.functional.batch_norm(x.double(), *statistics, eps=1e-8)
    torch.testing.assert_close(layer(x).double(), expected, rtol=1e-6, atol=1e-6)


def test_the_default_device_is_not_used():
    layer, x = LocalBN(2, GRID), torch.rand(5, 2, *GRID)
    expected = LocalBN(2, GRID)(x)
    with torch.device("meta"):
        y = layer(x)
    assert torch.equal(y, expected)
