"""A value that the mask excludes affects only its own output, even if it is not finite."""

import pytest
import torch
from layouts import in_layout

from tritonbn import LocalBN, Segments

GRID = (3, 4)
SEGMENTS = {
    "single": Segments.single(GRID),
    "per_cell": Segments.per_cell(GRID),
    "nearest": Segments.nearest([0, 7, 10], GRID),
    "identity": Segments.stations([10, 0, 7], GRID, rest="identity"),
}
pytestmark = pytest.mark.parametrize("backend", ["native", "triton", "reference"], indirect=True)
VALUES = {"nan": float("nan"), "inf": float("inf"), "-inf": -float("inf")}


def sample(device, spoilt):
    """Make x, a mask and dy; x has other values, or `spoilt`, where the mask is False."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(6, 2, *GRID, generator=generator) * 2 + 3
    mask = torch.rand(6, 1, *GRID, generator=generator) > 0.3
    dy = torch.randn(x.shape, generator=generator)
    return x.masked_fill(~mask, spoilt).to(device), mask.to(device), dy.to(device)


def gradients(layer, x, mask, dy):
    leaf = x.clone().requires_grad_()
    y = layer(leaf, mask)
    return y.detach(), *torch.autograd.grad(y, (leaf, layer.weight, layer.bias), dy)


@pytest.mark.parametrize("activation", [None, "silu"])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize(
    "value", ["nan", "inf", pytest.param("-inf", marks=pytest.mark.slow_interpreted)]
)
@pytest.mark.parametrize("name", SEGMENTS)
def test_gradients(name, value, layout, training, activation, backend, device):
    """In the second run dy is 0 at excluded values, as if the loss did not depend on them."""
    layers = [
        LocalBN(2, SEGMENTS[name], activation=activation, backend=backend, device=device)
        for _ in range(2)
    ]
    x, mask, dy = sample(device, VALUES[value])
    got = gradients(layers[0].train(training), in_layout(x, layout), mask, dy)
    plain, *_ = sample(device, 1.0)
    wanted = gradients(
        layers[1].train(training), in_layout(plain, layout), mask, dy.masked_fill(~mask, 0.0)
    )
    counted = mask.expand_as(x)
    close = {"rtol": 1e-5, "atol": 1e-5}
    for mine, theirs in zip(got[:2], wanted[:2], strict=True):
        torch.testing.assert_close(mine[counted], theirs[counted], **close)
    for mine, theirs in zip(got[2:], wanted[2:], strict=True):
        torch.testing.assert_close(mine, theirs, **close)
    torch.testing.assert_close(layers[0].running_var, layers[1].running_var, **close)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("name", SEGMENTS)
def test_second_derivatives(name, layout, backend, device):
    results = []
    for spoilt in (float("nan"), 1.0):
        x, mask, _ = sample(device, spoilt)
        layer = LocalBN(2, SEGMENTS[name], backend=backend, device=device)
        leaf = in_layout(x, layout).requires_grad_()
        y = layer(leaf, mask)
        loss = torch.where(mask, y.sin(), 0.0).sum()
        (first,) = torch.autograd.grad(loss, leaf, create_graph=True)
        second = torch.where(mask, first, 0.0).square().sum()
        results.append(torch.autograd.grad(second, (layer.weight, leaf)))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-4, atol=1e-4)
    counted = mask.expand_as(x)
    torch.testing.assert_close(results[0][1][counted], results[1][1][counted], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("name", ["single", "nearest"])
def test_the_result_itself_is_normalized(name, layout, backend, device):
    """NaN stays NaN, and infinity stays infinity with the same sign."""
    for value in VALUES.values():
        x, mask, _ = sample(device, value)
        y = LocalBN(2, SEGMENTS[name], backend=backend, device=device)(in_layout(x, layout), mask)
        left_out = y[~mask.expand_as(y)]
        torch.testing.assert_close(left_out, torch.full_like(left_out, value), equal_nan=True)


MASKS = {
    "of a channels_last tensor": lambda x: torch.isfinite(in_layout(x, "channels_last"))[:, :1],
    "over cells": lambda x: torch.tensor([True, False, True, True, True, True])[
        :, None, None, None
    ],
    "a single True": lambda x: torch.ones(1, 1, 1, 1, dtype=torch.bool),
    "over rows of cells": lambda x: (torch.arange(4) != 2)[None, None, None],
    "every other": lambda x: (torch.arange(2 * x[:, :1].numel()) % 3 > 0)[::2].view(6, 1, *GRID),
    "transposed": lambda x: (torch.arange(12).view(4, 3) % 5 > 0).t(),
}


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", SEGMENTS)
def test_masks_with_any_strides(name, mask, layout, backend, device):
    x, _, dy = sample(device, float("nan"))
    mask = MASKS[mask](x.cpu()).to(device)
    x = x.where(mask.expand_as(x) & x.isfinite(), 1.0)
    results = []
    for given in (mask, mask.expand(6, 1, *GRID).contiguous()):
        layer = LocalBN(2, SEGMENTS[name], backend=backend, device=device)
        results.append((*gradients(layer, in_layout(x, layout), given, dy), layer.running_mean))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))
