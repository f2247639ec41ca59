"""CNN interpolation network: one level down, one level up, a normalization, one output channel."""

import torch
from torch import Tensor, nn

from tritonbn.models.norm import Norm, make_norm
from tritonbn.segments import Segments


class CNN(nn.Module):
    """3x3 convolution, ReLU, pooling, 3x3 transposed convolution, [norm], ReLU, 1x1, sigmoid.

    Grids of odd height or width are pooled with a last, partial window, and come back in full.

    Parameters
    ----------
    timesteps : int
        Times in the input; they are the channels of the first convolution. Default 1.
    channels : int
        Channels of the inner layers. Default 64.
    norm : {"none", "global", "local"}
        What normalizes the last inner layer. Default ``"none"``.
    segments : Segments, tensor of ids or (height, width), optional
        Of ``norm="local"``; a bare grid is one segment per cell, as published.
    """

    def __init__(
        self,
        timesteps: int = 1,
        channels: int = 64,
        norm: Norm = "none",
        segments: Segments | Tensor | tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.down = nn.Conv2d(timesteps, channels, 3, padding=1)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.up = nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1)
        self.norm = make_norm(norm, channels, segments)
        self.head = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Estimate the field, (N, 1, H, W) float in [0, 1], from `x`, (N, timesteps, 1, H, W)."""
        if x.dim() != 5 or x.shape[1:3] != (self.down.in_channels, 1):
            raise ValueError(
                f"x must be (N, {self.down.in_channels}, 1, H, W), got {tuple(x.shape)}"
            )
        grid = x.shape[-2:]
        h = self.pool(self.down(x.flatten(1, 2)))  # (N, channels, ceil(H/2), ceil(W/2))
        h = self.up(h.relu(), output_size=grid)  # (N, channels, H, W); ReLU and max commute
        y = self.head(self.norm(h).relu())  # (N, 1, H, W)
        return torch.sigmoid(y.float())
