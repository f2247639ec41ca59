"""The pointwise part of an LSTM step, against `torch.nn.LSTMCell` in float64."""

import pytest
import torch
from torch import nn

from tritonbn import backends
from tritonbn.models import ConvLSTM
from tritonbn.models.convlstm_cell import ConvLSTMCell
from tritonbn.models.lstm_step import lstm_step

GRID = (3, 2)
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@pytest.fixture(params=["plain", "interpreted"])
def backend(request, monkeypatch, device):
    """Run the operations of the CPU, or the kernels in the interpreter (on a GPU: compiled)."""
    if request.param == "interpreted":
        pytest.importorskip("triton", reason="Triton has packages for Linux only")
    choice = "triton" if request.param == "interpreted" else "native"
    monkeypatch.setattr(backends, "choose_backend", lambda wanted, x: choice)
    return device


def randn(*shape, device, layout="contiguous", dtype=torch.float64):
    x = torch.randn(shape, dtype=dtype).contiguous(memory_format=LAYOUTS[layout])
    return x.to(device).requires_grad_()


def expected_step(gates, cell):
    """One step of `nn.LSTMCell`, with an identity as weights, in each cell of the grid."""
    hidden = cell.shape[1]
    lstm = nn.LSTMCell(4 * hidden, hidden, bias=False, dtype=gates.dtype, device=gates.device)
    with torch.no_grad():
        lstm.weight_ih.copy_(torch.eye(4 * hidden))
        lstm.weight_hh.zero_()

    def rows(x):
        return x.movedim(1, -1).flatten(0, -2)

    results = lstm(rows(gates), (torch.zeros_like(rows(cell)), rows(cell)))
    return [r.unflatten(0, (len(gates), *gates.shape[2:])).movedim(-1, 1) for r in results]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("has_cell", [True, False])
@pytest.mark.parametrize("hidden", [1, 5, 600])  # 600: several programs of a kernel
@pytest.mark.parametrize("used", ["hidden", "cell", "both"])
def test_state_and_gradients_are_those_of_an_lstm(backend, layout, has_cell, hidden, used):
    if has_cell:
        parts = [randn(2, 4 * hidden, *GRID, device=backend, layout=layout) for _ in range(2)]
        inputs = [*parts, randn(2, hidden, *GRID, device=backend, layout=layout)]
        expected = expected_step(parts[0] + parts[1], inputs[2])
    else:
        inputs = [randn(2, 3 * hidden, *GRID, device=backend, layout=layout)]
        i, g, o = inputs[0].chunk(3, dim=1)
        cell = torch.zeros_like(i)
        expected = expected_step(torch.cat([i, torch.zeros_like(i), g, o], dim=1), cell)
    state = lstm_step(*inputs)
    for value, reference in zip(state, expected, strict=True):
        torch.testing.assert_close(value, reference)
    weights = [torch.randn_like(value) for value in state]
    which = {"hidden": [0], "cell": [1], "both": [0, 1]}[used]

    def gradients(results):
        return torch.autograd.grad(sum((results[k] * weights[k]).sum() for k in which), inputs)

    for value, reference in zip(gradients(state), gradients(expected), strict=True):
        torch.testing.assert_close(value, reference)


def test_memory_of_any_kind_is_accepted(backend):
    gates = randn(2, 8, 4, 6, device=backend)
    cell = randn(2, 2, 4, 6, device=backend, layout="channels_last")
    some, every = slice(None, None, 2), ...
    values = lstm_step(
        gates[every, some], gates[every, 1:].flip(-1)[every, some], cell[every, some]
    )
    dense = (gates[every, some] + gates[every, 1:].flip(-1)[every, some]).contiguous()
    expected = expected_step(dense, cell[every, some].contiguous())
    torch.testing.assert_close(values, tuple(expected))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(backend, dtype):
    inputs = [randn(2, c, *GRID, device=backend) for c in (20, 20, 5)]
    rounded = [x.detach().to(dtype).requires_grad_() for x in inputs]
    state = lstm_step(*rounded)
    wide = [x.detach().double().requires_grad_() for x in rounded]
    expected = expected_step(wide[0] + wide[1], wide[2])
    assert all(value.dtype == dtype for value in state)
    tolerance = {"rtol": 0.03, "atol": 0.03}
    torch.testing.assert_close(state, tuple(e.to(dtype) for e in expected), **tolerance)
    sum(value.sum() for value in state).backward()
    sum(value.sum() for value in expected).backward()
    for value, reference in zip(rounded, wide, strict=True):
        torch.testing.assert_close(value.grad, reference.grad.to(dtype), **tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("has_cell", [True, False])
def test_second_derivatives(layout, has_cell):
    shapes = [(2, 8, 2, 2), (2, 8, 2, 2), (2, 2, 2, 2)] if has_cell else [(2, 6, 2, 2)]
    inputs = [randn(*shape, device="cpu", layout=layout) for shape in shapes]
    assert torch.autograd.gradcheck(lstm_step, inputs, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(lstm_step, inputs)


def test_mixed_dtypes_are_promoted():
    gates, cell = randn(2, 8, *GRID, device="cpu").bfloat16(), randn(2, 2, *GRID, device="cpu")
    hidden, new = lstm_step(gates, gates, cell)
    assert hidden.dtype == new.dtype == torch.float64


@pytest.fixture
def cell_and_sequence():
    torch.manual_seed(0)
    return ConvLSTMCell(2, 3).double(), torch.randn(2, 3, 2, 4, 5, dtype=torch.float64)


def test_compiled_exported_and_traced_networks_have_the_eager_results(cell_and_sequence):
    cell, x = cell_and_sequence
    expected = cell(x)
    compiled = torch.compile(cell, backend="aot_eager", fullgraph=True)(x)
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(torch.export.export(cell, (x,)).module()(x), expected)
    network = ConvLSTM(2, 3, head="convolution").double()
    torch.testing.assert_close(torch.jit.trace(network, (x,))(x), network(x))


def test_function_transforms(cell_and_sequence):
    cell, x = cell_and_sequence

    def loss(x):
        return cell(x)[0].square().sum()

    expected = torch.autograd.functional.jacobian(loss, x)
    torch.testing.assert_close(torch.func.grad(loss)(x), expected)
    mapped = torch.vmap(lambda one: cell(one[None])[0][0])(x)
    torch.testing.assert_close(mapped, cell(x)[0])
    _, slope = torch.func.jvp(loss, (x,), (torch.ones_like(x),))
    torch.testing.assert_close(slope, expected.sum())


def test_autocast():
    cell, x = ConvLSTMCell(1, 4), torch.randn(2, 3, 1, 5, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = cell(x).hidden
    hidden.float().sum().backward()
    expected = cell(x)[0]
    torch.testing.assert_close(hidden.float(), expected, rtol=0.05, atol=0.02)
    assert all(gate.weight.grad.isfinite().all() for gate in cell.recurrent)
