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
) -> ConvLSTM | CNN:
    """Build a network of the experiment, at its published sizes.

    Every network maps (N, timesteps, 1, H, W) to (N, 1, H, W), and ends in the 1x1 convolution
    `head`. The three normalizations of a backbone start from the same weights for the same seed.

    Parameters
    ----------
    backbone : {"convlstm", "cnn"}
        The network.
    norm : {"none", "global", "local"}
        Its normalization.
    segments : Segments, tensor of ids or (height, width), optional
        Of ``norm="local"``; a bare grid is one segment per cell, as published.
    timesteps : int
        Times in the input. Default 1.

    Raises
    ------
    ValueError
        If `backbone` or `norm` is none of those, or ``"local"`` comes without `segments`.
    """
    if backbone == "convlstm":
        return ConvLSTM(norm=norm, segments=segments)
    if backbone == "cnn":
        return CNN(timesteps, norm=norm, segments=segments)
    raise ValueError(f"backbone must be 'convlstm' or 'cnn', got {backbone!r}")
