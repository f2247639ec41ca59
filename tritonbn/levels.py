"""`Levels`: segments of several sizes over one grid, from fine to coarse."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from tritonbn.blocks import divide, levels_of
from tritonbn.segments import Segments, plain_tensors


class Levels:
    """Segments of several sizes over one grid, from fine to coarse.

    Parameters
    ----------
    given : sequence of Segments, or integer Tensors of ids
        At least two, of the same grid. They may be nested, or overlap. The last one must include
        every cell that another one includes.

    Attributes
    ----------
    levels : tuple of Segments
    smallest : Segments
        The S smallest segments: cells that are in the same segment at every level. They are the
        segments of the first level, in its order, if these are nested in all others.
    index : Tensor of int64, shape (L, S)
        The segment of each level in which a smallest segment lies, or -1 for none.
    table, sizes : Tensor of int64, list of int
        The levels in the form of `tritonbn.blocks.divide`.

    Raises
    ------
    TypeError, ValueError
        If the levels are not as described.
    """

    @plain_tensors()
    def __init__(self, given: Sequence[Segments | Tensor]) -> None:
        levels = [Segments(level) if isinstance(level, Tensor) else level for level in given]
        if len(levels) < 2 or not all(isinstance(level, Segments) for level in levels):
            raise TypeError(
                "segments with several levels must be two or more tritonbn.Segments, from fine to "
                f"coarse, got {given}"
            )
        grids = {level.grid for level in levels}
        if len(grids) > 1:
            raise ValueError(f"all levels must have the same grid, got {sorted(grids)}")
        self.levels = tuple(levels)
        ids = torch.stack([level.ids.flatten() for level in levels])
        inside = (ids >= 0).any(0)
        if (uncovered := inside & (ids[-1] < 0)).any():
            raise ValueError(
                "the last level must include every cell that another level includes, but not cell "
                f"{int(uncovered.nonzero()[0])}"
            )
        found, place = torch.unique(ids[:, inside], dim=1, return_inverse=True)
        nested = found.shape[1] == levels[0].num_segments and bool((found[0] >= 0).all())
        if nested:  # found is sorted by the ids of the first level
            self.smallest = levels[0]
        else:
            smallest = torch.full_like(ids[0], -1)
            smallest[inside] = place
            self.smallest = Segments(smallest.view(levels[0].grid))
        self.index: Tensor = found
        self.table, self.sizes = divide(found)
        self._copies: dict[torch.device, Tensor] = {found.device: self.table}

    def table_on(self, device: torch.device) -> Tensor:
        """Return the table on `device`; the copy is kept, unless a model is being traced."""
        if device not in self._copies:
            if torch.compiler.is_compiling():
                return self.table.to(device)
            with plain_tensors():
                self._copies[device] = self.table.to(device)
        return self._copies[device]

    def total(self, parts: Sequence[Tensor]) -> Tensor:
        """Return the sum over levels for each smallest segment.

        Parameters
        ----------
        parts : sequence of Tensor, shape (C, segments of the level)
            From fine to coarse.

        Returns
        -------
        Tensor, shape (C, S)
        """
        *finer, total = parts
        levels = levels_of(table_like(self, total), self.sizes)
        for level, part in zip(reversed(levels), reversed(finer), strict=True):
            total = level.copy(part) + level.above.copy(total)
        return total

    def __deepcopy__(self, memo: dict[int, Any]) -> "Levels":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Levels, (self.levels,)


def segments_and_levels(given: Any) -> tuple[Segments, Levels | None]:
    """Return the segments that the argument of `tritonbn.LocalBN` means, and their levels."""
    if isinstance(given, Segments):
        return given, None
    parts = given if isinstance(given, Sequence) else ()
    if any(isinstance(part, Segments | Tensor) for part in parts):
        levels = Levels(parts)
        return levels.smallest, levels
    if isinstance(given, Tensor | np.ndarray) or any(isinstance(p, list | tuple) for p in parts):
        return Segments(given), None
    return Segments.per_cell(given), None


def table_like(levels: Levels, tensor: Tensor) -> Tensor:
    """Return the table on the device of a tensor, as a fake tensor if that is one."""
    if isinstance(tensor, FakeTensor) and not tensor.fake_mode.allow_non_fake_inputs:
        fake: Tensor = tensor.fake_mode.from_tensor(levels.table).to(tensor.device)
        return fake
    return levels.table_on(tensor.device)
