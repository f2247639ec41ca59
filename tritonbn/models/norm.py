"""The one thing in which the three arms of the experiment differ."""

from typing import Literal

from torch import Tensor, nn

from tritonbn.module import LocalBN
from tritonbn.segments import Segments

Norm = Literal["none", "global", "local"]


def make_norm(
    norm: Norm, channels: int, segments: Segments | Tensor | tuple[int, int] | None
) -> nn.Module:
    """Make the normalization. It draws no random number, so that the three arms start equal.

    Parameters
    ----------
    norm : {"none", "global", "local"}
        `torch.nn.Identity`, `torch.nn.BatchNorm2d` or `tritonbn.LocalBN`.
    channels : int
        Channels of the input.
    segments : Segments, tensor of ids or (height, width), optional
        For ``"local"`` only, where it is needed; a bare grid is one segment per cell, as published.

    Raises
    ------
    ValueError
        If `norm` is none of the three, or ``"local"`` comes without `segments`.
    """
    if norm == "none":
        return nn.Identity()
    if norm == "global":
        return nn.BatchNorm2d(channels)
    if norm != "local":
        raise ValueError(f"norm must be 'none', 'global' or 'local', got {norm!r}")
    if segments is None:
        raise ValueError("norm='local' needs segments: a Segments, ids, or the (height, width)")
    return LocalBN(channels, segments)
