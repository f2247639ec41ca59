import copy
import pickle

import numpy as np
import pytest
import torch

from tritonbn import Segments


def test_counts_and_grid():
    segments = Segments([[2, 0, -1], [0, 1, 0]])
    assert segments.num_segments == 3
    assert segments.grid == (2, 3)
    assert segments.cell_counts.tolist() == [3, 1, 1]


def test_single_and_per_cell():
    assert Segments.single((2, 3)).ids.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert Segments.per_cell((2, 3)).ids.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_nearest_is_a_voronoi_partition():
    grid, cells = (7, 9), [3, 40, 62, 12]
    ids = Segments.nearest(cells, grid).ids
    places = [divmod(cell, grid[1]) for cell in cells]
    for row in range(grid[0]):
        for column in range(grid[1]):
            squared = [(row - r) ** 2 + (column - c) ** 2 for r, c in places]
            assert ids[row, column] == squared.index(min(squared))  # ties to the first


def test_nearest_is_exact_where_float32_distances_would_tie():
    ids = Segments.nearest([0, 4999], (1, 5000)).ids[0]
    assert ids.tolist() == [0] * 2500 + [1] * 2500


def test_stations_pool_and_identity():
    assert Segments.stations([5, 0], (2, 3)).ids.tolist() == [[1, 2, 2], [2, 2, 0]]
    identity = Segments.stations([5, 0], (2, 3), rest="identity")
    assert identity.ids.tolist() == [[1, -1, -1], [-1, -1, 0]]
    assert repr(identity) == "Segments(2 on 2x3, 4 cells in none)"


def test_stations_on_every_cell_leave_nothing_to_pool():
    assert Segments.stations([1, 0], (1, 2)).num_segments == 2


def test_ids_are_a_copy():
    ids = torch.zeros(2, 2, dtype=torch.int32)
    segments = Segments(ids)
    ids.fill_(7)
    assert segments == Segments.single((2, 2))
    assert segments.ids.dtype == torch.int64


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))])
def test_copies_are_equal(clone):
    segments = Segments([[1, 0], [-1, 1]])
    assert clone(segments) == segments
    assert hash(clone(segments)) == hash(segments)
    assert segments != Segments.single((2, 2))
    assert segments != "segments"


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Segments(torch.zeros(2, 2)), TypeError, "ids must be integers, got torch.float32"),
        (lambda: Segments([]), TypeError, "ids must be integers"),
        (lambda: Segments(torch.zeros(0, 2).int()), ValueError, "at least one cell"),
        (lambda: Segments(torch.tensor(0)), ValueError, "at least one cell"),
        (lambda: Segments([[-2, 0]]), ValueError, "got -2 .. 0"),
        (lambda: Segments([[-1, -1]]), ValueError, "got -1 .. -1"),
        (lambda: Segments([[0, 3, 1]]), ValueError, r"no cell has \[2\]"),
        (lambda: Segments.single((3, 0)), ValueError, "grid must be sizes"),
        (
            lambda: Segments.nearest([1, 9], (3, 3)),
            ValueError,
            r"cells must be 0 .. 8 .* got \[9\]",
        ),
        (lambda: Segments.nearest([1, 1], (3, 3)), ValueError, "differ"),
        (lambda: Segments.nearest([], (3, 3)), ValueError, "at least one integer"),
        (lambda: Segments.stations([1], (3, 3), rest="drop"), ValueError, "rest must be"),
    ],
)
def test_bad_input_says_what_is_wrong(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_read_only_arrays_of_numpy_are_taken_without_a_warning(recwarn):
    cells = np.array([0, 5])
    cells.flags.writeable = False
    assert Segments.nearest(cells, (2, 3)) == Segments.nearest([0, 5], (2, 3))
    assert Segments(cells[::5]) == Segments([0])
    assert not recwarn.list
