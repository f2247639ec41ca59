"""CNN interpolation network: one level down, one level up, a normalization, one output channel."""

from torch import Tensor, nn

from tritonbn.models.head import Head
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
    norm : {"none", "global", "local", "offset"}
        What normalizes the last inner layer. Default ``"none"``.
    segments : Segments, tensor of ids or (height, width), optional
        Of ``norm="local"`` and ``"offset"``; a bare grid is one segment per cell, as published.
    in_channels : int
        Channels of the input at each time. Default 1, the readings.
    context : (int, int), optional
        Height and width of the grid, if the network is to see all of it through a `Context`.
    corrects : int, optional
        The channel of the last time that the output is added to, in place of the sigmoid.
    """

    def __init__(
        self,
        timesteps: int = 1,
        channels: int = 64,
        norm: Norm = "none",
        segments: Segments | Tensor | tuple[int, int] | None = None,
        *,
        in_channels: int = 1,
        context: tuple[int, int] | None = None,
        corrects: int | None = None,
    ) -> None:
        super().__init__()
        self.shape = timesteps, in_channels
        self.down = nn.Conv2d(timesteps * in_channels, channels, 3, padding=1)
        self.pool = nn.MaxPool2d(2, ceil_mode=True)
        self.up = nn.ConvTranspose2d(channels, channels, 3, stride=2, padding=1)
        self.norm = make_norm(norm, channels, segments)
        self.head = Head(channels, context, corrects)

    def forward(self, x: Tensor) -> Tensor:
        """Estimate the field, (N, 1, H, W) float, from `x`, (N, timesteps, in_channels, H, W)."""
        if x.dim() != 5 or x.shape[1:3] != self.shape:
            raise ValueError(
                f"x must be (N, {self.shape[0]}, {self.shape[1]}, H, W), got {tuple(x.shape)}"
            )
        features = self.down(x.flatten(1, 2)).relu()  # (N, channels, H, W)
        h = self.up(self.pool(features), output_size=x.shape[-2:])  # (N, channels, H, W)
        field: Tensor = self.head(self.norm(h).relu(), features, x)
        return field
