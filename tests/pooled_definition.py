"""An independent reference of partial pooling: first and second moments, cell by cell."""

import torch

from tritonbn import LocalBN, Segments


def pooled(x, levels, tau, mask=None, eps=1e-5):
    """Normalize x (N, C, *extra, *grid) in float64 with the estimates of each cell.

    Parameters
    ----------
    x : Tensor
    levels : sequence of Segments
        From fine to coarse.
    tau : sequence of float or Tensor
        For all levels but the last.
    mask : Tensor of bool, shape (N, 1, *extra, *grid), optional

    Returns
    -------
    y : Tensor
    mean, var : Tensor, shape (C, cells)
        The estimates; NaN where there is none.
    """
    grid = levels[0].grid
    values = x.double().movedim(1, 0).flatten(-len(grid)).flatten(1, -2)  # (C, rows, cells)
    counted = torch.ones_like(values[0], dtype=torch.bool)
    if mask is not None:
        counted = mask.expand_as(x[:, :1]).flatten(-len(grid)).flatten(0, -2)
    ids = [level.ids.flatten() for level in levels]
    moments = []
    for cell in range(values.shape[-1]):
        first = second = None
        for level, strength in zip(reversed(ids), [None, *reversed([*tau])], strict=True):
            own = level == level[cell]
            members = values[:, :, own][:, counted[:, own]]  # (C, n)
            n = members.shape[1] if level[cell] >= 0 else 0
            if strength is None:  # the coarsest level
                if n == 0:
                    break
                share, first, second = 1.0, 0.0, 0.0
            elif n == 0:
                continue
            else:
                share = n / (n + strength)
            first = share * members.mean(1) + (1 - share) * first
            second = share * members.square().mean(1) + (1 - share) * second
        nothing = torch.full_like(values[:, 0, 0], torch.nan)
        moments.append((nothing, nothing) if first is None else (first, second))
    mean, second = (torch.stack(parts, 1) for parts in zip(*moments, strict=True))
    var = second - mean.square()
    center, spread = mean.nan_to_num(0.0)[:, None], var.nan_to_num(1.0)[:, None]
    y = (values - center) / torch.sqrt(spread + eps)
    y = torch.where(mean[:, None].isnan(), values, y)
    return y.view(x.movedim(1, 0).shape).movedim(0, 1), mean, var


GRID = (3, 4)
HALVES = Segments(torch.arange(12).view(GRID) // 6)
LEVELS = {
    "cells": [Segments.per_cell(GRID), Segments.single(GRID)],
    "nested": [Segments.per_cell(GRID), HALVES, Segments.single(GRID)],
    "stations": [Segments.stations([1, 6, 11], GRID, rest="identity"), Segments.single(GRID)],
    "overlapping": [Segments(torch.arange(12).view(GRID) % 4), HALVES, Segments.single(GRID)],
    "two halves": [Segments.nearest([0, 5, 11], GRID), HALVES],
    "one below two": [Segments.single(GRID), HALVES],
    "another order": [
        Segments(torch.arange(12).flip(0).view(GRID)),
        Segments.per_cell(GRID),
        HALVES,
    ],
    "stations between": [
        Segments.per_cell(GRID),
        Segments.stations([1, 6, 11], GRID, rest="identity"),
        Segments.single(GRID),
    ],
    "partly covered": [
        Segments([[0, 0, -1, -1], [1, 1, 1, -1], [-1, 2, 2, 2]]),
        Segments([[0, 0, 0, -1], [0, 0, 0, -1], [0, 0, 0, 0]]),
    ],
}
"""Levels of all kinds, by a name for the test."""

CHANNELS = 2
EXACT = {"rtol": 1e-10, "atol": 1e-10}


def make(levels, tau, **options):
    """Return a layer with random parameters, in float64."""
    layer = LocalBN(CHANNELS, levels, pooling=tau, dtype=torch.float64, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in layer.parameters():
            if parameter.dim() == 2:
                parameter += torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return layer


def sample(batch=3, extra=(), mean=2.0):
    generator = torch.Generator().manual_seed(0)
    shape = (batch, CHANNELS, *extra, *GRID)
    x = torch.randn(shape, generator=generator, dtype=torch.float64) + mean
    dy = torch.randn(shape, generator=generator, dtype=torch.float64)
    return x.requires_grad_(), dy


def expected_parameters(layer, levels):
    """Return weight and bias of each cell, (C, *grid): sums over the levels."""
    totals = []
    for coarsest, finer in (
        (layer.weight, layer.weight_deviations),
        (layer.bias, layer.bias_deviations),
    ):
        total = coarsest[:, levels[-1].ids.clamp(min=0)]
        for part, level in zip(finer, levels, strict=False):
            total = total + part[:, level.ids.clamp(min=0)] * (level.ids >= 0)
        totals.append(total)
    return totals


def hold_to_definition(layer, levels, tau, x, dy, mask=None, **tolerance):
    """Assert that output and gradients of a layer are those of the definition."""
    y = layer(x, mask)
    expected, mean, _ = pooled(x, levels, tau, mask)
    shape = (CHANNELS, *[1] * (x.dim() - 4), *GRID)
    weight, bias = (p.view(shape) for p in expected_parameters(layer, levels))
    normalized = ~mean.isnan().view(shape)
    expected = torch.where(normalized, expected * weight + bias, expected)
    variables = [x, *(p for p in layer.parameters() if p.requires_grad)]
    got = torch.autograd.grad(y, variables, dy)
    wanted = torch.autograd.grad(expected, variables, dy, allow_unused=True, materialize_grads=True)
    for mine, theirs in zip((y, *got), (expected, *wanted), strict=True):
        torch.testing.assert_close(mine, theirs, check_dtype=False, **EXACT | tolerance)
