"""`LocalBN` equals `nn.BatchNorm2d` for one segment and `nn.BatchNorm1d` for single cells."""

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from tritonbn import LocalBN, Segments

GRID = (5, 6)
SINGLE = Segments.single(GRID)
NEAREST = Segments.nearest([0, 8, 29], GRID)


def batches(count=3, channels=4, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    shape = (count, 7, channels, *GRID)
    return (torch.randn(shape, generator=generator, dtype=torch.float64) * 3 - 1).to(dtype)


def with_random_parameters(norm):
    generator = torch.Generator().manual_seed(1)
    for parameter in norm.parameters():
        nn.init.normal_(parameter, generator=generator)
    return norm


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"momentum": None},
        {"momentum": 0.0},
        {"momentum": 1.0, "eps": 1e-2},
        {"affine": False},
        {"track_running_stats": False},
    ],
    ids=str,
)
def test_one_segment_is_batchnorm2d(options, memory_format, dtype):
    """Compare with float64, because PyTorch's float32 gradients exceed the default tolerance."""
    expected = with_random_parameters(nn.BatchNorm2d(4, **options))
    local = LocalBN(4, SINGLE, dtype=dtype, **options)
    local.load_state_dict(expected.state_dict())
    expected.double()
    tolerance = {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {}
    for training in (True, True, False):
        for x in batches(dtype=dtype):
            results = []
            for norm, of_type in ((local, dtype), (expected, torch.float64)):
                leaf = x.to(of_type, memory_format=memory_format, copy=True)
                y = norm.train(training)(leaf.requires_grad_())
                dy = x.cos().to(leaf.dtype)
                gradients = torch.autograd.grad(y, (leaf, *norm.parameters()), dy)
                state = [v for k, v in norm.state_dict().items() if k != "segment_ids"]
                results.append([y, *gradients, *state])
            for got, wanted in zip(*results, strict=True):
                wanted = wanted.to(got.dtype)
                torch.testing.assert_close(got.reshape(wanted.shape), wanted, **tolerance)
                if got.dim() == 4:
                    assert got.stride() == wanted.stride()


def test_single_cells_are_batchnorm1d():
    local = with_random_parameters(LocalBN(4, GRID))
    flat = nn.BatchNorm1d(4 * 5 * 6)
    flat.load_state_dict(
        {k: v.flatten() if v.dim() else v for k, v in local.state_dict().items() if "ids" not in k}
    )
    for x in batches():
        torch.testing.assert_close(local(x).flatten(1), flat(x.flatten(1)))
    torch.testing.assert_close(local.running_mean.flatten(), flat.running_mean)
    torch.testing.assert_close(local.running_var.flatten(), flat.running_var)
    assert local.num_batches_tracked == flat.num_batches_tracked == 3


def test_segments_may_be_ids_or_a_grid():
    assert LocalBN(4, NEAREST.ids).segments == NEAREST
    assert LocalBN(4, GRID).segments == Segments.per_cell(GRID)
    assert LocalBN(4, torch.Size(GRID)).weight.shape == (4, 30)


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]),
        ({"bias": False}, ["weight", "running_mean", "running_var", "num_batches_tracked"]),
        ({"affine": False}, ["running_mean", "running_var", "num_batches_tracked"]),
        ({"track_running_stats": False}, ["weight", "bias"]),
    ],
)
def test_state(options, names):
    local = LocalBN(4, NEAREST, **options)
    assert [*local.state_dict()] == [*names, "segment_ids"]
    assert torch.equal(local.state_dict()["segment_ids"], NEAREST.ids)


def test_reset_parameters():
    local = with_random_parameters(LocalBN(4, NEAREST))
    local(batches()[0])
    local.reset_parameters()
    fresh = LocalBN(4, NEAREST).state_dict()
    assert all(torch.equal(v, fresh[k]) for k, v in local.state_dict().items())


def test_loading_takes_over_the_segments():
    other = Segments.nearest([29, 8, 0], GRID)
    saved = with_random_parameters(LocalBN(4, other))
    saved(batches()[0])
    loaded = LocalBN(4, NEAREST)
    loaded.load_state_dict(saved.state_dict())
    assert loaded.segments == other
    x = batches()[1]
    assert torch.equal(loaded.eval()(x), saved.eval()(x))


def test_loading_other_shapes_is_refused():
    for other in (Segments.single(GRID), Segments.single((2, 2))):
        with pytest.raises(RuntimeError, match="cannot be loaded into Segments"):
            LocalBN(4, NEAREST).load_state_dict(LocalBN(4, other).state_dict())
    with pytest.raises(RuntimeError, match="segment_ids"):
        LocalBN(4, NEAREST).load_state_dict(nn.BatchNorm2d(4).state_dict())


def test_averaged_states_in_which_all_numbers_are_floats_are_loaded():
    """Averages of weights are often computed like this, with the integers."""
    layers = [with_random_parameters(LocalBN(4, NEAREST)) for _ in range(2)]
    states = [layer.state_dict() for layer in layers]
    loaded = LocalBN(4, NEAREST)
    loaded.load_state_dict({k: (states[0][k] + states[1][k]) / 2 for k in states[0]})
    assert loaded.segments == NEAREST
    assert torch.equal(loaded.weight, (layers[0].weight + layers[1].weight) / 2)


