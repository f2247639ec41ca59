"""ConvLSTM interpolation network: a convolutional LSTM, a normalization, a head."""

from typing import Any

import torch
from torch import Tensor, nn

from tritonbn.models.head import HeadName, make_head
from tritonbn.models.norm import Norm, make_norm
from tritonbn.models.symmetry import in_all_ways, require_no_places
from tritonbn.segments import Segments

State = tuple[Tensor, Tensor]


class ConvLSTMCell(nn.Module):
    """Convolutional LSTM without peepholes, over a whole sequence.

    The gates are those of `torch.nn.LSTM`, in its order, with convolutions for the products.
    Keras' ConvLSTM2D, of the published code, has a hard sigmoid here; this has the sigmoid.

    Parameters
    ----------
    in_channels, hidden_channels : int
        Channels of the input and of the state.
    kernel_size : int
        Odd width of both convolutions. Default 3.

    References
    ----------
    Shi et al., "Convolutional LSTM network", NeurIPS 2015, https://arxiv.org/abs/1506.04214
    """

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int = 3) -> None:
        super().__init__()
        # One convolution a gate: to split the output of a joint one costs a copy of it backward.
        self.input = nn.ModuleList(
            nn.Conv2d(in_channels, hidden_channels, kernel_size, padding=kernel_size // 2)
            for _ in "ifgo"
        )
        self.recurrent = nn.ModuleList(
            nn.Conv2d(
                hidden_channels, hidden_channels, kernel_size, padding=kernel_size // 2, bias=False
            )
            for _ in "ifgo"
        )

    def forward(self, x: Tensor, state: State | None = None) -> State:
        """Read a sequence.

        Parameters
        ----------
        x : Tensor, shape (N, T, C, H, W)
            The sequence.
        state : (Tensor, Tensor), optional
            Hidden and cell state, each (N, hidden_channels, H, W), after what came before `x`.
            Default: nothing came before, a state of zeros, on which no work is done.

        Returns
        -------
        (Tensor, Tensor)
            The state after the last time, in the same shapes. Its first half is the output.

        Raises
        ------
        ValueError
            If `x` has another number of dimensions, or no time.
        """
        if x.dim() != 5 or x.shape[1] == 0:
            raise ValueError(f"x must be (N, T, C, H, W) with T at least 1, got {tuple(x.shape)}")
        times = x.shape[1]
        x = x.transpose(0, 1).flatten(0, 1)  # (T N, C, H, W)
        gates = (gate(x).chunk(times) for gate in self.input)  # 4 gates, T times (N, hidden, H, W)
        for i, f, g, o in zip(*gates, strict=True):
            if state is None:
                c = i.sigmoid() * g.tanh()
            else:
                h, c = state
                i, f, g, o = map(torch.add, (i, f, g, o), (gate(h) for gate in self.recurrent))
                c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            state = o.sigmoid() * c.tanh(), c
        assert state is not None  # there was at least one time
        return state


class ConvLSTM(nn.Module):
    """ConvLSTM encoder -> [norm] -> head.

    Parameters
    ----------
    in_channels : int
        Channels of the input at each time. Default 1, the readings.
    hidden_channels : int
        Channels of the state. Default 64.
    kernel_size : int
        Odd width of the convolutions. Default 3.
    norm : {"none", "global", "local", "local-batch", "offset"}
        What normalizes the last hidden state. Default ``"none"``.
    segments : Segments, tensor of ids or (height, width), optional
        A bare grid is one segment per cell, as published. Not needed for ``"none"`` and
        ``"global"`` with the convolution head; the dense head takes the grid from them.
    head : {"dense", "convolution"}
        What makes the field of the last hidden state. Default ``"dense"``, as published.
    symmetric : bool
        Let the convolutions see the grid turned and mirrored, as `in_all_ways` does, so that they
        know no direction. Default False.
    **options
        Those of `DenseHead` (`hidden`, `dropout`) or `ConvolutionHead` (`context`, `corrects`).

    Raises
    ------
    ValueError
        If it is `symmetric` and has a `context` or a dense head, which know places.

    References
    ----------
    Le, Bui, Cha, "Spatiotemporal deep learning model for citywide air pollution interpolation and
    prediction", IEEE BigComp 2020, https://arxiv.org/abs/1911.12919
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
        """Like `forward`, from the state that an earlier call returned; return the new one too.

        Raises
        ------
        ValueError
            If the network is symmetric: it has a state for each way to turn the grid.
        """
        if self.symmetric:
            raise ValueError("a symmetric ConvLSTM cannot advance: it has a state for each way")
        state = self.cell(x, state)
        return self.head(self.norm(state[0]), state[0], x), state  # (N, 1, H, W)
