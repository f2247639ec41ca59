"""The cases that are measured on a GPU, and the layers that are compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from math import prod
from unittest.mock import patch

import torch
from gpu_timing import CALLS
from torch import Tensor, nn

from tritonbn import LocalBN, Segments
from tritonbn.kernels import launch
from tritonbn.kernels.configs import fits_one_pass
from tritonbn.kernels.problem import Problem

FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16
CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last
Shape = tuple[int, int, int, int]
Case = tuple[Shape, torch.dtype, torch.memory_format, str]
SHAPES: dict[Shape, tuple[tuple[torch.dtype, ...], tuple[torch.memory_format, ...]]] = {
    (128, 64, 32, 32): ((FLOAT32, BFLOAT16), (CONTIGUOUS, CHANNELS_LAST)),
    (8, 16, 16, 16): ((FLOAT32,), (CONTIGUOUS,)),
    (1024, 16, 64, 64): ((FLOAT32, BFLOAT16), (CONTIGUOUS,)),
    (32, 256, 256, 256): ((FLOAT32,), (CONTIGUOUS, CHANNELS_LAST)),
}
SEGMENTS = ("single", "32 nearest", "per cell")
SLOW_LAYERS_AT = ((128, 64, 32, 32), FLOAT32, CONTIGUOUS)
THREE_STAGES = "LocalBN, three stages"
_CACHE_BYTES = 200 << 20


def cases() -> Iterator[Case]:
    """List shape, dtype, memory format and segments of all cases."""
    for shape, (dtypes, formats) in SHAPES.items():
        yield from product([shape], dtypes, formats, SEGMENTS)


def segments_of(name: str, grid: tuple[int, int]) -> Segments:
    """Make the segments of a case."""
    if name == "single":
        return Segments.single(grid)
    if name == "per cell":
        return Segments.per_cell(grid)
    cells = prod(grid)
    return Segments.nearest(range(cells // 64, cells, cells // 32), grid)


def problem_of(case: Case) -> Problem:
    """Return the problem that the kernels solve in a case."""
    (batch, channels, *grid), dtype, memory_format, name = case
    cells = prod(grid)
    segments = segments_of(name, (grid[0], grid[1]))
    largest = int(segments.cell_counts.max())
    counts = (cells, segments.num_segments, largest, 0)
    return Problem(batch, 1, channels, *counts, dtype, memory_format == CHANNELS_LAST)


def name_of(value: object) -> str:
    """Return the short name of a dtype or a memory format."""
    return str(value).removeprefix("torch.").removesuffix("_format")


@contextmanager
def three_stages() -> Iterator[None]:
    """Use three stages even if one pass is possible."""
    with patch.object(launch, "fits_one_pass", return_value=False):
        yield


class Layers:
    """The layers that are compared in a case, and their inputs."""

    def __init__(self, case: Case) -> None:
        (batch, channels, *grid), dtype, memory_format, name = case
        self.case = case
        self.shape = (batch, channels, *grid)
        self.segments = segments_of(name, (grid[0], grid[1]))
        bytes_of_x = prod(self.shape) * dtype.itemsize
        self.calls = max(1, min(CALLS, -(-_CACHE_BYTES // bytes_of_x)))
        make = partial(torch.randn, self.shape, device="cuda")
        self.xs, self.dys = (
            [make().to(dtype).contiguous(memory_format=memory_format) for _ in range(self.calls)]
            for _ in range(2)
        )
        for x in self.xs:
            x.requires_grad_()

    def layers(self) -> dict[str, nn.Module]:
        """Return the layers by name; their parameters are in float32, as under autocast.

        Layers that are slow to compile or to run are included for one size only.
        """
        shape, dtype, memory_format, name = self.case
        channels, grid = self.shape[1], self.segments.grid
        local = partial(LocalBN, channels, self.segments, device="cuda")
        layers: dict[str, nn.Module] = {"LocalBN": local()}
        if fits_one_pass("one_pass_forward", problem_of(self.case)):
            layers[THREE_STAGES] = local()
        if name == "single":
            layers["nn.BatchNorm2d"] = nn.BatchNorm2d(channels, device="cuda")
        if name == "per cell" and memory_format == CONTIGUOUS:
            layers["nn.BatchNorm1d on the view"] = Flat(channels * prod(grid))
        if (shape, dtype, memory_format) == SLOW_LAYERS_AT and name != "single":
            layers["LocalBN, native"] = local(backend="native")
            layers["the definition, compiled"] = compiled_layer(local(backend="reference"))
            layers["nn.BatchNorm2d, compiled"] = compiled_layer(
                nn.BatchNorm2d(channels, device="cuda")
            )
        return layers

    def forward(self, layer: nn.Module, number: int) -> Tensor:
        """Normalize a buffer."""
        y: Tensor = layer(self.xs[number])
        return y

    def step(self, layer: nn.Module, number: int) -> tuple[Tensor, ...]:
        """Normalize a buffer, and compute all gradients."""
        y = layer(self.xs[number])
        return y, *torch.autograd.grad(y, (self.xs[number], *layer.parameters()), self.dys[number])


def compiled_layer(layer: nn.Module) -> nn.Module:
    """Compile a layer for fixed sizes."""
    layer.compile(dynamic=False)
    return layer


class Flat(nn.Module):
    """One feature per channel and cell: local normalization with PyTorch's own layers."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.layer = nn.BatchNorm1d(columns, device="cuda")

    def forward(self, x: Tensor) -> Tensor:
        """Normalize x (N, C, H, W) as (N, C * H * W)."""
        return self.layer(x.flatten(1)).view(x.shape)  # type: ignore[no-any-return]
