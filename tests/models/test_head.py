import pytest
import torch
from torch import nn

from tritonbn.models import build_model
from tritonbn.models.context import Context

GRID = (6, 5)
OPTIONS = {"head": "convolution", "in_channels": 4, "channels": 8, "timesteps": 2, "corrects": 2}


@pytest.mark.parametrize("context", [None, GRID])
@pytest.mark.parametrize("backbone", ["convlstm", "cnn"])
def test_a_correction_starts_from_the_channel_that_it_corrects(backbone, context):
    model = build_model(backbone, "none", context=context, **OPTIONS)
    x = torch.randn(3, 2, 4, *GRID)
    y = model(x)
    assert y.shape == (3, 1, *GRID)
    correction = y - x[:, -1, 2:3]
    if context is None:
        assert (correction == 0).all()
    else:
        assert correction.abs().mean() < 0.2
    nn.init.constant_(model.head.convolution.bias, 100.0)
    assert (model(x) > 90).all(), "there is no sigmoid"


@pytest.mark.parametrize("grid", [(3, 4), (40, 33)])
@pytest.mark.parametrize("backbone", ["convlstm", "cnn"])
def test_with_context_every_cell_sees_every_other(backbone, grid):
    torch.manual_seed(0)
    model = build_model(backbone, "none", context=grid, **OPTIONS).double()
    x = torch.randn(1, 2, 4, *grid, dtype=torch.float64)
    moved = x.clone()
    moved[..., 0, 0] += 10
    assert (model(x) - model(moved))[..., -1, -1].abs() > 0


def test_context_weighs_maps():
    torch.manual_seed(0)
    context = Context(4, GRID, maps=3)
    features = torch.randn(2, 4, *GRID)
    weights = context.weigh(features)
    expected = sum(weights[:, k, None, None] * context.maps[k] for k in range(3))
    torch.testing.assert_close(context(features), expected[:, None])


@pytest.mark.parametrize("backbone", ["convlstm", "cnn"])
def test_a_gain_and_offset_of_each_cell_is_no_normalization(backbone):
    torch.manual_seed(0)
    model = build_model(backbone, "offset", GRID).eval()
    torch.manual_seed(0)
    none = build_model(backbone, "none", GRID).eval()
    x = torch.rand(3, 1, 1, *GRID)
    torch.testing.assert_close(model(x), none(x))
    assert model.norm.weight.shape == model.norm.bias.shape == (64, *GRID)
    h = torch.rand(2, 64, *GRID)
    nn.init.constant_(model.norm.weight, 3.0)
    nn.init.constant_(model.norm.bias, -1.0)
    torch.testing.assert_close(model.norm(h), 3 * h - 1)
