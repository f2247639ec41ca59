"""CNN interpolation network: one level down, one level up, a normalization, a head."""

from typing import Any

import torch
from torch import Tensor, nn

from tritonbn.models.head import HeadName, make_head
from tritonbn.models.norm import Norm, make_norm
from tritonbn.models.symmetry import in_all_ways, require_no_places
from tritonbn.segments import Segments

EMBEDDED = 4
"""Learned channels of each cell."""


class CNN(nn.Module):
    """3x3 convolution, ReLU, pooling, 3x3 transposed convolution, [norm], ReLU, head.

    Grids of odd height or width are pooled with a last, partial window, and come back in full.

    Parameters
    ----------
    timesteps : int
        Times in the input; they are the channels of the first convolution. Default 1.
    channels : int
        Channels of the inner layers. Default 64.
    norm : {"none", "global", "local", "local-batch", "offset"}
        What normalizes the last inner layer. Default ``"none"``.
    segments : Segments, tensor of ids or (height, width), optional
        A bare grid is one segment per cell, as published. Not needed for ``"none"`` and
        ``"global"`` with the convolution head; the dense head takes the grid from them.
    in_channels : int
        Channels of the input at each time. Default 1, the readings.
    head : {"dense", "convolution"}
        What makes the field of the last inner layer. Default ``"dense"``, as published.
    norm_after : bool
        Normalize after the ReLU instead of before it. Default False.
    embedding : (int, int), optional
        Height and width of the grid, if 4 learned channels of each cell stand beside the input.
    symmetric : bool
        Let the convolutions see the grid turned and mirrored, as `in_all_ways` does, so that they
        know no direction. Default False.
    **options
        Those of `DenseHead` (`hidden`, `dropout`) or `ConvolutionHead` (`context`, `corrects`).

    Raises
    ------
    ValueError
        If it is `symmetric` and has a `context` or a dense head, which know places.
    """

    def __init__(
        self,
        timesteps: int = 1,
        channels: int = 64,
        norm: Norm = "none",
        segments: Segments | Tensor | tuple[int, int] | None = None,
        *,
        in_channels: int = 1,
        head: HeadName = "dense",
        norm_after: bool = False,
        embedding: tuple[int, int] | None = None,
        symmetric: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        require_no_places(symmetric, head, options.get("context"))
        self.shape = timesteps, in_channels
        inputs = timesteps * in_channels
        self.embedding = None
        if embedding is not None:
            self.embedding = nn.Parameter(torch.zeros(EMBEDDED, *embedding))
            inputs += EMBEDDED
        self.down = nn.Conv2d(inputs, channels, 3, padding=1)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.up = nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1)
        self.norm = make_norm(norm, channels, segments)
        self.norm_after = norm_after
        self.symmetric = symmetric
        self.head = make_head(head, channels, segments, options)

    def forward(self, x: Tensor) -> Tensor:
        """Estimate the field, (N, 1, H, W) float, from `x`, (N, timesteps, in_channels, H, W)."""
        if x.dim() != 5 or x.shape[1:3] != self.shape:
            raise ValueError(
                f"x must be (N, {self.shape[0]}, {self.shape[1]}, H, W), got {tuple(x.shape)}"
            )
        inputs = self._inputs(x)
        if self.symmetric:
            return in_all_ways(
                lambda turned: self._convolve(self._features(turned)),
                lambda h: self.head(self._normalize(h), h, x),
                inputs,
                self.training,
            )
        features = self._features(inputs)
        field: Tensor = self.head(self._normalize(self._convolve(features)), features, x)
        return field

    def _inputs(self, x: Tensor) -> Tensor:
        inputs = x.flatten(1, 2)  # (N, timesteps in_channels, H, W)
        if self.embedding is not None:
            inputs = torch.cat([inputs, self.embedding.expand(len(x), -1, -1, -1)], dim=1)
        return inputs

    def _features(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.down(inputs).relu()  # (N, channels, H, W)
        return features

    def _convolve(self, features: Tensor) -> Tensor:
        size = features.shape[-2:]
        h: Tensor = self.up(self.pool(features), output_size=size)  # (N, channels, H, W)
        return h

    def _normalize(self, h: Tensor) -> Tensor:
        y: Tensor = self.norm(h.relu()) if self.norm_after else self.norm(h).relu()
        return y
