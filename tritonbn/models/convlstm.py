"""ConvLSTM interpolation network: convolutional LSTM, normalization, head."""

from typing import Any

from torch import Tensor, nn

from tritonbn.models.convlstm_cell import ConvLSTMCell, State
from tritonbn.models.head import HeadName, make_head
from tritonbn.models.norm import Norm, make_norm
from tritonbn.models.normalized_cell import NormRecurrent, make_cell
from tritonbn.models.symmetry import in_all_ways, require_no_places
from tritonbn.segments import Segments


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
    norm : {"none", "global", "local", "local-batch", "offset"} or callable
        The normalization of the last hidden state, as in `build_model`. Default ``"none"``.
    segments : Segments, tensor of ids or (height, width), optional
        The partition of the grid; its shape alone means one segment per cell, as published. Not
        needed for ``"none"`` and ``"global"`` with the convolution head and no `norm_recurrent`.
    head : {"dense", "convolution"}
        What computes the field from the last hidden state. Default ``"dense"``, as published.
    norm_recurrent : {"none", "global", "local"}
        Recurrent batch normalization (Cooijmans et al., 2017): at each time, what the input and
        what the former hidden state contribute to the gates is normalized separately. ``"global"``
        has statistics over the whole grid, ``"local"`` per segment; cells in no segment have gates
        without normalization and bias. Unlike in the paper the cell state is not normalized.
        Default ``"none"``.
    norm_times : int
        The number of times, from the start of the sequence, that have statistics of their own for
        `norm_recurrent`; later times share those of the last one. In evaluation, a time that
        training has not reached has those of the nearest one that it has. All share weight and
        bias. Default 12.
    symmetric : bool
        Whether to apply the convolutions to the grid in all rotations and reflections, as
        `in_all_ways` does, so that they prefer no direction. Default False.
    **options
        Options of `DenseHead` (`hidden`, `dropout`) or `ConvolutionHead` (`context`, `corrects`).

    Raises
    ------
    ValueError
        If `norm`, `head` or `norm_recurrent` is unknown, `segments` are needed and missing, or
        `norm_times` is not positive; or if the network is `symmetric` and has a `context` or a
        dense head, whose weights depend on the position, or `norm_recurrent`, whose statistics are
        those of a batch in one orientation.

    References
    ----------
    Le, Bui, Cha, "Spatiotemporal deep learning model for citywide air pollution interpolation and
    prediction", IEEE BigComp 2020, https://arxiv.org/abs/1911.12919

    Cooijmans et al., "Recurrent batch normalization", ICLR 2017, https://arxiv.org/abs/1603.09025

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
        norm_recurrent: NormRecurrent = "none",
        norm_times: int = 12,
        symmetric: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        require_no_places(symmetric, head, options.get("context"))
        if symmetric and norm_recurrent != "none":
            raise ValueError(
                "a symmetric network computes each part of a batch in another orientation of the "
                f"grid, so norm_recurrent must be 'none', got {norm_recurrent!r}"
            )
        self.symmetric = symmetric
        self.cell: ConvLSTMCell = make_cell(
            in_channels, hidden_channels, kernel_size, norm_recurrent, segments, norm_times
        )
        self.norm = make_norm(norm, hidden_channels, segments)
        self.head = make_head(head, hidden_channels, segments, options)

    def forward(self, x: Tensor) -> Tensor:
        """Estimate the field, (N, 1, H, W) float, from `x`, (N, T, in_channels, H, W)."""
        if self.symmetric:
            return in_all_ways(
                lambda turned: self.cell(turned).hidden,
                lambda h: self.head(self.norm(h), h, x),
                x,
                self.training,
            )
        h = self.cell(x).hidden
        field: Tensor = self.head(self.norm(h), h, x)
        return field

    def advance(
        self, x: Tensor, state: State | tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, State]:
        """Continue from the state that an earlier call returned.

        Parameters
        ----------
        x : Tensor, shape (N, T, in_channels, H, W)
            The next times of the sequence.
        state : State or (Tensor, Tensor), optional
            A plain pair of hidden and cell state has seen no times. Default: the start of a
            sequence.

        Returns
        -------
        field : Tensor, shape (N, 1, H, W)
            As from `forward`.
        state : State
            The new state: ``hidden`` and ``cell``, each (N, hidden_channels, H, W), and ``times``,
            the number of times since the start of the sequence.

        Raises
        ------
        ValueError
            If the network is symmetric, because it then has one state per symmetry of the grid.
        """
        if self.symmetric:
            raise ValueError(
                "a symmetric ConvLSTM cannot advance, because it has one state per symmetry"
            )
        new: State = self.cell(x, state)
        return self.head(self.norm(new.hidden), new.hidden, x), new
