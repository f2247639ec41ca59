import numpy as np
import pytest
import torch

from tritonbn.models import CNN, ConvLSTM
from tritonbn.models.symmetry import symmetries, turn, turn_back

GRIDS = [(6, 6), (4, 6)]


@pytest.mark.parametrize("grid", GRIDS)
def test_the_symmetries_of_a_grid_are_all_its_rotations_and_reflections(grid):
    x = torch.arange(grid[0] * grid[1]).view(grid)
    quarters = range(4) if grid[0] == grid[1] else (0, 2)
    expected = [turned for k in quarters for r in [x.rot90(k)] for turned in (r, r.flip(0))]
    found = [turn(x, way) for way in symmetries(*grid)]
    assert {str(y.tolist()) for y in found} == {str(y.tolist()) for y in expected}
    assert len(found) == len(expected)


@pytest.mark.parametrize("grid", GRIDS)
def test_turn_back_undoes_turn(grid):
    x = torch.rand(2, 3, *grid)
    for way in symmetries(*grid):
        assert torch.equal(turn_back(turn(x, way), way), x)


def model_of(backbone, **options):
    options = {"head": "convolution", **options}
    torch.manual_seed(0)
    model = CNN(2, 4, in_channels=2, **options) if backbone == "cnn" else ConvLSTM(2, 4, **options)
    torch.nn.init.normal_(model.head.convolution.weight)
    return model


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("backbone", ["cnn", "convlstm"])
def test_a_symmetric_network_turns_with_the_grid(backbone, grid):
    x = torch.rand(3, 2, 2, *grid)
    for symmetric in (True, False):
        model = model_of(backbone, symmetric=symmetric).eval()
        turns = [
            torch.allclose(model(turn(x, way)), turn(model(x), way), atol=1e-5)
            for way in symmetries(*grid)[1:]
        ]
        assert all(turns) if symmetric else not any(turns)


@pytest.mark.parametrize("samples", [3, 8, 20])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("backbone", ["cnn", "convlstm"])
def test_in_training_each_part_of_a_batch_is_turned_another_way(backbone, grid, samples):
    x = torch.rand(samples, 2, 2, *grid)
    field = model_of(backbone, symmetric=True).train()(x)
    plain = model_of(backbone).eval()
    ways = symmetries(*grid)
    parts = np.array_split(np.arange(samples), len(ways))
    for way, rows in zip(ways, parts, strict=True):
        for row in rows:
            expected = turn_back(plain(turn(x[row][None], way)), way)
            torch.testing.assert_close(field[row][None], expected)
    assert all(len(rows) > 0 for rows in parts) or samples < len(ways)


def test_statistics_are_of_a_cell_whichever_way_the_grid_is_turned():
    model = model_of("cnn", symmetric=True, norm="local", segments=(6, 6)).train()
    model(torch.rand(16, 2, 2, 6, 6))
    assert model.norm.num_batches_tracked == 1
    assert model.norm.running_mean.shape == (4, 36)


@pytest.mark.parametrize("backbone", ["cnn", "convlstm"])
def test_a_network_that_knows_places_cannot_be_symmetric(backbone):
    with pytest.raises(ValueError, match=r"cannot have a context, got context=\(6, 6\)"):
        model_of(backbone, symmetric=True, context=(6, 6))
    with pytest.raises(ValueError, match="cannot have a dense head"):
        model_of(backbone, symmetric=True, head="dense", segments=(6, 6))


def test_a_symmetric_convlstm_has_no_state_to_go_on_from():
    with pytest.raises(ValueError, match="a symmetric ConvLSTM cannot advance"):
        model_of("convlstm", symmetric=True).advance(torch.rand(1, 2, 2, 6, 6))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("backbone", ["convlstm", "cnn"])
def test_an_empty_batch_gives_an_empty_field(backbone, training):
    model = model_of(backbone, symmetric=True).train(training)
    assert model(torch.rand(0, 2, 2, 6, 6)).shape == (0, 1, 6, 6)
