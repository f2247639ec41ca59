"""`LocalBN` in compiled, mixed-precision and distributed models, on every backend."""

import socket

import pytest
import torch
from torch import nn

from tritonbn import LocalBN, Segments, ops

GRID = (3, 4)
NEAREST = Segments.nearest([0, 7, 10], GRID)


@pytest.fixture(params=["native", "triton"])
def backend(request, monkeypatch):
    if request.param == "triton":
        pytest.importorskip("triton", reason="Triton has packages for Linux only")
    monkeypatch.setattr(ops, "choose_backend", lambda wanted, x: request.param)
    return request.param


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    torch.compiler.reset()


def batches(device, count=3):
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(count, 5, 4, *GRID, generator=generator) * 3 - 1).to(device)


def trained(device, **options):
    layer = LocalBN(4, NEAREST, device=device, **options)
    generator = torch.Generator(device).manual_seed(1)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, generator=generator)
    for x in batches(device):
        layer(x)
    return layer


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("options", [{}, {"momentum": None}, {"activation": "silu"}], ids=str)
def test_compiles_to_one_graph(options, training, backend, device):
    eager, compiled = (trained(device, **options).train(training) for _ in range(2))
    function = torch.compile(compiled, fullgraph=True, backend="aot_eager")
    mask = torch.rand(5, 1, *GRID, generator=torch.Generator().manual_seed(2)).to(device) > 0.3
    for x, masked in zip(batches(device), (None, mask, mask), strict=True):
        leaves = [x.clone().requires_grad_() for _ in range(2)]
        outputs = eager(leaves[0], masked), function(leaves[1], masked)
        torch.testing.assert_close(*outputs)
        for output in outputs:
            output.sin().sum().backward()
        torch.testing.assert_close(leaves[0].grad, leaves[1].grad)
    torch.testing.assert_close(eager.state_dict(), compiled.state_dict())
    for p, q in zip(eager.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad)


def test_a_ragged_batch_does_not_break_the_graph(backend, device):
    layer = trained(device)
    function = torch.compile(layer, fullgraph=True, backend="aot_eager", dynamic=True)
    for count in (5, 3, 4):
        x = batches(device)[0][:count]
        twin = trained(device)
        twin.load_state_dict(layer.state_dict())
        torch.testing.assert_close(function(x), twin(x))


def test_autocast(backend, device):
    """The layer accepts the dtype of autocast; parameters and statistics stay in float32."""
    model = nn.Sequential(nn.Conv2d(4, 4, 1), LocalBN(4, NEAREST)).to(device)
    x = batches(device)[0]
    with torch.autocast(device.type, dtype=torch.bfloat16):
        y = model(x)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    norm = model[1]
    assert norm.weight.grad.dtype == norm.running_mean.dtype == torch.float32
    with torch.no_grad():
        expected = model[0](x.bfloat16().float()).bfloat16().double().mean((0, 2, 3))
    got = norm.running_mean.double() @ NEAREST.cell_counts.to(device).double() / 12
    torch.testing.assert_close(got, 0.1 * expected, rtol=0.02, atol=1e-3)


def _train_in_a_group(rank, port, backend, out):
    torch.set_num_threads(1)
    ops.choose_backend = lambda wanted, x: backend
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    torch.manual_seed(rank)
    layer = LocalBN(4, NEAREST)
    model = nn.parallel.DistributedDataParallel(layer)
    x = batches("cpu")[rank]
    for _ in range(2):
        model(x).square().sum().backward()
    before = layer.running_mean.clone()
    with torch.no_grad():
        model.eval()(x)  # before the call, all ranks receive the buffers of rank 0
    torch.save([layer.weight.grad, before, *layer.buffers()], f"{out}{rank}")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distribution")
def test_buffers_survive_distributed_training(backend, device, tmp_path):
    if backend == "triton" and device.type != "cpu":
        pytest.skip("with a GPU the kernels are not interpreted, and this trains on the CPU")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(
        _train_in_a_group, (port, backend, str(tmp_path / "rank")), nprocs=2
    )
    first, second = (torch.load(tmp_path / f"rank{rank}") for rank in range(2))
    torch.testing.assert_close(first[0], second[0])
    assert not torch.equal(first[1], second[1])  # each rank has seen different data
    running_mean, running_var, counter = first[2:]
    assert torch.equal(running_mean, first[1])
    assert running_var.isfinite().all()
    assert counter == 2
    for one, other in zip(first[2:], second[2:], strict=True):
        assert torch.equal(one, other)
