"""The interpolation networks, which map a sequence of grids of readings to a field."""

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
"""A network that `build_model` can return; `CNNLSTM` is a `CNN`."""


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
    """Build an interpolation network; the defaults are the published ones.

    Every network maps (N, timesteps, in_channels, H, W) to (N, 1, H, W). For the same random seed,
    networks that differ only in `norm` start from the same weights.

    Parameters
    ----------
    backbone : {"convlstm", "cnn", "cnn-lstm"}
        The network before its head. The CNN reads the times of its input as channels, the others
        have an LSTM over them.
    norm : {"none", "global", "local", "local-batch", "offset"} or callable
        The normalization: none, `torch.nn.BatchNorm2d`, `tritonbn.LocalBN`, `LocalBN` with the
        statistics of the batch in evaluation, too, or, as a control, a learned scale and offset per
        cell. Or a function that returns a module, given the number of channels, such as
        ``lambda channels: LocalBN(channels, levels, pooling=100.0)``.
    segments : Segments, tensor of ids or (height, width), optional
        The partition of the grid; its shape alone means one segment per cell, as published. Not
        needed for ``"none"`` and ``"global"`` with the convolution head.
    timesteps : int
        Number of times in the input, and default of `norm_times` of the ConvLSTM. Default 1.
    head : {"dense", "convolution"}
        What computes the field from the last hidden layer: a 1x1 convolution and a sigmoid
        (``"convolution"``), or these followed by dense layers over the whole grid (``"dense"``), as
        in the published figure. Default ``"dense"``, the only head of the CNN-LSTM.
    in_channels : int
        Number of input channels at each time. Default 1, the readings.
    channels : int
        Number of channels of the hidden layers. Default 64.
    **options
        Further options of the network or its head, such as `norm_recurrent` of the ConvLSTM, and
        `hidden` and `dropout` of the dense head.

    Returns
    -------
    ConvLSTM or CNN
        `CNNLSTM` is a subclass of `CNN`.

    Raises
    ------
    ValueError
        If `backbone`, `norm` or `head` is unknown, or `segments` are needed and missing.

    Examples
    --------
    >>> import torch
    >>> from tritonbn.models import build_model
    >>> model = build_model("cnn", "local", (8, 8), channels=4, hidden=20, dropout=0.1)
    >>> model(torch.zeros(2, 1, 1, 8, 8)).shape
    torch.Size([2, 1, 8, 8])
    """
    if backbone == "convlstm":
        options = {"norm_times": timesteps} | options
        return ConvLSTM(in_channels, channels, norm=norm, segments=segments, head=head, **options)
    options["in_channels"] = in_channels
    if backbone == "cnn":
        return CNN(timesteps, channels, norm, segments, head=head, **options)
    if backbone != "cnn-lstm":
        raise ValueError(f"backbone must be 'convlstm', 'cnn' or 'cnn-lstm', got {backbone!r}")
    if head != "dense":
        raise ValueError(f"the CNN-LSTM must have head='dense', got head={head!r}")
    return CNNLSTM(channels, norm, segments, **options)
