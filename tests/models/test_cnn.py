import pytest
import torch

from tritonbn.models import CNN


@pytest.mark.parametrize("norm", ["none", "global", "local"])
@pytest.mark.parametrize("grid", [(1, 1), (1, 2), (3, 5), (6, 7), (32, 32)])
def test_field_is_one_value_from_0_to_1_per_cell_of_any_grid(norm, grid):
    y = CNN(timesteps=2, channels=4, norm=norm, segments=grid, head="convolution")(
        torch.randn(3, 2, 1, *grid)
    )
    assert y.shape == (3, 1, *grid)
    assert ((y > 0) & (y < 1)).all()


@pytest.mark.parametrize("size", [8, 9])
def test_each_cell_sees_itself_and_what_is_near(size):
    model = CNN(channels=8, head="convolution").double()
    x = torch.rand(1, 1, 1, size, size, dtype=torch.float64)
    for cell in range(size):
        moved = x.clone()
        moved[..., cell, :] += 10
        changed = (model(moved) != model(x)).any(dim=-1)[0, 0].nonzero().flatten()
        assert cell in changed
        assert (changed - cell).abs().max() <= 3


def test_another_number_of_times_is_refused():
    with pytest.raises(ValueError, match=r"x must be \(N, 3, 1, H, W\), got \(2, 1, 1, 6, 6\)"):
        CNN(timesteps=3, head="convolution")(torch.rand(2, 1, 1, 6, 6))


def test_every_time_step_matters():
    model = CNN(timesteps=3, channels=4, head="convolution")
    x = torch.rand(1, 3, 1, 6, 6, requires_grad=True)
    model(x).sum().backward()
    assert (x.grad.abs().sum(dim=(0, 2, 3, 4)) > 0).all()


def test_normalized_after_the_activation_the_last_layer_has_mean_zero():
    x = torch.rand(8, 1, 1, 6, 5)
    means = {}
    for norm_after in (False, True):
        torch.manual_seed(0)
        model = CNN(channels=4, norm="local", segments=(6, 5), norm_after=norm_after)
        seen = []
        model.head.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        model(x)
        means[norm_after] = seen[0].mean(dim=0)
    assert means[False].min() >= 0
    assert means[False].max() > 0.1
    torch.testing.assert_close(means[True], torch.zeros(4, 6, 5), atol=1e-5, rtol=0)


def test_an_embedding_tells_cells_apart_that_look_the_same():
    torch.manual_seed(0)
    model = CNN(channels=4, embedding=(6, 5), head="convolution")
    x = torch.full((1, 1, 1, 6, 5), 0.5)
    inner = (..., slice(2, 4), slice(2, 3))  # away from the edges
    assert model(x)[inner].unique().numel() <= 2  # only pooling makes a difference
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    target = torch.rand(1, 1, 6, 5)
    for _ in range(300):
        optimizer.zero_grad()
        loss = (model(x) - target).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < 0.2 * target.var()
