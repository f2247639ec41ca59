"""ConvLSTM interpolation network: convolutional LSTM, normalization, head."""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from tritonbn.models.head import HeadName, make_head
from tritonbn.models.lstm_step import lstm_step
from tritonbn.models.norm import Norm, make_norm
from tritonbn.models.symmetry import in_all_ways, require_no_places
from tritonbn.segments import Segments

State = tuple[Tensor, Tensor]


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
        self.padding = kernel_size // 2
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

    def forward(self, x: Tensor, state: State | None = None) -> State:
        """Process a sequence.

        Parameters
        ----------
        x : Tensor, shape (N, T, C, H, W)
            The sequence.
        state : (Tensor, Tensor), optional
            Hidden and cell state before the sequence, each (N, hidden_channels, H, W). Default:
            zeros, which cost no computation.

        Returns
        -------
        (Tensor, Tensor)
            Hidden and cell state after the last time; the hidden state is the output.

        Raises
        ------
        ValueError
            If `x` does not have five dimensions, or T is 0.
        """
        if x.dim() != 5 or x.shape[1] == 0:
            raise ValueError(f"x must be (N, T, C, H, W) with T at least 1, got {tuple(x.shape)}")
        times = x.unbind(1)
        if state is None:  # there is nothing to forget yet
            if len(times) == 1 and x.device.type == "cpu":
                return self._only_step(times[0])
            weight, bias = _joined(self.input, "igo", x)
            state = lstm_step(conv2d(times[0], weight, bias, padding=self.padding))
            times = times[1:]
        if times:
            weight, bias = _joined(self.input, "ifgo", x)
            recurrent, _ = _joined(self.recurrent, "ifgo", x)
        for now in times:
            hidden, cell = state
            state = lstm_step(
                conv2d(now, weight, bias, padding=self.padding),
                conv2d(hidden, recurrent, padding=self.padding),
                cell,
            )
        return state

    def _only_step(self, x: Tensor) -> State:
        """Return the state after a single time, by one convolution per gate.

        Without a recurrent convolution, contiguous memory is faster on the CPU, and there a joint
        convolution is slower than one per gate.
        """
        i, _, g, o = self.input
        cell = i(x).sigmoid() * g(x).tanh()
        return o(x).sigmoid() * cell.tanh(), cell


def _joined(gates: nn.ModuleList, names: str, x: Tensor) -> tuple[Tensor, Tensor | None]:
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


class ConvLSTM(nn.Module):
    """Interpolate with a ConvLSTM: ConvLSTM encoder, [norm], head.

    Parameters
    ----------
    in_channels : int
        Number of input channels at each time. Default 1, the readings.
    hidden_channels : int
        Number of channels of the state. Default 64.
    kernel_size : int
        Width of the convolutions, an odd number. Default 3.
    norm : {"none", "global", "local", "local-batch", "offset"}
        The normalization of the last hidden state; see `make_norm`. Default ``"none"``.
    segments : Segments, tensor of ids or (height, width), optional
        The partition of the grid; its shape alone means one segment per cell, as published. Not
        needed for ``"none"`` and ``"global"`` with the convolution head.
    head : {"dense", "convolution"}
        What computes the field from the last hidden state. Default ``"dense"``, as published.
    symmetric : bool
        Whether to apply the convolutions to the grid in all rotations and reflections, as
        `in_all_ways` does, so that they prefer no direction. Default False.
    **options
        Options of `DenseHead` (`hidden`, `dropout`) or `ConvolutionHead` (`context`, `corrects`).

    Raises
    ------
    ValueError
        If `norm` or `head` is unknown, if `segments` are needed and missing, or if the network is
        `symmetric` and has a `context` or a dense head, whose weights depend on the position.

    References
    ----------
    Le, Bui, Cha, "Spatiotemporal deep learning model for citywide air pollution interpolation and
    prediction", IEEE BigComp 2020, https://arxiv.org/abs/1911.12919

    Examples
    --------
    >>> import torch
    >>> from tritonbn.models import ConvLSTM
    >>> model = ConvLSTM(hidden_channels=4, norm="local", segments=(8, 8))
    >>> model(torch.zeros(2, 3, 1, 8, 8)).shape  # three times
    torch.Size([2, 1, 8, 8])
    """

    def __init__(
        self,
        in_channels: int = 1,
        hidden_channels: int = 64,
        kernel_size: int = 3,
        norm: Norm = "none",
        segments: Segments | Tensor | tuple[int, int] | None = None,
        *,
        head: HeadName = "dense",
        symmetric: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        require_no_places(symmetric, head, options.get("context"))
        self.symmetric = symmetric
        self.cell = ConvLSTMCell(in_channels, hidden_channels, kernel_size)
        self.norm = make_norm(norm, hidden_channels, segments)
        self.head = make_head(head, hidden_channels, segments, options)

    def forward(self, x: Tensor) -> Tensor:
        """Estimate the field, (N, 1, H, W) float, from `x`, (N, T, in_channels, H, W)."""
        if self.symmetric:
            return in_all_ways(
                lambda turned: self.cell(turned)[0],
                lambda h: self.head(self.norm(h), h, x),
                x,
                self.training,
            )
        h = self.cell(x)[0]
        field: Tensor = self.head(self.norm(h), h, x)
        return field

    def advance(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Continue from the state that an earlier call returned.

        Parameters
        ----------
        x : Tensor, shape (N, T, in_channels, H, W)
            The next times of the sequence.
        state : (Tensor, Tensor), optional
            Default: the start of a sequence.

        Returns
        -------
        field : Tensor, shape (N, 1, H, W)
            As from `forward`.
        state : (Tensor, Tensor)
            The new state.

        Raises
        ------
        ValueError
            If the network is symmetric, because it then has one state per symmetry of the grid.
        """
        if self.symmetric:
            raise ValueError(
                "a symmetric ConvLSTM cannot advance, because it has one state per symmetry"
            )
        state = self.cell(x, state)
        return self.head(self.norm(state[0]), state[0], x), state  # (N, 1, H, W)
