"""Context: information from the whole grid for every cell, beyond any receptive field."""

import torch
from torch import Tensor, nn

from tritonbn.models.norm import require_grid

POOLED = 16
"""Maximum height and width of the pooled grid."""


class Context(nn.Module):
    """A weighted sum of learned maps, with weights computed from the whole grid.

    The features are reduced to 8 channels and pooled to at most 16 x 16 cells. From these, a
    perceptron with two hidden layers of 128 units computes one weight per map. Every cell of a map
    is a parameter, so a map stays random noise in cells that never contribute to the loss.

    Parameters
    ----------
    channels : int
        Number of channels of the features.
    grid : (int, int)
        Height and width.
    maps : int
        Number of maps. Default 32.
    """

    def __init__(self, channels: int, grid: tuple[int, int], maps: int = 32) -> None:
        super().__init__()
        height, width = (min(size, POOLED) for size in grid)
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, 8, 1),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d((height, width)),
            nn.Flatten(),
            nn.Linear(8 * height * width, 128),
            nn.SiLU(),
            nn.Linear(128, 128),
            nn.SiLU(),
            nn.Linear(128, maps),
        )
        self.maps = nn.Parameter(0.1 * torch.randn(maps, *grid))

    def forward(self, features: Tensor) -> Tensor:
        """Return the weighted sum of the maps, (N, 1, H, W), given features, (N, C, H, W)."""
        require_grid("context", self.maps.shape[1:], features)
        return torch.einsum("nk,khw->nhw", self.weigh(features), self.maps)[:, None]
