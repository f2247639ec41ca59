"""The kernels on a GPU, with tensors of realistic sizes."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm

from tritonbn import LocalBN, Segments, local_batch_norm, ops
from tritonbn.models import build_model

pytestmark = pytest.mark.gpu

GRID = (32, 32)
STATIONS = range(16, 1024, 32)
SEGMENTS = {
    "single": Segments.single(GRID),
    "per_cell": Segments.per_cell(GRID),
    "nearest": Segments.nearest(STATIONS, GRID),
    "pool": Segments.stations(STATIONS, GRID),
    "identity": Segments.stations(STATIONS, GRID, rest="identity"),
}
TOLERANCE = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-9},
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
    torch.float16: {"rtol": 2**-11, "atol": 2e-4},
    torch.bfloat16: {"rtol": 2**-8, "atol": 2e-4},
}
FORMATS = [torch.contiguous_format, torch.channels_last]


def randn(*shape, dtype=torch.float32, seed=0):
    generator = torch.Generator("cuda").manual_seed(seed)
    return torch.randn(shape, device="cuda", dtype=torch.float32, generator=generator).to(dtype)


def sample(segments, dtype=torch.float32, shape=(32, 64), memory_format=torch.contiguous_format):
    """Make x, dy, weight, bias, running mean and variance."""
    wide = torch.promote_types(dtype, torch.float32)
    columns = (shape[1], segments.num_segments)
    x, dy = (randn(*shape, *segments.grid, seed=seed) * 2 + 1 for seed in range(2))
    x, dy = (t.to(dtype).contiguous(memory_format=memory_format) for t in (x, dy))
    parameters = [randn(*columns, dtype=wide, seed=seed) for seed in (2, 3, 4)]
    return x, dy, *parameters, parameters[-1].square() + 0.5


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.parametrize("training", [True, False])
def test_against_the_definition_in_float64(training, name, dtype, memory_format, masked):
    segments = SEGMENTS[name]
    x, dy, *parameters = sample(segments, dtype, memory_format=memory_format)
    mask = randn(32, 1, *GRID, seed=5) > -0.5 if masked else None
    results = []
    for backend in ("triton", "reference"):
        if backend == "reference":
            x, dy, *parameters = (t.double() for t in (x, dy, *parameters))
        weight, bias, mean, var = (t.clone() for t in parameters)
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        y = local_batch_norm(
            leaves[0], segments, mean, var, leaves[1], leaves[2], training,
            mask=mask, activation="silu", backend=backend,
        )  # fmt: skip
        results.append((y, mean, var, *torch.autograd.grad(y, leaves, dy)))
    (y, mean, var, dx, dweight, dbias), expected = results
    for got, wanted in ((y, expected[0]), (dx, expected[3])):
        assert got.dtype == dtype
        assert got.is_contiguous(memory_format=memory_format)
        torch.testing.assert_close(got.double(), wanted, **TOLERANCE[dtype])
    statistics = {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(mean.double(), expected[1], **statistics)
    torch.testing.assert_close(var.double(), expected[2], **statistics)
    for got, wanted in ((dweight, expected[4]), (dbias, expected[5])):
        error = (got.double() - wanted).norm() / wanted.norm()
        assert error < (1e-10 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize(
    ("grid", "shape"),
    [
        *product([(31, 33), (7, 11), (128, 128)], [(1, 3), (7, 5), (129, 2), (2000, 1)]),
        ((1, 1), (880_801, 1)),
    ],
    ids=str,
)
def test_ragged_sizes_against_pytorch(grid, shape):
    x, dy, *_ = sample(Segments.single(grid), shape=shape)
    results = []
    for double in (False, True):
        leaf = (x.double() if double else x).clone().requires_grad_()
        if double:
            y = batch_norm(leaf, None, None, training=True)
        else:
            y = local_batch_norm(leaf, Segments.single(grid), training=True, backend="triton")
        results.append((y, *torch.autograd.grad(y, leaf, dy.to(y.dtype))))
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("name", SEGMENTS)
def test_results_are_bitwise_deterministic(name, memory_format):
    segments = SEGMENTS[name]
    results = []
    for _ in range(2):
        x, dy, weight, bias, mean, var = sample(segments, memory_format=memory_format)
        leaves = [t.requires_grad_() for t in (x, weight, bias)]
        y = local_batch_norm(leaves[0], segments, mean, var, leaves[1], leaves[2], True)
        results.append((y, mean, var, *torch.autograd.grad(y, leaves, dy)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def step(layer, x, dy):
    """Return output and gradients of a training step."""
    leaf = x.clone().requires_grad_()
    y = layer(leaf)
    return y.detach(), *torch.autograd.grad(y, (leaf, *layer.parameters()), dy)


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("name", ["nearest", "per_cell"])
def test_nothing_waits_for_the_gpu(name, momentum):
    layer = LocalBN(64, SEGMENTS[name], momentum=momentum, device="cuda")
    x, dy, *_ = sample(SEGMENTS[name])
    mask = x[:, :1] > 0
    step(layer, x, dy)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(layer, x, dy)
        layer(x, mask)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("name", ["nearest", "per_cell"])
def test_a_cuda_graph_of_a_training_step(name, momentum):
    eager, captured = (
        LocalBN(64, SEGMENTS[name], momentum=momentum, device="cuda") for _ in range(2)
    )
    x, dy, *_ = sample(SEGMENTS[name])
    static = x.clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):  # compile and tune
            step(captured, static, dy)
    torch.cuda.current_stream().wait_stream(stream)
    captured.reset_running_stats()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = step(captured, static, dy)
    for seed in range(3):
        batch = randn(*x.shape, seed=10 + seed)
        static.copy_(batch)
        graph.replay()
        for got, wanted in zip(outputs, step(eager, batch, dy), strict=True):
            assert torch.equal(got, wanted)
    for got, wanted in zip(captured.buffers(), eager.buffers(), strict=True):
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
@pytest.mark.parametrize("activation", ["relu", None])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("training", [True, False])
def test_torch_compile(training, momentum, activation, mode):
    torch.compiler.reset()
    options = {"momentum": momentum, "activation": activation, "device": "cuda"}
    layers = [LocalBN(64, SEGMENTS["nearest"], **options) for _ in range(2)]
    eager, compiled = (layer.train(training) for layer in layers)
    function = torch.compile(compiled, fullgraph=True, mode=mode)
    x, dy, *_ = sample(SEGMENTS["nearest"])
    for _ in range(3):
        leaves = [x.clone().requires_grad_() for _ in range(2)]
        outputs = eager(leaves[0]), function(leaves[1])
        for output in outputs:
            output.backward(dy)
        torch.testing.assert_close(*outputs)
        torch.testing.assert_close(leaves[0].grad, leaves[1].grad)
    torch.testing.assert_close(eager.state_dict(), compiled.state_dict())


@pytest.mark.parametrize("name", ["nearest", "per_cell"])
def test_another_stream(name):
    """The kernels run on the current stream, whatever runs on others."""
    layer = LocalBN(64, SEGMENTS[name], device="cuda").eval()
    x = randn(64, 64, *GRID)
    expected = layer(x)
    stream = torch.cuda.Stream()
    for _ in range(20):
        late = torch.empty_like(x)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            torch.cuda._sleep(1_000_000)
            late.copy_(x)
            y = layer(late)
        torch.cuda.current_stream().wait_stream(stream)
        assert torch.equal(y, expected)


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("name", ["single", "per_cell"])
def test_past_2_to_the_31_elements(name, memory_format):
    """Compare the statistics, the last rows and their gradient with float64."""
    segments = SEGMENTS[name]
    batch, channels = (1 << 31) // (64 * 1024) + 3, 64
    x = torch.empty(
        batch, channels, *GRID, device="cuda", dtype=torch.bfloat16, memory_format=memory_format
    ).normal_(1, 2)
    x[-2:] += 5
    mean, m2 = torch.zeros(2, channels, *GRID, device="cuda", dtype=torch.float64)
    for chunk in x.split(1024):
        mean += chunk.double().sum(0) / batch
    for chunk in x.split(1024):
        m2 += (chunk.double() - mean).square().sum(0) / batch
    if name == "single":
        cells = mean
        mean = mean.mean((1, 2), keepdim=True)
        m2 = m2.mean((1, 2), keepdim=True) + (cells - mean).square().mean((1, 2), keepdim=True)
    rstd = (m2 + 1e-5).rsqrt()
    x.requires_grad_()
    y = local_batch_norm(x, segments, training=True)
    expected = (x[-2:].double() - mean) * rstd
    torch.testing.assert_close(y[-2:].double(), expected, rtol=2**-8, atol=1e-3)
    dy = torch.zeros_like(y)
    dy[-1] = 1
    (dx,) = torch.autograd.grad(y, x, dy)
    count = batch if name == "per_cell" else batch * 1024
    ones = 1 if name == "per_cell" else 1024
    xhat = expected[-1]
    through = xhat if name == "per_cell" else xhat.sum((1, 2), keepdim=True)
    wanted = rstd * (1 - (ones + xhat * through) / count)
    torch.testing.assert_close(dx[-1].double(), wanted, rtol=2**-7, atol=1e-4)


@pytest.mark.parametrize("backbone", ["convlstm", "cnn"])
def test_a_training_run_agrees_between_backends(backbone, monkeypatch):
    losses = []
    for backend in ("native", "triton"):
        monkeypatch.setattr(ops, "choose_backend", lambda wanted, x, backend=backend: backend)
        torch.manual_seed(0)
        model = build_model(backbone, "local", SEGMENTS["per_cell"], head="convolution").cuda()
        optimizer = torch.optim.SGD(model.parameters(), 1e-2)
        x = randn(32, 1, 1, *GRID)
        target = randn(32, 1, *GRID, seed=1).sigmoid()
        losses.append([])
        for _ in range(20):
            loss = nn.functional.mse_loss(model(x), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    torch.testing.assert_close(torch.tensor(losses[0]), torch.tensor(losses[1]), rtol=1e-3, atol=0)
    assert losses[1][-1] < losses[1][0]
