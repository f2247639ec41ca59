"""The segments used in all tests, and a reference layer."""

import copy

import torch
from per_segment import per_segment
from torch import nn

from tritonbn import LocalBN, Segments

GRID = (2, 3)
CHANNELS = 2
SEGMENTS = {
    "single": Segments.single(GRID),
    "per_cell": Segments.per_cell(GRID),
    "nearest": Segments.nearest([0, 5], GRID),
}
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


class Published(nn.Module):
    """Compute local batch normalization in float64, with PyTorch's batch norm per segment.

    Parameters and statistics are copied from a `LocalBN`. The running statistics are updated.
    """

    def __init__(self, layer):
        super().__init__()
        self.segments, self.momentum, self.eps = layer.segments, layer.momentum, layer.eps
        for name in ("weight", "bias"):
            setattr(self, name, copy.deepcopy(getattr(layer, name)))
        for name in ("running_mean", "running_var"):
            value = getattr(layer, name)
            self.register_buffer(name, None if value is None else value.clone())
        self.train(layer.training)

    def forward(self, x):
        y = per_segment(
            x, self.segments, self.running_mean, self.running_var, self.weight, self.bias,
            self.training, self.momentum, self.eps,
        )  # fmt: skip
        return y.to(x.dtype)


def step(model, x, dy=None):
    """Return the output of a model, and the gradients of its input and parameters."""
    leaf = x.detach().clone().requires_grad_()
    y = model(leaf)
    dy = torch.cos(x) if dy is None else dy
    gradients = torch.autograd.grad(y, (leaf, *model.parameters()), dy.to(y.dtype))
    return [y.detach(), *gradients]


def hold_to(expected, got, x, **tolerance):
    """Assert that output and gradients of a model equal those of another one."""
    for mine, theirs in zip(step(got, x), step(expected, x), strict=True):
        torch.testing.assert_close(mine, theirs, check_dtype=False, **(CLOSE | tolerance))


def train_in_a_group(rank, folder, backend):
    """Run one of two processes; save the results of `LocalBN` and of `Published`.

    It is in this module because a new process cannot import test modules from any directory.
    """
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    x = torch.randn(4, CHANNELS, *GRID, generator=torch.Generator().manual_seed(rank))
    results = {}
    for name, segments in SEGMENTS.items():
        layer = LocalBN(CHANNELS, segments, backend=backend)
        results[name] = [_step_together(norm, x) for norm in (layer, Published(layer))]
    torch.save(results, f"{folder}/rank{rank}")
    torch.distributed.destroy_process_group()


def _step_together(norm, x):
    """Return gradients, running statistics, and those and the output of a later evaluation."""
    distributed = nn.parallel.DistributedDataParallel(nn.Sequential(norm, nn.ReLU(inplace=True)))
    distributed(x).square().sum().backward()
    own = norm.running_mean.clone(), norm.running_var.clone()
    with torch.no_grad():
        y = distributed.eval()(x)
    return [norm.weight.grad, norm.bias.grad, *own, norm.running_mean, norm.running_var, y]
