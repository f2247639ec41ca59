"""The definition of local batch normalization in plain PyTorch, which backends are tested against.

It is written to be read, and autograd differentiates it as often as wanted.
"""

import torch
from torch import Tensor

from tritonbn.dtypes import wide_dtype


def forward(
    x: Tensor,
    ids: Tensor,
    num_segments: int,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Tensor | None,
    running: tuple[Tensor, Tensor] | None,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalize x with the statistics of the batch, or with `running` mean and variance.

    Parameters
    ----------
    x : Tensor, shape (N, C, *extra, *grid)
    ids : Tensor of int64, shape (cells,)
        ``0 .. S-1``, or -1 for cells that pass unchanged.
    num_segments : int
        S.
    weight, bias : Tensor, shape (C, S), or None
    mask : Tensor of bool, broadcastable to (N, 1, *extra, *grid), or None
        True = counts.
    running : (Tensor, Tensor), each of shape (C, S), or None
    eps : float

    Returns
    -------
    y : Tensor, shape and type of x
    mean, var : Tensor, shape (C, S)
        What was used to normalize; 0 for a segment without values, which passes unchanged.
    count : Tensor, shape (S,)
        Values per channel in each segment; 1 where `running` was given.
    """
    values = x.to(wide_dtype(x)).movedim(1, 0).flatten(1)  # (C, entries)
    position_ids = ids.repeat(x.shape[2:].numel() // len(ids))
    entry_ids = position_ids.repeat(len(x))
    segment = entry_ids.clamp(min=0)
    if running is None:
        counts = entry_ids >= 0
        if mask is not None:
            counts &= mask.expand(len(x), 1, *x.shape[2:]).flatten()
        member, counted = segment[counts], values[:, counts]
        zeros = values.new_zeros(len(values), num_segments)
        count = torch.bincount(member, minlength=num_segments).to(values.dtype)
        m = count.clamp(min=1)
        mean = zeros.index_add(1, member, counted) / m
        var = zeros.index_add(1, member, (counted - mean[:, member]).square()) / m
    else:
        mean, var = (statistic.to(values.dtype) for statistic in running)
        count = values.new_ones(num_segments)
    y = (values - mean[:, segment]) / torch.sqrt(var[:, segment] + eps)
    if weight is not None:
        y = y * weight[:, segment]
    if bias is not None:
        y = y + bias[:, segment]
    y = torch.where((entry_ids >= 0) & (count[segment] > 0), y, values).to(x.dtype)
    return y.view(x.shape[1], len(x), *x.shape[2:]).movedim(0, 1), mean, var, count
