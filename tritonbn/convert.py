"""`convert_batchnorm`: global to local batch normalization in a model that exists."""

import torch
from torch import nn

from tritonbn.module import LocalBN
from tritonbn.segments import Segments


def convert_batchnorm(model: nn.Module, segments: Segments) -> nn.Module:
    """Replace every `torch.nn.BatchNorm2d` of a model by a `LocalBN`.

    Parameters and running statistics are carried over, the same for every segment, so that the
    converted model computes in evaluation what it did before, except in cells that are in no
    segment.

    Parameters
    ----------
    model : Module
        Changed in place, unless it is itself a `torch.nn.BatchNorm2d`.
    segments : Segments
        The partition of the grid on which all these layers work.

    Returns
    -------
    Module
        `model`, or the layer that takes its place.
    """
    if isinstance(model, nn.BatchNorm2d):
        return _convert(model, segments)
    for name, child in model.named_children():
        setattr(model, name, convert_batchnorm(child, segments))
    return model


@torch.no_grad()
def _convert(norm: nn.BatchNorm2d, segments: Segments) -> LocalBN:
    tensors = {**dict(norm.named_parameters()), **dict(norm.named_buffers())}
    like = tensors.get("weight", tensors.get("running_mean"))
    local = LocalBN(
        norm.num_features,
        segments,
        norm.eps,
        norm.momentum,
        norm.affine,
        norm.track_running_stats,
        bias=norm.bias is not None,
        device=None if like is None else like.device,
        dtype=None if like is None else like.dtype,
    )
    for name, tensor in tensors.items():
        target = getattr(local, name)
        target.copy_(tensor[:, None] if tensor.dim() else tensor)
        target.requires_grad_(tensor.requires_grad)
    return local.train(norm.training)
