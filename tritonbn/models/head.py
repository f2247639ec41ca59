"""The end of every network: one output channel, in [0, 1] or as a correction."""

import torch
from torch import Tensor, nn

from tritonbn.models.context import Context


class Head(nn.Module):
    """1x1 convolution [+ context], then a sigmoid or the sum with a channel of the input.

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
