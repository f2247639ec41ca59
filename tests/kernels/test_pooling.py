"""Levels of segments on the kernels, against the definition in float64."""

import pytest
import torch
from layouts import in_layout
from pooled_definition import GRID, LEVELS, hold_to_definition, make, sample


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", LEVELS)
def test_outputs_and_gradients_follow_the_definition(name, masked, layout, device):
    levels = LEVELS[name]
    tau = [4.0, 9.0][: len(levels) - 1]
    x, dy = (in_layout(t.detach(), layout).to(device) for t in sample())
    mask = None
    if masked:
        mask = torch.rand(3, 1, *GRID, generator=torch.Generator().manual_seed(2)) < 0.6
        mask[..., 0, :2] = False  # cells without any value
        mask = mask.to(device)
    layer = make(levels, tau, backend="triton").to(device)
    hold_to_definition(layer, levels, tau, x.requires_grad_(), dy, mask)


def test_float32(device):
    levels = LEVELS["nested"]
    layer = make(levels, 4.0, backend="triton").to(device, torch.float32)
    x, dy = (t.detach().to(device, torch.float32) for t in sample(mean=100.0))
    tolerance = {"rtol": 1e-4, "atol": 1e-4}
    hold_to_definition(layer, levels, [4.0, 4.0], x.requires_grad_(), dy, **tolerance)


@pytest.mark.parametrize("activation", ["relu", "silu"])
def test_activations(activation, device):
    levels = LEVELS["overlapping"]
    x, dy = (t.detach().to(device) for t in sample())
    results = []
    for backend in ("triton", "reference"):
        layer = make(levels, 4.0, backend=backend, activation=activation).to(device)
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        gradients = torch.autograd.grad(y, [leaf, *layer.parameters()], dy)
        results.append((y, *gradients, layer.running_mean, layer.running_var))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)
