import copy
import pickle

import numpy as np
import pandas as pd
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
        (lambda: Segments([]), ValueError, r"at least one cell, got shape \(0,\)"),
        (lambda: Segments(torch.zeros(0, 2).int()), ValueError, "at least one cell"),
        (lambda: Segments(torch.tensor(0)), ValueError, "at least one cell"),
        (lambda: Segments([[-2, 0]]), ValueError, "got -2 .. 0"),
        (lambda: Segments([[-1, -1]]), ValueError, "got -1 .. -1"),
        (lambda: Segments([[0, 3, 1]]), ValueError, r"no cell has \[2\]"),
        (lambda: Segments.single((3, 0)), ValueError, r"grid must be integers .* got \(3, 0\)"),
        (lambda: Segments.per_cell((2.7, 3)), ValueError, r"grid must be .* got \(2\.7, 3\)"),
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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64, np.int16])
def test_arrays_of_any_integers_are_taken(dtype):
    assert Segments(np.array([[0, 1], [1, 0]], dtype)) == Segments([[0, 1], [1, 0]])


def test_read_only_arrays_of_numpy_are_taken_without_a_warning(recwarn):
    cells = np.array([0, 5])
    cells.flags.writeable = False
    assert Segments.nearest(cells, (2, 3)) == Segments.nearest([0, 5], (2, 3))
    assert Segments(cells[::5]) == Segments([0])
    assert not recwarn.list


@pytest.mark.parametrize("missing", [None, "", np.nan, np.float32("nan"), pd.NA])
def test_labels_become_segments_in_their_sorted_order(missing):
    labels = [["park", "road", missing], ["road", "canal", "park"]]
    for given in (labels, np.array(labels, dtype=object)):
        assert Segments.from_labels(given).ids.tolist() == [[1, 2, -1], [2, 0, 1]]


def test_labels_may_be_numbers():
    assert Segments.from_labels(np.array([[30, 10], [10, 20]])).ids.tolist() == [[2, 0], [0, 1]]


def test_labels_are_needed():
    with pytest.raises(ValueError, match=r"at least one label, got shape \(1, 2\)"):
        Segments.from_labels([[None, ""]])


@pytest.mark.parametrize("labels", [["a", 1], [1.5, 2.5], [["a"], ["b", "c"]]])
def test_other_labels_are_refused(labels):
    with pytest.raises(ValueError, match="labels must be"):
        Segments.from_labels(np.array(labels, dtype=object))


def test_clusters_are_stations_that_are_alike():
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.repeat([0, 1, 2], 5))
    centres = np.array([[0.0, 500.0], [3.0, 500.0], [0.0, 9000.0]])
    features = centres[kinds] + rng.normal(0, [0.1, 100.0], (15, 2))
    cells, grid = rng.choice(99, 15, replace=False).tolist(), (9, 11)
    segments = Segments.clusters(features, 3, cells, grid)
    assert segments.num_segments == 3
    found = segments.ids.flatten()[cells].numpy()
    for one in range(15):
        for other in range(15):
            assert (found[one] == found[other]) == (kinds[one] == kinds[other])
    nearest = Segments.nearest(cells, grid).ids
    assert torch.equal(segments.ids, torch.tensor(found)[nearest])
    assert segments == Segments.clusters(features, 3, cells, grid)


def test_clusters_of_correlated_readings():
    rng = np.random.default_rng(1)
    common = rng.normal(size=(2, 300))
    readings = common[[0, 1, 0, 1, 1]] + 0.3 * rng.normal(size=(5, 300))
    segments = Segments.clusters(np.corrcoef(readings), np.int64(2), [0, 1, 2, 3, 4], (1, 5))
    assert segments.ids.tolist() == [[0, 1, 0, 1, 1]]


@pytest.mark.parametrize(
    ("features", "k", "message"),
    [
        ([[1.0], [2.0]], 2, r"must have shape \(3, F\), .* got \(2, 1\)"),
        ([1.0, 2.0, 3.0], 2, r"must have shape \(3, F\), .* got \(3,\)"),
        ([[1.0], [np.nan], [2.0]], 2, "must be finite, got 1 numbers that are not"),
        ([["a"], ["b"], ["c"]], 2, "must be numbers of shape"),
        ([[], [], []], 2, r"must have shape \(3, F\), .* got \(3, 0\)"),
        ([[1.0], [1.0], [3.0]], 3, "from 1 to 2, the number of stations with different features"),
        ([[1.0], [2.0], [3.0]], 2.0, "must be an integer"),
        (
            [[1.0], [2.0], [3.0]],
            4,
            r"from 1 to 3, .* different features, got 4",
        ),
        (
            [[1.0], [2.0], [3.0]],
            0,
            r"from 1 to 3, .* different features, got 0",
        ),
    ],
)
def test_bad_features_give_one_clear_error(features, k, message):
    with pytest.raises(ValueError, match=message):
        Segments.clusters(features, k, [0, 1, 2], (1, 3))


def test_without_scikit_learn_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr("tritonbn.clusters.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'tritonbn\[clusters\]'"):
        Segments.clusters([[1.0], [2.0]], 2, [0, 1], (1, 2))
