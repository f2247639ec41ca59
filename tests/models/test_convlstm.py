import pytest
import torch
from torch import nn

from tritonbn import Segments
from tritonbn.models import ConvLSTM
from tritonbn.models.convlstm_cell import ConvLSTMCell


def lstm_like(cell: ConvLSTMCell, in_channels: int, hidden: int, kernel_size: int) -> nn.LSTM:
    """The LSTM that a ConvLSTM cell is equal to on a grid of one cell."""
    middle = kernel_size // 2
    lstm = nn.LSTM(in_channels, hidden, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.cat([g.weight[:, :, middle, middle] for g in cell.input]))
        lstm.weight_hh_l0.copy_(torch.cat([g.weight[:, :, middle, middle] for g in cell.recurrent]))
        lstm.bias_ih_l0.copy_(torch.cat([g.bias for g in cell.input]))
        lstm.bias_hh_l0.zero_()
    return lstm


@pytest.mark.parametrize(("kernel_size", "grid"), [(1, (4, 3)), (3, (1, 1)), (5, (1, 1))])
def test_is_an_lstm_in_each_cell_without_neighbours(kernel_size, grid):
    N, T, C, hidden = 2, 5, 3, 4
    H, W = grid
    cell = ConvLSTMCell(C, hidden, kernel_size).double()
    x = torch.randn(N, T, C, H, W, dtype=torch.float64, requires_grad=True)
    per_cell = x.permute(0, 3, 4, 1, 2).reshape(N * H * W, T, C).detach().requires_grad_()

    h, c, _ = cell(x)
    _, (expected_h, expected_c) = lstm_like(cell, C, hidden, kernel_size)(per_cell)

    def as_grid(state):
        return state[0].reshape(N, H, W, hidden).permute(0, 3, 1, 2)

    torch.testing.assert_close(h, as_grid(expected_h))
    torch.testing.assert_close(c, as_grid(expected_c))
    h.square().sum().backward()
    expected_h.square().sum().backward()
    expected = per_cell.grad.reshape(N, H, W, T, C).permute(0, 3, 4, 1, 2)
    torch.testing.assert_close(x.grad, expected)


def test_an_even_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel_size must be odd, got 4"):
        ConvLSTM(kernel_size=4, head="convolution")


def test_neighbours_act_through_the_state():
    cell = ConvLSTMCell(1, 2, 3)
    x = torch.zeros(1, 3, 1, 1, 9)
    x[0, 0, 0, 0, 0] = 5.0
    changed = (cell(x)[0] != cell(torch.zeros_like(x))[0]).any(dim=1)[0, 0]
    assert (
        changed.tolist() == [True] * 4 + [False] * 5
    )  # reached in one step by the input, in two by the state


def test_advancing_in_parts_equals_the_whole_sequence():
    model = ConvLSTM(hidden_channels=5, head="convolution").double()
    x = torch.rand(2, 6, 1, 4, 3, dtype=torch.float64)
    expected, expected_state = model.advance(x)
    _, state = model.advance(x[:, :2])
    _, state = model.advance(x[:, 2:3], state)
    assert state.times == 3
    y, state = model.advance(x[:, 3:], state)
    torch.testing.assert_close(y, expected)
    torch.testing.assert_close(state, expected_state)
    torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize("hidden", [1, 4])
def test_parameters_have_the_gradients_of_an_lstm(hidden):
    cell = ConvLSTMCell(3, hidden, 1).double()
    lstm = lstm_like(cell, 3, hidden, 1)
    x = torch.randn(4, 6, 3, dtype=torch.float64)
    state = [torch.randn(1, 4, hidden, dtype=torch.float64, requires_grad=True) for _ in "hc"]
    on_grid = [s.detach()[0, :, :, None, None].requires_grad_() for s in state]
    lstm(x, tuple(state))[0][:, -1].exp().sum().backward()
    cell(x[..., None, None], tuple(on_grid))[0].exp().sum().backward()
    for gates, name in ((cell.input, "weight_ih_l0"), (cell.recurrent, "weight_hh_l0")):
        gradient = torch.cat([gate.weight.grad[:, :, 0, 0] for gate in gates])
        torch.testing.assert_close(gradient, getattr(lstm, name).grad)
    gradient = torch.cat([gate.bias.grad for gate in cell.input])
    torch.testing.assert_close(gradient, lstm.bias_ih_l0.grad)
    for value, expected in zip(on_grid, state, strict=True):
        torch.testing.assert_close(value.grad[:, :, 0, 0], expected.grad[0])


def test_no_state_equals_a_state_of_zeros():
    cell = ConvLSTMCell(1, 3).double()
    x = torch.rand(2, 1, 1, 4, 3, dtype=torch.float64)
    zeros = torch.zeros(2, 3, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(cell(x), cell(x, (zeros, zeros)))


def test_a_single_time_needs_neither_forget_gate_nor_recurrence():
    cell = ConvLSTMCell(1, 3)
    cell(torch.rand(2, 1, 1, 4, 3))[0].sum().backward()
    used = {name for name, parameter in cell.named_parameters() if parameter.grad is not None}
    assert used == {f"input.{gate}.{name}" for gate in (0, 2, 3) for name in ("weight", "bias")}


def test_an_empty_sequence_is_refused():
    with pytest.raises(ValueError, match=r"T at least 1, got \(2, 0, 1, 4, 4\)"):
        ConvLSTM(hidden_channels=3, head="convolution")(torch.rand(2, 0, 1, 4, 4))


@pytest.mark.parametrize("norm", ["none", "global", "local"])
@pytest.mark.parametrize("grid", [(1, 1), (4, 7), (32, 32)])
def test_field_is_one_value_from_0_to_1_per_cell(norm, grid):
    model = ConvLSTM(
        hidden_channels=4, norm=norm, segments=Segments.per_cell(grid), head="convolution"
    )
    y = model(torch.randn(3, 2, 1, *grid))
    assert y.shape == (3, 1, *grid)
    assert ((y > 0) & (y < 1)).all()


@pytest.mark.parametrize("wrong", [0, 1])
def test_a_state_of_another_shape_is_refused(wrong):
    cell = ConvLSTMCell(1, 3)
    state = [torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)]
    state[wrong] = state[wrong][:1]  # a state for one sample
    with pytest.raises(ValueError, match=r"tensors of shape \(2, 3, 4, 5\), got .*\(1, 3, 4, 5\)"):
        cell(torch.rand(2, 1, 1, 4, 5), tuple(state))
