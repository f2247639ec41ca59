"""The interpolation networks: from a sequence of grids of readings to a field."""

from typing import Any, Literal

from torch import Tensor

from tritonbn.models.cnn import CNN
from tritonbn.models.cnn_lstm import CNNLSTM
from tritonbn.models.convlstm import ConvLSTM
from tritonbn.models.head import HeadName
from tritonbn.models.norm import Norm
from tritonbn.segments import Segments

__all__ = ["CNN", "CNNLSTM", "ConvLSTM", "InterpolationNetwork", "build_model"]

InterpolationNetwork = ConvLSTM | CNN


def build_model(
    backbone: Literal["convlstm", "cnn", "cnn-lstm"],
    norm: Norm,
    segments: Segments | Tensor | tuple[int, int] | None = None,
    timesteps: int = 1,
    *,
    head: HeadName = "dense",
    in_channels: int = 1,
    channels: int = 64,
    **options: Any,
) -> InterpolationNetwork:
    """Build a network of the experiment, by default as published.

    Every network maps (N, timesteps, in_channels, H, W) to (N, 1, H, W). The normalizations of a
    backbone start from the same weights for the same seed.

    Parameters
    ----------
    backbone : {"convlstm", "cnn", "cnn-lstm"}
        The network. Each has an LSTM over the times of its input, but the CNN, which reads them as
        channels.
    norm : {"none", "global", "local", "local-batch", "offset"}
        Its normalization; the last is a control without one.
    segments : Segments, tensor of ids or (height, width), optional
        A bare grid is one segment per cell, as published. Not needed for ``"none"`` and
        ``"global"`` with the convolution head; the dense head takes the grid from them.
    timesteps : int
        Times in the input. Default 1.
    head : {"dense", "convolution"}
        What makes the field of the last inner layer: a 1x1 convolution and a sigmoid
        (``"convolution"``), then dense layers over the whole grid (``"dense"``), as in the
        published figure. Default ``"dense"``, the only one of the CNN-LSTM.
    in_channels : int
        Channels of the input at each time. Default 1, the readings.
    channels : int
        Of the inner layers. Default 64.
    **options
        Those of the network or its head, such as `hidden` and `dropout` of the dense one.

    Raises
    ------
    ValueError
        If `backbone`, `norm` or `head` is none of those, or `segments` are needed and missing.

    Examples
    --------
    >>> import torch
    >>> from tritonbn.models import build_model
    >>> model = build_model("cnn", "local", (32, 32), hidden=200, dropout=0.1)
    >>> model(torch.zeros(8, 1, 1, 32, 32)).shape
    torch.Size([8, 1, 32, 32])
    """
    if backbone == "convlstm":
        return ConvLSTM(in_channels, channels, norm=norm, segments=segments, head=head, **options)
    options["in_channels"] = in_channels
    if backbone == "cnn":
        return CNN(timesteps, channels, norm, segments, head=head, **options)
    if backbone != "cnn-lstm":
        raise ValueError(f"backbone must be 'convlstm', 'cnn' or 'cnn-lstm', got {backbone!r}")
    if head != "dense":
        raise ValueError(f"the CNN-LSTM has a dense head, got head={head!r}")
    return CNNLSTM(channels, norm, segments, **options)
