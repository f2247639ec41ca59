"""`Segments`: the partition of a grid into sets of cells that share statistics."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack
from torch._subclasses.fake_tensor import FakeTensor, unset_fake_temporarily

from tritonbn.cells import INTEGERS, checked_cells, checked_grid
from tritonbn.clusters import cluster
from tritonbn.partition import Partition


@contextmanager
def plain_tensors() -> Iterator[None]:
    """Make ordinary CPU tensors, even inside a transform, a fake mode or inference mode."""
    with (
        temporarily_clear_interpreter_stack(),
        unset_fake_temporarily(),
        torch.inference_mode(False),
        torch.device("cpu"),
    ):
        yield


class Segments:
    """A partition of a grid into segments, which are sets of cells that share statistics.

    A cell has the number ``row * width + column``.

    Parameters
    ----------
    ids : integer Tensor or nested sequence of int, any shape
        The segment of each cell: a number from 0 to S-1, each of which must occur, or -1 for a cell
        in no segment. The shape of `ids` is the grid.

    Attributes
    ----------
    ids : Tensor of int64, shape `grid`, on the CPU
        Must not be changed in place.
    num_segments : int
        S.
    grid : tuple of int
        The shape of the grid, such as ``(height, width)``.
    cell_counts : Tensor of int64, shape (S,)
        Number of cells in each segment, at least 1.
    single_cells : tuple of int
        The segments that have one cell.

    Raises
    ------
    TypeError
        If `ids` are not integers.
    ValueError
        If `ids` are empty, below -1, all -1, skip a number, or have no values (a tensor on the
        device "meta").

    Examples
    --------
    >>> from tritonbn import Segments
    >>> segments = Segments([[0, 0, 1], [0, -1, 1]])
    >>> segments
    Segments(2 on 2x3, 1 cells in none)
    >>> segments.cell_counts
    tensor([3, 2])
    """

    ids: Tensor
    num_segments: int
    grid: tuple[int, ...]
    cell_counts: Tensor
    single_cells: tuple[int, ...]

    @plain_tensors()
    def __init__(self, ids: Tensor | Sequence[Any]) -> None:
        if isinstance(ids, FakeTensor) or (isinstance(ids, Tensor) and ids.is_meta):
            raise ValueError(f"ids must have values, got a {type(ids).__name__} on {ids.device}")
        ids = torch.asarray(ids, device="cpu", copy=True)  # of NumPy, it may be read-only
        if ids.dim() == 0 or ids.numel() == 0:
            raise ValueError(f"ids must have at least one cell, got shape {tuple(ids.shape)}")
        if ids.dtype not in INTEGERS:
            raise TypeError(f"ids must be integers, got {ids.dtype}")
        self.ids = ids.detach().to(torch.int64).contiguous()
        lowest, highest = int(self.ids.min()), int(self.ids.max())
        if lowest < -1 or highest < 0:
            raise ValueError(
                f"ids must be 0 .. S-1, or -1 for no segment, got {lowest} .. {highest}"
            )
        self.num_segments = highest + 1
        self.grid = tuple(self.ids.shape)
        self.cell_counts = torch.bincount(
            self.ids[self.ids >= 0].flatten(), minlength=self.num_segments
        )
        unused = (self.cell_counts == 0).nonzero().flatten().tolist()
        if unused:
            raise ValueError(
                f"ids must use every number from 0 to {highest}; no cell has {unused[:10]}"
            )
        self.single_cells = tuple((self.cell_counts == 1).nonzero().flatten().tolist())
        partition = Partition.of(self.ids.flatten())
        self._partitions: dict[torch.device, Partition] = {self.ids.device: partition}

    @classmethod
    @plain_tensors()
    def single(cls, grid: Sequence[int]) -> "Segments":
        """Make one segment of the whole grid, which is what `torch.nn.BatchNorm2d` computes.

        Parameters
        ----------
        grid : sequence of int
            The shape of the grid.

        Examples
        --------
        >>> from tritonbn import Segments
        >>> Segments.single((1, 3)).ids
        tensor([[0, 0, 0]])
        """
        return cls(torch.zeros(*checked_grid(grid), dtype=torch.int64))

    @classmethod
    @plain_tensors()
    def per_cell(cls, grid: Sequence[int]) -> "Segments":
        """Make one segment per cell, numbered like the cells.

        Parameters
        ----------
        grid : sequence of int
            The shape of the grid.

        Examples
        --------
        >>> from tritonbn import Segments
        >>> Segments.per_cell((2, 3)).ids
        tensor([[0, 1, 2],
                [3, 4, 5]])
        """
        grid = checked_grid(grid)
        return cls(torch.arange(prod(grid)).reshape(grid))

    @classmethod
    @plain_tensors()
    def nearest(cls, cells: Tensor | Sequence[int], grid: Sequence[int]) -> "Segments":
        """Assign each cell to its nearest station (a Voronoi partition).

        The distance is Euclidean, in cells. A cell with several nearest stations belongs to the
        first of them.

        Parameters
        ----------
        cells : sequence of int, length S
            The number of each station's cell; segment k belongs to station k.
        grid : sequence of int
            The shape of the grid, such as ``(height, width)``.

        Returns
        -------
        Segments

        Raises
        ------
        ValueError
            If a cell is outside the grid or given twice.

        Examples
        --------
        >>> from tritonbn import Segments
        >>> Segments.nearest([0, 11], grid=(3, 4)).ids
        tensor([[0, 0, 0, 1],
                [0, 0, 1, 1],
                [0, 1, 1, 1]])
        """
        grid = checked_grid(grid)
        stations = checked_cells(cells, grid)
        squared = torch.zeros_like(stations)
        for size, position in zip(grid, torch.unravel_index(stations, grid), strict=True):
            squared = squared[..., None, :] + (torch.arange(size)[:, None] - position).square()
        order = torch.arange(len(stations))
        return cls((squared * len(stations) + order).argmin(-1))  # squared: (*grid, S), integers

    @classmethod
    @plain_tensors()
    def stations(
        cls,
        cells: Tensor | Sequence[int],
        grid: Sequence[int],
        rest: Literal["pool", "identity"] = "pool",
    ) -> "Segments":
        """Make one segment of each station's cell.

        Parameters
        ----------
        cells : sequence of int
            The number of each station's cell; segment k belongs to station k.
        grid : sequence of int
            The shape of the grid, such as ``(height, width)``.
        rest : {"pool", "identity"}, default "pool"
            What happens to all other cells: "pool" makes one additional segment of them, "identity"
            puts them in no segment, so that they are returned unchanged.

        Returns
        -------
        Segments

        Raises
        ------
        ValueError
            If a cell is outside the grid or given twice, or `rest` is unknown.

        Examples
        --------
        >>> from tritonbn import Segments
        >>> Segments.stations([0, 5], grid=(2, 3), rest="identity").ids
        tensor([[ 0, -1, -1],
                [-1, -1,  1]])
        """
        if rest not in ("pool", "identity"):
            raise ValueError(f'rest must be "pool" or "identity", got {rest!r}')
        grid = checked_grid(grid)
        stations = checked_cells(cells, grid)
        ids = torch.full((prod(grid),), len(stations) if rest == "pool" else -1)
        ids[stations] = torch.arange(len(stations))
        return cls(ids.reshape(grid))

    @classmethod
    @plain_tensors()
    def from_labels(cls, labels: Any) -> "Segments":
        """Make one segment of each label, such as a district, a land use or a road class.

        Parameters
        ----------
        labels : array or nested sequence of str or int, shape of the grid
            The label of each cell. None, NaN and ``""`` put a cell in no segment.

        Returns
        -------
        Segments
            In the sorted order of the labels.

        Raises
        ------
        ValueError
            If no cell has a label, or labels are neither all str nor all int.

        Examples
        --------
        >>> from tritonbn import Segments
        >>> Segments.from_labels([["water", "centre"], [None, "water"]]).ids
        tensor([[ 1,  0],
                [-1,  1]])
        """
        given = np.asarray(labels, dtype=object)
        present = [_is_label(label) for label in given.flat]
        chosen = {label for label, there in zip(given.flat, present, strict=True) if there}
        if len({isinstance(label, str) for label in chosen}) > 1:
            raise ValueError(f"labels must be all str or all int, got {[*chosen][:5]}")
        names = sorted(chosen)
        if not names:
            raise ValueError(f"labels must have at least one label, got shape {given.shape}")
        number = {name: k for k, name in enumerate(names)}
        ids = [
            number[label] if there else -1 for label, there in zip(given.flat, present, strict=True)
        ]
        return cls(torch.tensor(ids).reshape(given.shape))

    @classmethod
    @plain_tensors()
    def clusters(
        cls, features: Any, k: int, cells: Tensor | Sequence[int], grid: Sequence[int]
    ) -> "Segments":
        """Make segments of stations that are alike, and assign each cell to its nearest station.

        The stations are divided by k-means on their features, each of which is scaled to mean 0 and
        standard deviation 1. This needs scikit-learn: ``pip install 'tritonbn[clusters]'``.

        Parameters
        ----------
        features : array of float, shape (stations, F)
            Attributes of the stations, such as the traffic and the distance to the road; or the
            correlation of each station's readings with those of all stations. To judge a model
            fairly, use readings of the training part only.
        k : int
            The number of clusters.
        cells : sequence of int
            The number of each station's cell.
        grid : sequence of int
            The shape of the grid, such as ``(height, width)``.

        Returns
        -------
        Segments
            In the order in which the clusters occur among the stations.

        Raises
        ------
        ImportError
            If scikit-learn is not installed.
        ValueError
            If `features` are not finite numbers of each station, or there are fewer stations than
            clusters.

        Examples
        --------
        >>> from tritonbn import Segments
        >>> traffic = [[9000.0], [150.0], [8500.0]]  # vehicles a day at three stations
        >>> Segments.clusters(traffic, 2, cells=[0, 2, 5], grid=(1, 6)).ids
        tensor([[0, 0, 1, 1, 0, 0]])
        """
        labels = cluster(features, k, len(cells))
        nearest = cls.nearest(cells, grid)
        return cls(labels[nearest.ids])

    def on(self, device: torch.device) -> Partition:
        """Return the partition on `device`; the copy is kept, unless a model is being traced."""
        if device in self._partitions:
            return self._partitions[device]
        partition = self._partitions[self.ids.device]
        if torch.compiler.is_compiling():
            return partition.to(device)
        with plain_tensors():
            self._partitions[device] = partition.to(device)
        return self._partitions[device]

    @plain_tensors()
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Segments) and torch.equal(self.ids, other.ids)

    def __hash__(self) -> int:
        return hash((self.grid, tuple(self.cell_counts.tolist())))

    def __deepcopy__(self, memo: dict[int, Any]) -> "Segments":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Segments, (self.ids,)

    def __repr__(self) -> str:
        outside = self.ids.numel() - int(self.cell_counts.sum())
        rest = f", {outside} cells in none" if outside else ""
        return f"Segments({self.num_segments} on {'x'.join(map(str, self.grid))}{rest})"


def _is_label(label: object) -> bool:
    """Return whether a cell has a label, or raise `ValueError` if it is no label."""
    if isinstance(label, str | int | np.integer):
        return label != ""
    if label is None or (isinstance(label, float | np.floating) and math.isnan(label)):
        return False
    if type(label).__name__ in ("NAType", "NaTType"):  # of pandas, which is not imported here
        return False
    raise ValueError(f"labels must be str, int or None, got {label!r}")
