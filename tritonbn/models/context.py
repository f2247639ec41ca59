"""What the whole grid says to each of its cells: a receptive field that no convolution reaches."""

import torch
from torch import Tensor, nn

POOLED = 16
"""Height and width, at most, of the grid that is read."""


class Context(nn.Module):
    """A few numbers of the whole grid, each of which weighs a learned map.

    The grid is reduced to 8 channels of at most 16 x 16 cells, and a perceptron with two hidden
    layers of 128 makes of it one weight for each map. The maps know their cells, so that what is
    learned is of places: in a cell that no loss ever asks for, a map stays the noise it began as.

    Parameters
    ----------
    channels : int
        Of the features that are read.
    grid : (int, int)
        Height and width.
    maps : int
        How many. Default 32.
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
        return torch.einsum("nk,khw->nhw", self.weigh(features), self.maps)[:, None]
