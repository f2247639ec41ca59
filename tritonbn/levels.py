"""`Levels`: segments of several sizes over one grid, from fine to coarse."""

from collections.abc import Sequence

import torch
from torch import Tensor

from tritonbn.segments import Segments, plain_tensors


class Levels:
    """Segments of several sizes over one grid, from fine to coarse.

    Parameters
    ----------
    levels : sequence of Segments
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
    sizes : list of int
        The number of segments of each level.

    Raises
    ------
    TypeError, ValueError
        If `levels` are not as described.
    """

    @plain_tensors()
    def __init__(self, levels: Sequence[Segments]) -> None:
        if len(levels) < 2 or not all(isinstance(level, Segments) for level in levels):
            raise TypeError(
                f"levels must be two or more tritonbn.Segments, from fine to coarse, got {levels}"
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
        self.index = found
        self.sizes = [level.num_segments for level in levels]

    def total(self, parts: Sequence[Tensor], index: Tensor) -> Tensor:
        """Return the sum over levels for each smallest segment.

        Parameters
        ----------
        parts : sequence of Tensor, shape (C, segments of the level)
            From fine to coarse.
        index : Tensor
            That of the levels, on the device of the parts.

        Returns
        -------
        Tensor, shape (C, S)
        """
        total = parts[-1].index_select(1, index[-1])
        for part, level in zip(parts[:-1], index[:-1], strict=True):
            chosen = part.index_select(1, level.clamp(min=0))
            total = total + chosen.masked_fill(level < 0, 0.0)
        return total
