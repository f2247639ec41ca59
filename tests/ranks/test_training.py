"""Synchronized layers in training: what else the processes do around them."""

import re
from itertools import product

import pytest
import torch
from ranks import programs
from ranks.cases import CHANNELS, GRID, SEGMENTS
from ranks.processes import run_ranks
from torch import nn

from tritonbn import LocalBN, convert_sync_localbn, local_batch_norm

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distribution"),
]
BACKENDS = ["native", "reference"]
TRAININGS = [*product(SEGMENTS, (1, 2))]


@pytest.fixture
def both(tmp_path):
    """Return a function that calls another one in two processes."""

    def call(function, *arguments):
        return run_ranks(function, 2, tmp_path, *arguments)

    return call


def hold_to(expected, got):
    assert expected.keys() == got.keys()
    for name, wanted in expected.items():
        value = got[name] if got[name].shape == wanted.shape else got[name][:, 0]
        torch.testing.assert_close(value, wanted, rtol=1e-9, atol=1e-9, msg=name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("group")
    return run_ranks(programs.train_together, 2, folder, TRAININGS)


@pytest.mark.parametrize(("name", "accumulate"), TRAININGS)
def test_ddp_trains_like_one_process_with_the_whole_batch(trained, name, accumulate):
    first, second = (dict(of_rank[name, accumulate]) for of_rank in trained)
    model = programs.network(LocalBN(CHANNELS, SEGMENTS[name]))
    expected = programs.train(model, *programs.batches(4), accumulate=accumulate)
    losses = torch.stack([first.pop("losses"), second.pop("losses")]).mean(0)
    hold_to(expected, {"losses": losses, **first})
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_one_segment_trains_like_batch_norm(trained):
    """`nn.SyncBatchNorm`, which computes on GPUs only, is defined to do the same."""
    got = dict(trained[0]["single", 1])
    expected = programs.train(programs.network(nn.BatchNorm2d(CHANNELS)), *programs.batches(4))
    del got["losses"], expected["losses"], got["1.segment_ids"]
    hold_to(expected, got)


@pytest.mark.parametrize("backend", BACKENDS)
def test_second_derivatives(both, backend):
    (dx, dweight), (other_dx, other_dweight) = both(programs.second_derivatives, backend)
    layer = LocalBN(CHANNELS, SEGMENTS["nearest"], backend="reference", dtype=torch.float64)
    x = programs.batches(1)[0][0].expand(-1, CHANNELS, -1, -1).clone().requires_grad_()
    whole_dx, whole_dweight = programs.penalty_gradients(layer, x, 0)
    torch.testing.assert_close(torch.cat([dx, other_dx]), whole_dx)
    torch.testing.assert_close(dweight + other_dweight, whole_dweight)


@pytest.mark.parametrize("backend", BACKENDS)
def test_compiled(both, backend):
    for eager, compiled in both(programs.compiled, backend):
        for got, expected in zip(compiled, eager, strict=True):
            torch.testing.assert_close(got, expected)


def test_autocast(both):
    (x, y), (_, other) = both(programs.autocast)
    expected = local_batch_norm(x.double(), SEGMENTS["nearest"], training=True)
    assert (x.dtype, y.dtype) == (torch.bfloat16, torch.bfloat16)
    torch.testing.assert_close(torch.cat([y, other]), expected.bfloat16(), rtol=2**-8, atol=1e-3)


def test_copies_have_the_same_group(both):
    results = both(programs.copies)
    for rank, of_rank in enumerate(results):
        for same_group, y in of_rank:
            assert same_group
            torch.testing.assert_close(y, torch.full_like(y, 2 * rank - 1.0), rtol=1e-4, atol=0)


def test_a_group_of_some_ranks(tmp_path):
    first, second, message = run_ranks(programs.group_of_some_ranks, 3, tmp_path)
    for y, value in ((first, -1.0), (second, 1.0)):
        torch.testing.assert_close(y, torch.full_like(y, value), rtol=1e-4, atol=0)
    assert "that this process belongs to" in message


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_single_value_on_all_ranks_together(both, backend):
    for message, running_mean in both(programs.single_values, backend):
        assert "segment 0 has a single value per channel (6 of 6 segments do)" in message
        assert not running_mean.any()


def test_the_loss_of_another_rank_depends_on_the_input(both):
    dx = torch.cat(both(programs.without_a_gradient))
    x = programs.batches(1)[0][0].clone().requires_grad_()
    y = local_batch_norm(x, SEGMENTS["single"], training=True)
    dy = torch.zeros_like(y)
    dy[:4] = torch.cos(torch.arange(4 * y[0].numel(), dtype=y.dtype)).view(4, *y.shape[1:])
    y.backward(dy)
    torch.testing.assert_close(dx, x.grad)
    assert dx[4:].any()


def test_other_derivatives_are_refused(both):
    for messages in both(programs.forward_mode):
        for message in messages:
            assert message.startswith("NotImplementedError: statistics over the ranks")


def test_uneven_inputs_end_with_an_error_on_all_ranks(both):
    for message in both(programs.uneven_inputs):
        assert re.search("exhausted (all )?inputs", message)


@pytest.mark.parametrize("ends", [True, False], ids=["ends", "hangs"])
def test_a_lost_rank_gives_the_others_an_error(ends, tmp_path):
    for message in run_ranks(programs.lost_rank, 3, tmp_path, ends, timeout=5, lost=[2]):
        assert message.startswith(("RuntimeError", "DistBackendError"))


def test_without_a_process_group():
    layer = LocalBN(CHANNELS, GRID, process_group="0")
    assert layer.process_group is None
    with pytest.raises(ValueError, match="no process group named '0'"):
        layer(torch.randn(2, CHANNELS, *GRID))
    assert layer.eval()(torch.randn(2, CHANNELS, *GRID)).isfinite().all()
    with pytest.raises(ValueError, match=r"call torch\.distributed.init_process_group first"):
        convert_sync_localbn(layer)
    with pytest.raises(
        TypeError, match=r"process_group must be a torch\.distributed\.ProcessGroup"
    ):
        LocalBN(CHANNELS, GRID, process_group=3)
