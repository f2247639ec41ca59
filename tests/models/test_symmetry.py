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
def test_turning_is_undone(grid):
    x = torch.rand(2, 3, *grid)
    for way in symmetries(*grid):
        assert torch.equal(turn_back(turn(x, way), way), x)


def model_of(backbone, **options):
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


@pytest.mark.parametrize("backbone", ["cnn", "convlstm"])
def test_a_symmetric_network_learns_of_each_sample_in_its_own_cells(backbone):
    model = model_of(backbone, symmetric=True, norm="local", segments=(6, 6)).train()
    x = torch.rand(16, 2, 2, 6, 6)
    moved = x.clone()
    moved[3, :, :, 1, 2] += 1
    changed = model_of(backbone, symmetric=True)(moved) != model_of(backbone, symmetric=True)(x)
    assert changed.flatten(1).any(dim=1).nonzero().flatten().tolist() == [3]
    assert changed[3, 0, 1, 2]
    assert not changed[3, 0, 5, 5]
    assert model(x).shape == (16, 1, 6, 6)
    assert model.norm.num_batches_tracked == 1
