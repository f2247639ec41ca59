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


@pytest.mark.parametrize("backbone", ["convlstm", "cnn"])
def test_a_channel_that_does_not_exist_cannot_be_corrected(backbone):
    model = build_model(backbone, "none", **(OPTIONS | {"corrects": 4}))
    with pytest.raises(IndexError):
        model(torch.randn(3, 2, 4, *GRID))


@pytest.mark.parametrize("head", ["dense", "convolution"])
@pytest.mark.parametrize("backbone", ["convlstm", "cnn", "cnn-lstm"])
def test_the_field_of_a_network_in_float64_is_float64(backbone, head):
    if (backbone, head) == ("cnn-lstm", "convolution"):
        pytest.skip("there is no such network")
    model = build_model(backbone, "local", GRID, head=head, timesteps=2).double().eval()
    x = torch.rand(3, 2, 1, *GRID, dtype=torch.float64)
    field = model(x)
    assert field.dtype == torch.float64
    torch.testing.assert_close(model.float()(x.float()), field.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backbone", ["convlstm", "cnn", "cnn-lstm"])
def test_networks_with_a_dense_head_tell_the_shape_of_the_field_without_memory(backbone):
    with torch.device("meta"):
        model = build_model(backbone, "local", GRID, timesteps=2)
    assert model(torch.rand(3, 2, 1, *GRID, device="meta")).shape == (3, 1, *GRID)


@pytest.mark.parametrize(
    ("part", "options"),
    [("context", {"context": GRID, "head": "convolution"}), ("embedding", {"embedding": GRID})],
)
def test_another_grid_is_refused(part, options):
    model = build_model("cnn", "none", (8, 8), **options)
    with pytest.raises(
        ValueError, match=rf"the {part} is made for a grid of \(6, 5\), got \(8, 8\)"
    ):
        model(torch.rand(2, 1, 1, 8, 8))
