"""`ConvLSTMCell`: a convolutional LSTM over a sequence, without a head."""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from tritonbn.models.lstm_step import lstm_step


class State(NamedTuple):
    """What a ConvLSTM knows of the times that it has seen.

    Parameters
    ----------
    hidden, cell : Tensor, shape (N, hidden_channels, H, W)
        Hidden and cell state; the hidden state is the output.
    times : int
        The number of times since the start of the sequence. Default 0.
    """

    hidden: Tensor
    cell: Tensor
    times: int = 0


class ConvLSTMCell(nn.Module):
    """Convolutional LSTM without peephole connections, applied to a whole sequence.

    The gates are those of `torch.nn.LSTM`, in the same order, with convolutions in place of matrix
    products. They use the sigmoid; Keras' ConvLSTM2D, used in the published code, a hard sigmoid.

    Parameters
    ----------
    in_channels, hidden_channels : int
        Number of channels of the input and of the state.
    kernel_size : int
        Width of both convolutions, an odd number. Default 3.

    References
    ----------
    Shi et al., "Convolutional LSTM network", NeurIPS 2015, https://arxiv.org/abs/1506.04214
    """

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, got {kernel_size}")
        self.padding = kernel_size // 2
        self.hidden_channels = hidden_channels
        self.input = nn.ModuleList(
            nn.Conv2d(in_channels, hidden_channels, kernel_size, padding=self.padding)
            for _ in "ifgo"
        )
        self.recurrent = nn.ModuleList(
            nn.Conv2d(
                hidden_channels, hidden_channels, kernel_size, padding=self.padding, bias=False
            )
            for _ in "ifgo"
        )

    def forward(self, x: Tensor, state: State | tuple[Tensor, Tensor] | None = None) -> State:
        """Process a sequence.

        Parameters
        ----------
        x : Tensor, shape (N, T, C, H, W)
            The sequence.
        state : State or (Tensor, Tensor), optional
            The state before the sequence; a plain pair of hidden and cell state has seen no times.
            Default: zeros, which cost no computation.

        Returns
        -------
        State
            The state after the last time.

        Raises
        ------
        ValueError
            If `x` does not have five dimensions, T is 0, or the state does not fit to `x`.
        """
        if x.dim() != 5 or x.shape[1] == 0:
            raise ValueError(f"x must be (N, T, C, H, W) with T at least 1, got {tuple(x.shape)}")
        if state is None:
            return self._run(x.unbind(1), None)
        state = State(*state)
        expected = (len(x), self.hidden_channels, *x.shape[3:])
        if not expected == state.hidden.shape == state.cell.shape:
            raise ValueError(
                f"the state must have tensors of shape {tuple(expected)}, got "
                f"{tuple(state.hidden.shape)} and {tuple(state.cell.shape)}"
            )
        return self._run(x.unbind(1), state)

    def _run(self, times: tuple[Tensor, ...], state: State | None) -> State:
        """Return the state after one or more times, each (N, C, H, W)."""
        x = times[0]
        if state is None:  # there is nothing to forget yet
            if len(times) == 1 and x.device.type == "cpu":
                return State(*self._only_step(x), times=1)
            weight, bias = joined(self.input, "igo", x)
            state = State(*lstm_step(conv2d(x, weight, bias, padding=self.padding)), times=1)
            times = times[1:]
        if times:
            weight, bias = joined(self.input, "ifgo", x)
            recurrent, _ = joined(self.recurrent, "ifgo", x)
        for now in times:
            step = lstm_step(
                conv2d(now, weight, bias, padding=self.padding),
                conv2d(state.hidden, recurrent, padding=self.padding),
                state.cell,
            )
            state = State(*step, times=state.times + 1)
        return state

    def _only_step(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return hidden and cell state after a single time, by one convolution per gate.

        Without a recurrent convolution, contiguous memory is faster on the CPU, and there a joint
        convolution is slower than one per gate.
        """
        i, _, g, o = self.input
        cell = i(x).sigmoid() * g(x).tanh()
        return o(x).sigmoid() * cell.tanh(), cell


def joined(gates: nn.ModuleList, names: str, x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return weight and bias of one convolution that computes these gates of "ifgo".

    On the CPU its memory is channels_last, and so are then the results: the convolution is faster.
    """
    layers = cast("list[nn.Conv2d]", list(gates))
    chosen = [layers["ifgo".index(name)] for name in names]
    weight = torch.cat([gate.weight for gate in chosen])
    if x.device.type == "cpu":
        weight = weight.clone(memory_format=torch.channels_last)
    biases = [gate.bias for gate in chosen if gate.bias is not None]
    return weight, torch.cat(biases) if biases else None
