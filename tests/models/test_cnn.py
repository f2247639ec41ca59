import pytest
import torch

from tritonbn.models import CNN


@pytest.mark.parametrize("norm", ["none", "global", "local"])
@pytest.mark.parametrize("grid", [(1, 1), (1, 2), (3, 5), (6, 7), (32, 32)])
def test_field_is_one_value_from_0_to_1_per_cell_of_any_grid(norm, grid):
    y = CNN(timesteps=2, channels=4, norm=norm, segments=grid)(torch.randn(3, 2, 1, *grid))
    assert y.shape == (3, 1, *grid)
    assert ((y > 0) & (y < 1)).all()


@pytest.mark.parametrize("size", [8, 9])
def test_each_cell_sees_itself_and_what_is_near(size):
    model = CNN(channels=8).double()
    x = torch.rand(1, 1, 1, size, size, dtype=torch.float64)
    for cell in range(size):
        moved = x.clone()
        moved[..., cell, :] += 10
        changed = (model(moved) != model(x)).any(dim=-1)[0, 0].nonzero().flatten()
        assert cell in changed
        assert (changed - cell).abs().max() <= 3


def test_another_number_of_times_is_refused():
    with pytest.raises(ValueError, match=r"x must be \(N, 3, 1, H, W\), got \(2, 1, 1, 6, 6\)"):
        CNN(timesteps=3)(torch.rand(2, 1, 1, 6, 6))


def test_every_time_step_matters():
    model = CNN(timesteps=3, channels=4)
    x = torch.rand(1, 3, 1, 6, 6, requires_grad=True)
    model(x).sum().backward()
    assert (x.grad.abs().sum(dim=(0, 2, 3, 4)) > 0).all()