def test_ids_between_two_segments_are_refused_by_name():
    model = nn.Sequential(LocalBN(4, NEAREST))
    state = model.state_dict()
    state["0.segment_ids"] = state["0.segment_ids"] + 0.5
    with pytest.raises(RuntimeError, match=r"0\.segments: ids must be integers, got .*float32"):
        model.load_state_dict(state)


def test_the_failed_loading_leaves_the_segments():
    local = LocalBN(4, NEAREST)
    state = LocalBN(4, SINGLE).state_dict()
    with pytest.raises(RuntimeError):
        local.load_state_dict(state)
    assert local.segments == NEAREST
    assert local(batches()[0]).shape == batches()[0].shape


@pytest.mark.parametrize(
    "clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_copies_compute_the_same_and_share_nothing(clone):
    local = with_random_parameters(LocalBN(4, NEAREST, activation="silu"))
    twin = clone(local)
    x = batches()[0]
    assert torch.equal(twin(x), local(x))
    twin.running_mean.zero_()
    assert not torch.equal(twin.running_mean, local.running_mean)


def test_what_was_first_used_in_inference_mode_trains_later():
    with torch.inference_mode():
        segments = Segments.nearest([0, 8, 29], GRID)
        LocalBN(4, segments).eval()(batches()[0])
    local = LocalBN(4, segments)
    x = batches()[0].requires_grad_()
    local(x).sum().backward()
    assert x.grad is not None


def test_to_changes_type_and_device():
    local = LocalBN(4, NEAREST).to(torch.float64)
    assert local.weight.dtype == local.running_var.dtype == torch.float64
    assert local.to("meta").weight.device.type == "meta"
    assert torch.equal(local.segment_ids, NEAREST.ids)


def test_evaluation_uses_running_statistics_and_leaves_them():
    local = LocalBN(4, NEAREST)
    for x in batches():
        local(x)
    before = copy.deepcopy(local.state_dict())
    local.eval()
    first, second = batches()[:2]
    together = local(torch.cat([first, second]))
    torch.testing.assert_close(together, torch.cat([local(first), local(second)]))
    assert all(torch.equal(v, before[k]) for k, v in local.state_dict().items())


@pytest.mark.parametrize("ids", [[[0, 1], [1, 0]], np.eye(2, dtype=int), torch.eye(2).int()])
def test_ids_of_segments_are_taken(ids):
    assert LocalBN(4, ids).segments == Segments(ids)


def test_a_grid_of_one_cell_gives_no_warning(recwarn):
    LocalBN(4, (1, 1))(torch.randn(8, 4, 1, 1, requires_grad=True)).sum().backward()
    assert not recwarn.list


def test_repr_tells_the_layer():
    assert repr(LocalBN(4, NEAREST, activation="relu")) == (
        "LocalBN(4, Segments(3 on 5x6), eps=1e-05, momentum=0.1, affine=True, "
        "track_running_stats=True, activation='relu')"
    )
    levels = [NEAREST, Segments.single((5, 6))]
    layer = LocalBN(4, levels, bias=False, backend="native", pooling=9.0, learn_pooling=True)
    assert repr(layer).endswith(
        "bias=False, backend='native', pooling=9.0, learn_pooling=True\n"
        "  (weight_deviations): ParameterList(  (0): Parameter containing: "
        "[torch.float32 of size 4x3])\n  (bias_deviations): ParameterList()\n)"
    )


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: LocalBN(0, GRID), ValueError, "num_features must be at least 1, got 0"),
        (lambda: LocalBN(4, (5, -6)), ValueError, r"grid must be integers .* got \(5, -6\)"),
        (lambda: LocalBN(4, 32), ValueError, "grid must be .* got 32"),
        (lambda: LocalBN(4, [[0, 1], [3, 0]]), ValueError, "ids must use every number from 0 to 3"),
        (lambda: LocalBN(4, [NEAREST]), TypeError, "two or more tritonbn.Segments, from fine to"),
        (lambda: LocalBN(4, GRID)(torch.ones(2, 4, 5, 6).numpy()), TypeError, "x must be a torch"),
        (lambda: LocalBN(4, torch.zeros(5, 6)), TypeError, "ids must be integers"),
        (lambda: LocalBN(4, GRID, activation="gelu"), ValueError, "activation .* got 'gelu'"),
        (lambda: LocalBN(4, GRID, backend="cuda"), ValueError, "backend .* got 'cuda'"),
        (lambda: LocalBN(4, GRID)(torch.ones(2, 3, 5, 6)), ValueError, "x must have 4 channels"),
        (lambda: LocalBN(4, GRID)(torch.ones(2, 4, 6, 5)), ValueError, "x must have shape"),
        (lambda: LocalBN(4, GRID)(torch.ones(1, 4, 5, 6)), ValueError, "segment 0 has a single"),
    ],
)
def test_bad_input_says_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()
