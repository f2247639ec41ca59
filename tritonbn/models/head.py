"""What follows the normalization in every network: from the last inner layer to the field."""

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from tritonbn.models.context import Context
from tritonbn.segments import Segments

HeadName = Literal["dense", "convolution"]


class ConvolutionHead(nn.Module):
    """1x1 convolution [+ context], then a sigmoid or the sum with a channel of the input.

    A cell of the field depends on the cells that the backbone sees from there, and on no other,
    unless there is a context.

    Parameters
    ----------
    channels : int
        Of the last inner layer, and of the features that the context reads.
    context : (int, int), optional
        Height and width of the grid. Default: no context.
    corrects : int, optional
        The channel of the last time that is corrected. Default: the sigmoid.
    """

    def __init__(
        self, channels: int, context: tuple[int, int] | None = None, corrects: int | None = None
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 1, 1)
        self.context = Context(channels, context) if context else None
        self.corrects = corrects
        if corrects is not None:  # nothing is corrected before anything is learned
            for parameter in self.convolution.parameters():
                nn.init.zeros_(parameter)

    def forward(self, h: Tensor, features: Tensor, x: Tensor) -> Tensor:
        """Return the field, (N, 1, H, W) float.

        Parameters
        ----------
        h, features : Tensor, shape (N, channels, H, W)
            The last inner layer, and what the context reads.
        x : Tensor, shape (N, T, C, H, W)
            The input of the network.
        """
        y: Tensor = self.convolution(h)
        if self.context is not None:
            y = y + self.context(features)
        if self.corrects is None:
            return torch.sigmoid(y.float())
        return x[:, -1, self.corrects : self.corrects + 1].float() + y.float()


class DenseHead(nn.Module):
    """1x1 convolution, sigmoid, flatten, dense, ReLU, dropout, dense: the published head.

    Every cell of the field depends on every cell of the grid. The output is linear. It computes in
    float32 under autocast, too: what the sigmoid returns differs by less than bfloat16 can tell.

    Parameters
    ----------
    channels : int
        Of the last inner layer.
    grid : (int, int)
        Height and width.
    hidden : int
        Width of the dense layer in between. Default 1000.
    dropout : float
        Share of the hidden units that training drops. Default 0.5.
    inputs : int, optional
        Numbers that the first dense layer reads, where a network does not hand it what
        `squeeze` returns. Default H * W.
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
        """Return one number for each cell, (N, H * W), of the last inner layer, (N, C, H, W)."""
        if h.shape[-2:] != self.grid:
            raise ValueError(
                f"the dense head is made for a grid of {self.grid}, got {tuple(h.shape[-2:])}"
            )
        with torch.autocast(h.device.type, enabled=False):
            squeezed: Tensor = self.bottleneck(self.convolution(h.to(self._dtype))).flatten(1)
        return squeezed

    def expand(self, inputs: Tensor) -> Tensor:
        """Return the field, (N, 1, H, W) float, given the numbers that the dense layers read."""
        with torch.autocast(inputs.device.type, enabled=False):
            field: Tensor = self.dense(inputs.to(self._dtype)).float()
        return field.view(-1, 1, *self.grid)

    @property
    def _dtype(self) -> torch.dtype:
        return self.convolution.weight.dtype

    def forward(self, h: Tensor, features: Tensor, x: Tensor) -> Tensor:
        """Return the field, (N, 1, H, W) float, of the last inner layer, (N, C, H, W), alone."""
        return self.expand(self.squeeze(h))


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
        Of the last inner layer.
    segments : Segments, tensor of ids or (height, width), optional
        Tells the dense head the grid.
    options : dict
        Further arguments of `DenseHead` or `ConvolutionHead`.

    Raises
    ------
    ValueError
        If `head` is none of those, or is dense and there are no segments.
    """
    if head == "convolution":
        return ConvolutionHead(channels, **options)
    if head != "dense":
        raise ValueError(f"head must be one of {', '.join(get_args(HeadName))}, got {head!r}")
    if segments is None:
        raise ValueError("head='dense' needs segments, or the (height, width), to know the grid")
    return DenseHead(channels, _grid_of(segments), **options)


def _grid_of(segments: Segments | Tensor | tuple[int, int]) -> tuple[int, int]:
    if isinstance(segments, Segments):
        height, width = segments.grid
    else:
        height, width = segments.shape if isinstance(segments, Tensor) else segments
    return height, width
