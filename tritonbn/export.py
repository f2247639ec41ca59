"""Evaluation as a few basic operations that every model exporter supports."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from tritonbn.tensors import compute_dtype


def normalize(
    x: Tensor,
    ids: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    given: tuple[Tensor, Tensor],
    eps: float,
) -> Tensor:
    """Normalize x (N, C, *extra, *grid) with the `given` mean and variance (C, S)."""
    dtype = compute_dtype(x)
    mean, var = given
    scale = torch.rsqrt(var.to(dtype) + eps)
    if weight is not None:
        scale = scale * weight.to(dtype)
    center = mean.to(dtype)
    shift = torch.zeros_like(center) if bias is None else bias.to(dtype)
    index = ids.where(ids >= 0, mean.shape[1])  # cells in no segment use the padding
    center, scale, shift = (
        pad(t, (0, 1), value=outside)[:, None, index]
        for t, outside in ((center, 0.0), (scale, 1.0), (shift, -0.0))
    )
    rows = x.to(dtype).reshape(x.shape[0], x.shape[1], -1, ids.shape[0])
    return ((rows - center) * scale + shift).reshape(x.shape).to(x.dtype)
