"""Batches that are divided among ranks, and the same computation on ranks and on one process."""

from itertools import pairwise
from typing import NamedTuple

import torch
from works_with.layers import CHANNELS, GRID, SEGMENTS

from tritonbn import LocalBN, Segments

SEGMENTS = SEGMENTS | {
    "pool": Segments.stations([4, 0], GRID),
    "identity": Segments.stations([4, 0], GRID, rest="identity"),
}
LEVELS = [SEGMENTS["per_cell"], SEGMENTS["nearest"], SEGMENTS["single"]]
SIZES = {
    2: {"equal": (4, 4), "unequal": (5, 2), "empty": (0, 6)},
    4: {"equal": (2, 2, 2, 2), "unequal": (1, 4, 2, 3), "empty": (3, 0, 0, 4)},
}


class Case(NamedTuple):
    """One call of the layer by all ranks; its name identifies the test."""

    segments: str
    mask: str
    sizes: str
    backend: str


CASES = [
    *(
        Case(segments, mask, sizes, backend)
        for backend in ("native", "reference")
        for segments in SEGMENTS
        for mask in ("none", "random", "one rank", "no value")
        for sizes in ("equal", "unequal", "empty")
    ),
    *(
        Case(segments, mask, sizes, "triton")
        for segments, mask, sizes in (
            ("single", "none", "equal"),
            ("per_cell", "none", "unequal"),
            ("nearest", "random", "empty"),
            ("identity", "one rank", "unequal"),
            ("pool", "no value", "equal"),
        )
    ),
    *(
        Case("levels", mask, sizes, backend)
        for backend in ("native", "reference", "triton")
        for mask, sizes in (("none", "unequal"), ("one rank", "equal"), ("no value", "empty"))
    ),
]


def finest(case):
    """Return the ids of the smallest segments."""
    return SEGMENTS["per_cell" if case.segments == "levels" else case.segments].ids


def batch_of(case, world, dtype):
    """Return x, the gradient of y and the mask of the whole batch, and the slices of the ranks."""
    sizes = SIZES[world][case.sizes]
    generator = torch.Generator().manual_seed(0)
    shape = (sum(sizes), CHANNELS, *GRID)
    x = torch.randn(shape, generator=generator, dtype=torch.float64) * 2 + 3
    dy = torch.randn(shape, generator=generator, dtype=torch.float64)
    starts = torch.tensor((0, *sizes)).cumsum(0).tolist()
    slices = [slice(a, b) for a, b in pairwise(starts)]
    mask = None
    if case.mask != "none":
        mask = torch.rand(len(x), 1, *GRID, generator=generator) < 0.7
        mask[0], mask[-1] = True, True  # no segment has a single value
    if case.mask == "one rank":  # only the last rank has values of the first cell's segment
        first = (finest(case) == finest(case)[0, 0]).expand_as(mask)
        mask[first] = False
        mask[slices[-1]] |= first[slices[-1]]
    if case.mask == "no value":
        mask[:, :, finest(case) == 0] = False
    return x.to(dtype), dy.to(dtype), mask, slices


def layer_of(case, dtype, **options):
    segments = SEGMENTS.get(case.segments, LEVELS)
    if case.segments == "levels":
        options |= {"pooling": 3.0, "learn_pooling": True}
    layer = LocalBN(CHANNELS, segments, backend=case.backend, dtype=dtype, **options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for tensor in (layer.weight, layer.bias, layer.running_mean, layer.running_var):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return layer


def step(layer, x, dy, mask):
    """Return the output of the layer, the gradients and the running statistics."""
    leaf = x.clone().requires_grad_()
    y = layer(leaf, mask)
    (y * dy).sum().backward()
    return {
        "output": y.detach(),
        "input": leaf.grad,
        "weight": layer.weight.grad,
        "bias": layer.bias.grad,
        "running_mean": layer.running_mean,
        "running_var": layer.running_var,
        **({"log_tau": layer.log_tau.grad} if layer.levels is not None else {}),
    }


def whole(case, world, dtype):
    """Return the results of one process on the whole batch, with the definition in float64."""
    x, dy, mask, _ = batch_of(case, world, dtype)
    layer = layer_of(case._replace(backend="reference"), dtype).double()
    return step(layer, x.double(), dy.double(), mask)


def run_cases(cases, dtype):
    """Return the results of this rank for each of the cases."""
    group = torch.distributed.group.WORLD
    results = {}
    for case in cases:
        x, dy, mask, slices = batch_of(case, group.size(), dtype)
        own = slices[group.rank()]
        layer = layer_of(case, dtype, process_group=group)
        own_mask = None if mask is None else mask[own]
        results[case] = step(layer, x[own], dy[own], own_mask)
    return results
