import numpy as np
import pytest
import torch
from torch import nn

from tritonbn import LocalBN, Segments
from tritonbn.models import build_model

NORMS = {"none": nn.Identity, "global": nn.BatchNorm2d, "local": LocalBN}
GRID = (6, 5)


@pytest.mark.parametrize("backbone", ["convlstm", "cnn", "cnn-lstm"])
def test_networks_differ_only_in_the_norm(backbone):
    weights = {}
    for norm, module in NORMS.items():
        torch.manual_seed(3)
        model = build_model(backbone, norm, GRID)
        assert type(model.norm) is module
        weights[norm] = {
            name: weight
            for name, weight in model.named_parameters()
            if not name.startswith("norm.")
        }
    for norm in ("global", "local"):
        assert weights[norm].keys() == weights["none"].keys()
        assert all(
            torch.equal(weights[norm][name], weights["none"][name]) for name in weights[norm]
        )


@pytest.mark.parametrize("backbone", ["convlstm", "cnn", "cnn-lstm"])
def test_local_norm_of_a_single_segment_is_the_global_one(backbone):
    x = torch.rand(4, 2, 1, *GRID)
    fields = []
    for norm, segments in (("global", None), ("local", Segments.single(GRID))):
        torch.manual_seed(0)
        model = build_model(backbone, norm, segments or GRID, timesteps=2, dropout=0.0)
        fields.append(model(x))
    torch.testing.assert_close(*fields)


@pytest.mark.parametrize("backbone", ["convlstm", "cnn", "cnn-lstm"])
def test_local_norm_of_a_bare_grid_has_statistics_for_every_cell(backbone):
    model = build_model(backbone, "local", GRID)
    assert model.norm.running_mean.shape == (64, 30)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("lstm", "none"), "backbone must be .*, got 'lstm'"),
        (("cnn", "batch", GRID), "norm must be one of none, global, local, .*, got 'batch'"),
        (("cnn", "local"), "norm='local' needs segments"),
        (("cnn", "none"), "head='dense' needs segments"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_model(*arguments)


@pytest.mark.parametrize(
    ("backbone", "head", "message"),
    [
        ("cnn", "linear", "head must be one of dense, convolution, got 'linear'"),
        ("cnn-lstm", "convolution", "the CNN-LSTM must have head='dense', got head='convolution'"),
    ],
)
def test_wrong_heads_are_named(backbone, head, message):
    with pytest.raises(ValueError, match=message):
        build_model(backbone, "none", GRID, head=head)


@pytest.mark.parametrize(
    "segments",
    [
        [[0, 0, 1], [1, 1, 0]],
        np.array([[0, 0, 1], [1, 1, 0]]),
        torch.tensor([[0, 0, 1], [1, 1, 0]]),
    ],
    ids=["lists", "NumPy", "tensor"],
)
@pytest.mark.parametrize("norm", ["local", "offset"])
def test_segments_may_be_given_as_ids_of_any_kind(norm, segments):
    model = build_model("cnn", norm, segments, hidden=5)
    assert model(torch.rand(4, 1, 1, 2, 3)).shape == (4, 1, 2, 3)
    if norm == "local":
        assert model.norm.segments == Segments(torch.tensor([[0, 0, 1], [1, 1, 0]]))
