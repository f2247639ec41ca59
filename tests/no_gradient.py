"""A consumer of a tensor that gives it no gradient."""

import torch


class WithoutGradient(torch.autograd.Function):
    """Return a copy; the gradient of the argument is None."""

    @staticmethod
    def forward(ctx, y):
        return y.clone()

    @staticmethod
    def backward(ctx, dy):
        return None
