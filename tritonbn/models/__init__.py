"""The interpolation networks: from a sequence of grids of readings to a field."""

from typing import Literal

from torch import Tensor

from tritonbn.models.cnn import CNN
from tritonbn.models.convlstm import ConvLSTM
from tritonbn.models.norm import Norm
from tritonbn.segments import Segments

__all__ = ["CNN", "ConvLSTM", "build_model"]


def build_model(
    backbone: Literal["convlstm", "cnn"],
    norm: Norm,
    segments: Segments | Tensor | tuple[int, int] | None = None,
    timesteps: int = 1,
    *,
    in_channels: int = 1,
    channels: int = 64,
    context: tuple[int, int] | None = None,
    corrects: int | None = None,
) -> ConvLSTM | CNN:
    """Build a network of the experiment, by default as published.

    Every network maps (N, timesteps, in_channels, H, W) to (N, 1, H, W). The normalizations of a
    backbone start from the same weights for the same seed.

    Parameters
    ----------
    backbone : {"convlstm", "cnn"}
        The network.
    norm : {"none", "global", "local", "offset"}
        Its normalization; the last is a control.
    segments : Segments, tensor of ids or (height, width), optional
        Of ``norm="local"`` and ``"offset"``; a bare grid is one segment per cell, as published.
    timesteps : int
        Times in the input. Default 1.
    in_channels : int
        Channels of the input at each time. Default 1, the readings.
    channels : int
        Of the inner layers. Default 64.
    context : (int, int), optional
        Height and width of the grid, if the network is to see all of it at once.
    corrects : int, optional
        The channel of the last time that the output is added to, in place of the sigmoid.

    Raises
    ------
    ValueError
        If `backbone` or `norm` is none of those, or ``"local"`` comes without `segments`.
    """
    if backbone == "convlstm":
        return ConvLSTM(
            in_channels, channels, norm=norm, segments=segments, context=context, corrects=corrects
        )
    if backbone == "cnn":
        return CNN(
            timesteps,
            channels,
            norm,
            segments,
            in_channels=in_channels,
            context=context,
            corrects=corrects,
        )
    raise ValueError(f"backbone must be 'convlstm' or 'cnn', got {backbone!r}")
