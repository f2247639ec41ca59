"""The inputs that are measured, and their segments."""

from math import prod
from typing import NamedTuple

import torch

from tritonbn.segments import Segments

FLOAT32, BFLOAT16 = torch.float32, torch.bfloat16
CONTIGUOUS, CHANNELS_LAST = torch.contiguous_format, torch.channels_last
Shape = tuple[int, int, int, int]


class Input(NamedTuple):
    """A kind of input."""

    shape: Shape
    dtype: torch.dtype
    memory_format: torch.memory_format

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width."""
        return self.shape[2:]

    @property
    def bytes(self) -> int:
        """Memory of a tensor."""
        return prod(self.shape) * self.dtype.itemsize

    def describe(self) -> dict[str, object]:
        """Return the entries of a record."""
        return {
            "shape": list(self.shape),
            "dtype": name_of(self.dtype),
            "memory_format": name_of(self.memory_format),
        }


SEGMENTS = ("single", "32 nearest", "per cell")
MAIN = Input((128, 64, 32, 32), FLOAT32, CONTIGUOUS)
"""The published size; here layers that are slow to run or to compile are measured, too."""

INPUTS = {
    "cpu": [
        MAIN,
        Input((128, 64, 32, 32), FLOAT32, CHANNELS_LAST),
        Input((128, 64, 32, 32), BFLOAT16, CONTIGUOUS),
        Input((32, 64, 32, 32), FLOAT32, CONTIGUOUS),
        Input((8, 16, 16, 16), FLOAT32, CONTIGUOUS),
    ],
    "cuda": [
        MAIN,
        Input((128, 64, 32, 32), FLOAT32, CHANNELS_LAST),
        Input((128, 64, 32, 32), BFLOAT16, CONTIGUOUS),
        Input((128, 64, 32, 32), BFLOAT16, CHANNELS_LAST),
        Input((8, 16, 16, 16), FLOAT32, CONTIGUOUS),
        Input((1024, 16, 64, 64), FLOAT32, CONTIGUOUS),
        Input((1024, 16, 64, 64), BFLOAT16, CONTIGUOUS),
        Input((32, 256, 256, 256), FLOAT32, CONTIGUOUS),
        Input((32, 256, 256, 256), FLOAT32, CHANNELS_LAST),
    ],
}
"""The inputs by the type of the device."""


def name_of(value: object) -> str:
    """Return the short name of a dtype or a memory format."""
    return str(value).removeprefix("torch.").removesuffix("_format")


def segments_of(name: str, grid: tuple[int, int]) -> Segments:
    """Make segments.

    Parameters
    ----------
    name : str
        "single", "per cell", "K nearest" (each cell belongs to the nearest of K stations) or
        "K runs" (of consecutive cells).
    grid : (int, int)

    Returns
    -------
    Segments
    """
    if name == "single":
        return Segments.single(grid)
    if name == "per cell":
        return Segments.per_cell(grid)
    cells = prod(grid)
    number, kind = name.split()
    count = int(number)
    if kind == "nearest":
        step = cells // count
        return Segments.nearest(range(step // 2, cells, step), grid)
    return Segments((torch.arange(cells) * count // cells).view(grid))
