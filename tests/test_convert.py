import pytest
import torch
from torch import nn

from tritonbn import LocalBN, Segments, convert_batchnorm

SEGMENTS = Segments.nearest([0, 8, 29], (5, 6))


def trained_model():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4, eps=1e-3, momentum=None),
        nn.Sequential(nn.ReLU(), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2, affine=False)),
    )
    for _ in range(3):
        model(torch.randn(8, 1, 5, 6))
    return model


def test_evaluation_is_what_it_was():
    model = trained_model().eval()
    x = torch.randn(4, 1, 5, 6)
    before = model(x)
    converted = convert_batchnorm(model, SEGMENTS)
    assert [type(m) for m in converted.modules() if not [*m.children()]] == [
        nn.Conv2d,
        LocalBN,
        nn.ReLU,
        nn.Conv2d,
        LocalBN,
    ]
    torch.testing.assert_close(converted(x), before)


def test_settings_are_carried_over():
    model = trained_model()
    model[1].weight.requires_grad_(False)
    local = convert_batchnorm(model, SEGMENTS)[1]
    assert (local.eps, local.momentum, local.training) == (1e-3, None, True)
    assert local.num_batches_tracked == 3
    assert not local.weight.requires_grad
    assert local.bias.requires_grad


@pytest.mark.parametrize("options", [{}, {"track_running_stats": False}, {"affine": False}])
def test_a_bare_layer(options):
    norm = nn.BatchNorm2d(4, dtype=torch.float64, **options).eval()
    local = convert_batchnorm(norm, SEGMENTS)
    assert isinstance(local, LocalBN)
    assert not local.training
    assert {t.dtype for t in local.state_dict().values() if t.is_floating_point()} <= {
        torch.float64
    }


def test_a_model_without_batch_norm_is_left_alone():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm1d(3))
    assert [type(m) for m in convert_batchnorm(model, SEGMENTS)] == [nn.Conv2d, nn.BatchNorm1d]
