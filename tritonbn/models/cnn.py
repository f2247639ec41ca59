"""CNN interpolation network: downsampling, upsampling, normalization, head."""

from typing import Any

import torch
from torch import Tensor, nn

from tritonbn.models.head import HeadName, make_head
from tritonbn.models.norm import Norm, make_norm, require_grid
from tritonbn.models.symmetry import in_all_ways, require_no_places
from tritonbn.segments import Segments

EMBEDDED = 4
"""Number of learned channels of the embedding."""


class CNN(nn.Module):
    """Interpolate with a CNN.

    The layers are 3x3 convolution, ReLU, 2x2 max pooling, 3x3 transposed convolution, [norm], ReLU,
    head. If the height or width is odd, the last pooling window is a partial one, and the output
    still has the full size.

    Parameters
    ----------
    timesteps : int
        Number of times in the input, which the first convolution reads as channels. Default 1.
    channels : int
        Number of channels of the hidden layers. Default 64.
    norm : {"none", "global", "local", "local-batch", "offset"} or callable
        The normalization of the last hidden layer, as in `build_model`. Default ``"none"``.
    segments : Segments, tensor of ids or (height, width), optional
        The partition of the grid; its shape alone means one segment per cell, as published. Not
        needed for ``"none"`` and ``"global"`` with the convolution head.
    in_channels : int
        Number of input channels at each time. Default 1, the readings.
    head : {"dense", "convolution"}
        What computes the field from the last hidden layer. Default ``"dense"``, as published.
    norm_after : bool
        Whether to normalize after the ReLU instead of before it. Default False.
    embedding : (int, int), optional
        Height and width of the grid, to add 4 learned channels to the input. Default: none.
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

    Examples
    --------
    >>> import torch
    >>> from tritonbn.models import CNN
    >>> CNN(channels=4, norm="local", segments=(8, 8))(torch.zeros(2, 1, 1, 8, 8)).shape
    torch.Size([2, 1, 8, 8])
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
            require_grid("embedding", self.embedding.shape[1:], inputs)
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
