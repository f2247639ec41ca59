"""A layer with statistics for each time, compared with PyTorch's batch norms."""

import numpy as np
import pytest
import torch
from per_segment import per_segment
from torch import nn
from torch.nn.functional import batch_norm

from tritonbn import Segments
from tritonbn.models.recurrent_norm import RecurrentBN

N, C, GRID = 5, 2, (3, 4)


def values(times, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(times, N, C, *GRID, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize("backend", ["native", "reference", "triton"])
def test_a_layer_is_a_batch_norm_for_each_time(backend, momentum, device):
    if backend == "triton":
        pytest.importorskip("triton", reason="Triton has packages for Linux only")
    layer = RecurrentBN(C, Segments.single(GRID), 3, momentum=momentum, backend=backend)
    layer = layer.double().to(device)
    norms = [nn.BatchNorm2d(C, momentum=momentum).double().to(device) for _ in range(3)]
    for norm in norms:
        nn.init.constant_(norm.weight, 0.1)
    for seed in range(3):
        for time, now in enumerate(values(3, seed).to(device)):
            torch.testing.assert_close(layer(now, time=time), norms[time](now))
    for name in ("running_mean", "running_var"):
        expected = torch.stack([getattr(norm, name) for norm in norms])
        torch.testing.assert_close(getattr(layer, name)[:, :, 0], expected)


def test_parameters_and_statistics_are_reset():
    layer = RecurrentBN(C, GRID, 2)
    layer(values(1)[0].float(), time=1)
    nn.init.normal_(layer.weight)
    layer.reset_parameters()
    fresh = RecurrentBN(C, GRID, 2)
    assert all(torch.equal(v, fresh.state_dict()[n]) for n, v in layer.state_dict().items())


def test_without_running_statistics_the_batch_is_used_in_evaluation():
    segments = Segments.nearest([0, 5, 11], GRID)
    layer = RecurrentBN(C, segments, 2, track_running_stats=False).double().eval()
    x = values(1)[0]
    expected = per_segment(x, segments, weight=layer.weight, training=True)
    torch.testing.assert_close(layer(x, time=1), expected)


def test_a_masked_value_is_not_counted():
    layer = RecurrentBN(C, Segments.single(GRID), 2).double()
    x = values(1)[0]
    mask = torch.arange(N)[:, None, None, None] != 2
    y = layer(x, mask, time=1)
    counted = x[mask.flatten()]
    scale = torch.full((C,), 0.1, dtype=torch.float64)
    expected = batch_norm(counted, None, None, scale, training=True)
    torch.testing.assert_close(y[mask.flatten()], expected)


def test_without_training_the_initial_statistics_are_used():
    layer = RecurrentBN(C, GRID, 2).double().eval()
    x = values(1)[0]
    for time in (0, 1, 5):
        torch.testing.assert_close(layer(x, time=time), 0.1 * x, rtol=1e-5, atol=0)


def test_a_negative_time_is_an_error():
    with pytest.raises(ValueError, match="time must be at least 0, got -1"):
        RecurrentBN(C, GRID, np.int64(2))(values(1)[0].float(), time=-1)


def test_a_layer_can_be_made_without_initialization():
    layer = torch.nn.utils.skip_init(RecurrentBN, C, GRID, norm_times=2, dtype=torch.float64)
    assert layer.weight.shape == (C, 12)
    assert layer.weight.dtype == layer.running_mean.dtype == torch.float64
