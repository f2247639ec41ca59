"""Tensors without values: the device "meta", and `FakeTensorMode`."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from works_with.layers import CHANNELS, GRID

from tritonbn import LocalBN, Segments

SHAPE = (4, CHANNELS, *GRID)


@pytest.mark.parametrize("training", [True, False])
def test_meta(training, segments):
    norm = LocalBN(CHANNELS, segments, device="meta").train(training)
    x = torch.empty(SHAPE, device="meta", requires_grad=True)
    y = torch.relu_(norm(x))
    y.sum().backward()
    assert y.shape == x.grad.shape == SHAPE
    assert norm.weight.grad.shape == norm.weight.shape
    assert x.grad.is_meta


@pytest.mark.parametrize("training", [True, False])
def test_construction_and_training_in_fake_mode(training, segments):
    with FakeTensorMode():
        norm = LocalBN(CHANNELS, segments).train(training)
        x = torch.randn(SHAPE, requires_grad=True)
        norm(x).sum().backward()
    assert isinstance(norm.weight.grad, FakeTensor)
    assert x.grad.shape == SHAPE


def test_one_sample_in_fake_mode():
    with FakeTensorMode():
        y = LocalBN(CHANNELS, Segments.single(GRID))(torch.randn(1, CHANNELS, *GRID))
        with pytest.raises(ValueError, match="segment 0 has a single value per channel"):
            LocalBN(CHANNELS, Segments.per_cell(GRID))(torch.randn(1, CHANNELS, *GRID))
    assert y.shape == (1, CHANNELS, *GRID)


def test_segments_made_in_fake_mode_have_values():
    with FakeTensorMode():
        made = Segments.nearest([0, 5], GRID), Segments.per_cell(GRID), Segments([[0, 1]])
        assert made[0] == Segments.nearest([0, 5], GRID)
    assert made[1].ids.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert made[2].cell_counts.tolist() == [1, 1]


def test_ids_without_values_are_refused():
    with pytest.raises(ValueError, match="ids must have values, got a Tensor on meta"):
        Segments(torch.zeros(2, 2, dtype=torch.int64, device="meta"))
    with FakeTensorMode(), pytest.raises(ValueError, match="ids must have values, got a Fake"):
        Segments(torch.zeros(2, 2, dtype=torch.int64))


def test_a_model_is_made_on_meta_and_given_its_values_later(make, segments, x):
    with torch.device("meta"):
        norm = LocalBN(CHANNELS, segments)
    loaded = make()
    norm.load_state_dict(loaded.state_dict(), assign=True)
    norm.backend = loaded.backend
    torch.testing.assert_close(norm(x), make()(x))
