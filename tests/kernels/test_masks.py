"""How the kernels read a mask."""

import pytest
import torch
from kernels.comparison import GRID, SEGMENTS

from tritonbn.kernels.problem import Mask, Problem


@pytest.mark.parametrize(
    "mask",
    [
        torch.ones(1, 1, 1, 1, dtype=torch.bool),
        torch.ones(5, 1, 1, 1, dtype=torch.bool),
        torch.ones(5, *GRID, 2, dtype=torch.bool).movedim(-1, 1)[:, :1],
        torch.ones(*GRID[::-1], dtype=torch.bool).t(),
    ],
    ids=["one", "over cells", "channels_last", "transposed"],
)
def test_the_cells_of_every_mask_are_neighbours(mask):
    """The kernels read four at once, which the interpreter does not show."""
    x = torch.empty(5, 2, *GRID)
    problem = Problem.of(x, SEGMENTS["nearest"].on(x.device))
    got = Mask.of(mask, x, problem)
    assert got.tensor.shape == (5, 1, 12)
    assert got.tensor.stride(2) == 1
    assert got.tensor.untyped_storage().nbytes() >= 12
