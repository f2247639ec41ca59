"""The interpolation networks: from a sequence of grids of readings to a field."""

from typing import Any, Literal

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
    **options: Any,
) -> ConvLSTM | CNN:
    """Build a network of the experiment, by default as published.

    Every network maps (N, timesteps, in_channels, H, W) to (N, 1, H, W). The normalizations of a
    backbone start from the same weights for the same seed.

    Parameters
    ----------
    backbone : {"convlstm", "cnn"}
        The network.
    norm : {"none", "global", "local", "local-batch", "offset"}
        Its normalization; the last is a control without one.
    segments : Segments, tensor of ids or (height, width), optional
        Needed but for ``"none"`` and ``"global"``; a bare grid is one segment per cell, as
        published.
    timesteps : int
        Times in the input. Default 1.
    in_channels : int
        Channels of the input at each time. Default 1, the readings.
    channels : int
        Of the inner layers. Default 64.
    **options
        Those of `ConvLSTM` or `CNN` that the published networks do not have.

    Raises
    ------
    ValueError
        If `backbone` or `norm` is none of those, or `segments` are needed and missing.
    """
    if backbone == "convlstm":
        return ConvLSTM(in_channels, channels, norm=norm, segments=segments, **options)
    if backbone == "cnn":
        return CNN(timesteps, channels, norm, segments, in_channels=in_channels, **options)
    raise ValueError(f"backbone must be 'convlstm' or 'cnn', got {backbone!r}")
