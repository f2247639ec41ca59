import pytest
import torch
from torch import nn

from tritonbn import Segments
from tritonbn.models import build_model
from tritonbn.models.head import DenseHead

GRID = (5, 6)


def test_the_head_is_the_published_sequence_of_layers():
    head = DenseHead(3, GRID, hidden=7).double().eval()
    h = torch.randn(4, 3, *GRID, dtype=torch.float64)
    weight = head.convolution.weight.flatten()
    squeezed = torch.sigmoid(torch.einsum("c,nchw->nhw", weight, h) + head.convolution.bias)
    first, last = head.dense[0], head.dense[-1]
    hidden = (squeezed.flatten(1) @ first.weight.T + first.bias).clamp(min=0)
    expected = hidden @ last.weight.T + last.bias
    field = head(h, h, h)
    assert field.shape == (4, 1, *GRID)
    torch.testing.assert_close(field.flatten(1), expected)


def test_the_sizes_are_those_of_the_publication_unless_others_are_asked():
    head = DenseHead(64, (32, 32))
    assert head.dense[0].weight.shape == (1000, 1024)
    assert head.dense[-1].weight.shape == (1024, 1000)
    assert head.dense[2].p == 0.5
    head = build_model("cnn", "none", GRID, hidden=20, dropout=0.1).head
    assert head.dense[0].weight.shape == (20, 30)
    assert head.dense[2].p == 0.1


@pytest.mark.parametrize("segments", [GRID, Segments.single(GRID), Segments.single(GRID).ids])
def test_the_grid_is_that_of_the_segments(segments):
    model = build_model("cnn", "none", segments)
    assert model(torch.rand(2, 1, 1, *GRID)).shape == (2, 1, *GRID)


@pytest.mark.parametrize("backbone", ["convlstm", "cnn", "cnn-lstm"])
def test_every_cell_sees_every_other_with_the_dense_head_alone(backbone):
    x = torch.rand(1, 2, 1, 32, 32, dtype=torch.float64)
    moved = x.clone()
    moved[..., 0, 0] += 10
    heads = ("dense",) if backbone == "cnn-lstm" else ("dense", "convolution")
    for head in heads:
        torch.manual_seed(0)
        model = build_model(backbone, "none", (32, 32), 2, head=head).double().eval()
        assert bool((model(x) != model(moved))[..., -1, -1]) == (head == "dense")


def test_training_drops_hidden_units_and_evaluation_does_not():
    model = build_model("cnn", "none", GRID)
    x = torch.rand(2, 1, 1, *GRID)
    assert not torch.equal(model.train()(x), model(x))
    assert torch.equal(model.eval()(x), model(x))


def test_the_output_is_linear_so_that_nothing_is_cut_off():
    model = build_model("cnn", "none", GRID).eval()
    nn.init.constant_(model.head.dense[-1].bias, 3.0)
    assert (model(torch.rand(1, 1, 1, *GRID)) > 1).all()


def test_the_grid_has_height_and_width():
    with pytest.raises(ValueError, match=r"grid \(height, width\), got \(8,\)"):
        build_model("cnn", "none", Segments.single((8,)))


def test_another_grid_is_refused():
    with pytest.raises(ValueError, match=r"made for a grid of \(5, 6\), got \(6, 5\)"):
        build_model("cnn", "none", GRID)(torch.rand(1, 1, 1, 6, 5))


@pytest.mark.parametrize("backbone", ["convlstm", "cnn", "cnn-lstm"])
def test_under_autocast_the_dense_layers_read_more_than_bfloat16_can_tell(backbone):
    torch.manual_seed(0)
    model = build_model(backbone, "none", GRID).eval()
    read = []
    layer = model.lstm if backbone == "cnn-lstm" else model.head.dense
    layer.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    x = 0.05 * torch.rand(64, 2 if backbone == "cnn-lstm" else 1, 1, *GRID)
    with torch.autocast("cpu", torch.bfloat16):
        field = model(x)
    assert read[0].dtype == field.dtype == torch.float32
    assert len(read[0].unique()) > 500
