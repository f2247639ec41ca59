"""`NormalizedConvLSTMCell`: recurrent batch normalization in a ConvLSTM."""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from tritonbn.models.convlstm_cell import ConvLSTMCell, State, joined
from tritonbn.models.lstm_step import lstm_step
from tritonbn.models.norm import grid_of
from tritonbn.models.recurrent_norm import RecurrentBN
from tritonbn.segments import Segments

NormRecurrent = Literal["none", "global", "local"]


class NormalizedConvLSTMCell(ConvLSTMCell):
    """A ConvLSTM cell that normalizes what input and hidden state contribute to the gates.

    The input's part has a weight and a bias, which replaces that of the convolution, the hidden
    state's part a weight only. Unlike in the paper the cell state is not normalized.

    Parameters
    ----------
    in_channels, hidden_channels, kernel_size : int
        Those of `ConvLSTMCell`; for the same random seed the weights of the convolutions are equal.
    segments, norm_times
        Those of `RecurrentBN`.

    References
    ----------
    Cooijmans et al., "Recurrent batch normalization", ICLR 2017, https://arxiv.org/abs/1603.09025
    """

    def __init__(
        self,
        in_channels: int,
        hidden_channels: int,
        kernel_size: int,
        segments: Segments | Tensor | tuple[int, int],
        norm_times: int,
    ) -> None:
        super().__init__(in_channels, hidden_channels, kernel_size)
        for gate in self.input:
            gate.bias = None  # type: ignore[assignment]
        gates = 4 * hidden_channels
        self.input_norm = RecurrentBN(gates, segments, norm_times)
        self.recurrent_norm = RecurrentBN(gates, segments, norm_times, bias=False)

    def _run(self, times: tuple[Tensor, ...], state: State | None) -> State:
        """Return the state after one or more times, each (N, C, H, W)."""
        weight, _ = joined(self.input, "ifgo", times[0])
        recurrent, _ = joined(self.recurrent, "ifgo", times[0])

        def of_input(now: Tensor, time: int) -> Tensor:
            gates: Tensor = self.input_norm(conv2d(now, weight, padding=self.padding), time=time)
            return gates

        if state is None:  # the hidden state contributes nothing
            gates = of_input(times[0], 0)
            zeros = torch.zeros_like(gates.chunk(4, dim=1)[0])
            state = State(*lstm_step(gates, cell=zeros), times=1)
            times = times[1:]
        for now in times:
            of_hidden = conv2d(state.hidden, recurrent, padding=self.padding)
            step = lstm_step(
                of_input(now, state.times),
                self.recurrent_norm(of_hidden, time=state.times),
                state.cell,
            )
            state = State(*step, times=state.times + 1)
        return state


def make_cell(
    in_channels: int,
    hidden_channels: int,
    kernel_size: int,
    norm_recurrent: NormRecurrent,
    segments: Segments | Tensor | tuple[int, int] | None,
    norm_times: int,
) -> ConvLSTMCell:
    """Make the cell of a `ConvLSTM`, which explains the parameters.

    Raises
    ------
    ValueError
        If `norm_recurrent` is unknown, `segments` are needed and missing, or `norm_times` is not
        positive.
    """
    if norm_recurrent not in get_args(NormRecurrent):
        raise ValueError(
            f"norm_recurrent must be one of {', '.join(get_args(NormRecurrent))}, "
            f"got {norm_recurrent!r}"
        )
    if norm_recurrent == "none":
        return ConvLSTMCell(in_channels, hidden_channels, kernel_size)
    if segments is None:
        raise ValueError(
            f"norm_recurrent={norm_recurrent!r} needs segments: a Segments, ids, or (height, width)"
        )
    if norm_recurrent == "global":
        segments = Segments.single(grid_of(segments))
    return NormalizedConvLSTMCell(in_channels, hidden_channels, kernel_size, segments, norm_times)
