"""The definition of local batch normalization in plain PyTorch; all backends are tested against it.

It is written for readability, and autograd can differentiate it to any order.
"""

from __future__ import annotations  # Dynamo of torch 2.8 cannot trace the nested function otherwise

import torch
from torch import Tensor

from tritonbn import ranks
from tritonbn.pooling import Pooling, no_estimates
from tritonbn.tensors import in_layout, is_channels_last, wide_dtype


def forward(
    x: Tensor,
    ids: Tensor,
    num_segments: int,
    weight: Tensor | None,
    bias: Tensor | None,
    mask: Tensor | None,
    running: tuple[Tensor, Tensor] | None,
    eps: float,
    group: str | None = None,
    pooling: Pooling | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Normalize x with the statistics of the batch, or with `running` mean and variance.

    Parameters
    ----------
    x : Tensor, shape (N, C, *extra, *grid)
    ids : Tensor of int64, shape (cells,)
        ``0 .. S-1``, or -1 for cells that are returned unchanged.
    num_segments : int
        S.
    weight, bias : Tensor, shape (C, S), or None
    mask : Tensor of bool, broadcastable to (N, 1, *extra, *grid), or None
        True where a value is included in the statistics. An excluded value that is not finite
        affects only its own output.
    running : (Tensor, Tensor), each of shape (C, S), or None
    eps : float
    group : str, optional
        Name of the process group over whose ranks the statistics are computed.
    pooling : Pooling, optional
        Levels of segments; x is normalized with the pooled statistics.

    Returns
    -------
    y : Tensor, shape, dtype and memory format of x
    mean, var : Tensor, shape (C, S)
        The statistics of each segment alone; 0 for a segment without values, which is returned
        unchanged if it has no estimate either.
    count : Tensor, shape (S,)
        Number of values per channel in each segment; 1 if `running` was given.
    estimates : Tensor, shape (3, C, S)
        The result of `Pooling.finest`, with which x was normalized; empty without pooling.
    """
    values = x.to(wide_dtype(x)).movedim(1, 0).flatten(1)  # (C, entries)
    weight, bias = (None if p is None else p.to(values.dtype) for p in (weight, bias))
    position_ids = ids.repeat(x.shape[2:].numel() // len(ids))
    entry_ids = position_ids.repeat(len(x))
    inside, segment = entry_ids >= 0, entry_ids.clamp(min=0)
    counts, lost = inside, ~inside
    if mask is not None:
        counts = inside & mask.expand(len(x), 1, *x.shape[2:]).flatten()
        lost = lost | ~(counts | values.isfinite())
    if running is None:
        member = entry_ids.where(counts, num_segments)  # an additional sum collects excluded values
        counted = values.where(counts, 0.0)

        def total(values: Tensor) -> Tensor:
            sums = values.new_zeros(len(values), num_segments + 1)
            own = sums.index_add(1, member, values)[:, :-1]
            return own if group is None else ranks.differentiable_sum(own, group)

        count = total(torch.ones_like(values[:1]))[0]
        m = count.clamp(min=1)
        mean = total(counted) / m
        var = total((counted - mean[:, segment]).square()) / m
    else:
        mean, var = (statistic.to(values.dtype) for statistic in running)
        count = values.new_ones(num_segments)
    own, estimates = (mean, var, count), no_estimates(x)
    if running is None and pooling is not None:
        estimates, count = pooling.finest(*own), pooling.counts(count)
        mean, var, _ = estimates

    def normalize(
        values: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None, bias: Tensor | None
    ) -> Tensor:
        y = (values - mean[:, segment]) / torch.sqrt(var[:, segment] + eps)
        if weight is not None:
            y = y * weight[:, segment]
        return y if bias is None else y + bias[:, segment]

    y = normalize(values.masked_fill(lost, 0.0), mean, var, weight, bias)
    if mask is not None:  # lost values get an output, but take no part in the gradients of others
        fixed = (None if p is None else p.detach() for p in (weight, bias))
        y = torch.where(lost, normalize(values, mean.detach(), var.detach(), *fixed), y)
    y = torch.where(inside & (count[segment] > 0), y, values).to(x.dtype)
    y = y.view(x.shape[1], len(x), *x.shape[2:]).movedim(0, 1)
    return in_layout(y, is_channels_last(x)), *own, estimates
