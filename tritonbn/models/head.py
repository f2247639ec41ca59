"""The heads of the networks, which compute the field from the last hidden layer."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from tritonbn.models.context import Context
from tritonbn.models.norm import grid_of, require_grid
from tritonbn.segments import Segments
from tritonbn.tensors import compute_dtype

HeadName = Literal["dense", "convolution"]


class ConvolutionHead(nn.Module):
    """1x1 convolution [+ context], followed by a sigmoid or added to an input channel.

    Without a context, a cell of the field depends only on the receptive field of the backbone.

    Parameters
    ----------
    channels : int
        Number of channels of the last hidden layer, and of the features that the context reads.
    context : (int, int), optional
        Height and width of the grid, to add a `Context`. Default: no context.
    corrects : int, optional
        The input channel, at the last time, to which the output is added (a residual). Default: a
        sigmoid instead.
    """

    def __init__(
        self, channels: int, context: tuple[int, int] | None = None, corrects: int | None = None
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 1, 1)
        self.context = Context(channels, context) if context else None
        self.corrects = corrects
        if corrects is not None:  # the residual is zero at the start of training
            for parameter in self.convolution.parameters():
                nn.init.zeros_(parameter)

    def forward(self, h: Tensor, features: Tensor, x: Tensor) -> Tensor:
        """Return the field, (N, 1, H, W) float.

        Parameters
        ----------
        h, features : Tensor, shape (N, channels, H, W)
            The last hidden layer, and the input of the context.
        x : Tensor, shape (N, T, C, H, W)
            The input of the network.
        """
        y: Tensor = self.convolution(h)
        if self.context is not None:
            y = y + self.context(features)
        y = y.to(compute_dtype(y))
        if self.corrects is None:
            return torch.sigmoid(y)
        return x[:, -1, self.corrects][:, None] + y


class DenseHead(nn.Module):
    """1x1 convolution, sigmoid, flatten, dense, ReLU, dropout, dense: the published head.

    Every cell of the field depends on every cell of the grid. The output is linear. It computes in
    float32 even under autocast: the outputs of the sigmoid differ by less than bfloat16 resolves.

    Parameters
    ----------
    channels : int
        Number of channels of the last hidden layer.
    grid : (int, int)
        Height and width.
    hidden : int
        Number of hidden units of the dense layers. Default 1000.
    dropout : float
        Probability with which training drops a hidden unit. Default 0.5.
    inputs : int, optional
        Number of inputs of the first dense layer, if a network does not pass it the output of
        `squeeze`. Default H * W.
    """

    def __init__(
        self,
        channels: int,
        grid: tuple[int, int],
        hidden: int = 1000,
        dropout: float = 0.5,
        inputs: int | None = None,
    ) -> None:
        super().__init__()
        self.grid = grid
        cells = grid[0] * grid[1]
        self.convolution = nn.Conv2d(channels, 1, 1)
        self.bottleneck = nn.Sigmoid()
        self.dense = nn.Sequential(
            nn.Linear(inputs or cells, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, cells),
        )

    def squeeze(self, h: Tensor) -> Tensor:
        """Reduce the last hidden layer, (N, C, H, W), to one number per cell, (N, H * W)."""
        require_grid("dense head", self.grid, h)
        with without_autocast(h.device):
            squeezed: Tensor = self.bottleneck(self.convolution(h.to(self._dtype))).flatten(1)
        return squeezed

    def expand(self, inputs: Tensor) -> Tensor:
        """Compute the field, (N, 1, H, W) float, from the inputs of the dense layers."""
        with without_autocast(inputs.device):
            field: Tensor = self.dense(inputs.to(self._dtype))
        return field.to(compute_dtype(field)).view(-1, 1, *self.grid)

    @property
    def _dtype(self) -> torch.dtype:
        return self.convolution.weight.dtype

    def forward(self, h: Tensor, features: Tensor, x: Tensor) -> Tensor:
        """Compute the field, (N, 1, H, W) float, from the last hidden layer `h`, (N, C, H, W)."""
        return self.expand(self.squeeze(h))


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """Return the context in which autocast is off; the device "meta" never has it."""
    if device.type == "meta":
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def make_head(
    head: HeadName,
    channels: int,
    segments: Segments | Tensor | tuple[int, int] | None,
    options: dict[str, Any],
) -> ConvolutionHead | DenseHead:
    """Make the head of a backbone.

    Parameters
    ----------
    head : {"dense", "convolution"}
    channels : int
        Number of channels of the last hidden layer.
    segments : Segments, tensor of ids or (height, width), optional
        Gives the shape of the grid, which the dense head needs.
    options : dict
        Further arguments of `DenseHead` or `ConvolutionHead`.

    Raises
    ------
    ValueError
        If `head` is unknown, or is ``"dense"`` and there are no segments.
    """
    if head == "convolution":
        return ConvolutionHead(channels, **options)
    if head != "dense":
        raise ValueError(f"head must be one of {', '.join(get_args(HeadName))}, got {head!r}")
    if segments is None:
        raise ValueError("head='dense' needs segments or (height, width) for the shape of the grid")
    return DenseHead(channels, grid_of(segments), **options)
