"""Segments and statistics that are set, loaded or replaced after construction."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call
from works_with.layers import CHANNELS, CLOSE, GRID, SEGMENTS, Published

from tritonbn import LocalBN, Segments


def mirrored(segments):
    return Segments(segments.ids.flip(0, 1))


def in_other_segments(make, segments, x):
    layer = make()
    layer.segments = mirrored(segments)
    return Published(layer)(x)


def by_attribute(norm, other, x):
    norm.segments = other
    return norm(x)


def by_ids(norm, other, x):
    norm.segment_ids = other.ids
    return norm(x)


def by_copy(norm, other, x):
    norm.segment_ids.copy_(other.ids)
    return norm(x)


def by_loading(norm, other, x):
    norm.load_state_dict(norm.state_dict() | {"segment_ids": other.ids})
    return norm(x)


def by_assigning(norm, other, x):
    norm.load_state_dict(norm.state_dict() | {"segment_ids": other.ids}, assign=True)
    return norm(x)


def by_functional_call(norm, other, x):
    before = norm.segments
    y = functional_call(norm, norm.state_dict() | {"segment_ids": other.ids}, (x,))
    assert norm.segments == before
    return y


WAYS = [
    by_attribute,
    by_ids,
    by_copy,
    by_loading,
    by_assigning,
    by_functional_call,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_other_segments_are_honoured(way, make, segments, x):
    """Segments can be replaced in every way after the layer has been called."""
    norm = make()
    norm.eval()(x)
    y = way(norm.train(), mirrored(segments), x)
    torch.testing.assert_close(y, in_other_segments(make, segments, x), **CLOSE)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_segments_that_do_not_fit_are_refused(way):
    norm = LocalBN(CHANNELS, SEGMENTS["nearest"])
    other = Segments([[0, 1, 2], [0, 0, 0]])
    with pytest.raises((ValueError, RuntimeError), match=r"segments.* Segments\(3 on 2x3\)"):
        way(norm, other, torch.randn(4, CHANNELS, *GRID))


def test_setting_something_else_is_refused():
    with pytest.raises(TypeError, match=r"segments must be a tritonbn\.Segments, got Tensor"):
        LocalBN(CHANNELS, GRID).segments = torch.zeros(GRID, dtype=torch.int64)


def test_a_compiled_layer_takes_over_segments_that_are_set(make, segments, x):
    norm = make()
    compiled = torch.compile(norm, fullgraph=True, backend="aot_eager")
    compiled(x)
    norm.load_state_dict(make().state_dict())
    norm.segments = mirrored(segments)
    torch.testing.assert_close(compiled(x), in_other_segments(make, segments, x), **CLOSE)


def test_other_grids_of_as_many_segments_may_be_set(make, segments, x):
    norm = make()
    norm.segments = Segments(torch.cat([segments.ids, segments.ids]))
    y = norm(torch.cat([x, x], 2))
    assert y.shape == (4, CHANNELS, 4, 3)


def test_averaging_the_values_of_a_state_leaves_the_segments(make, segments, x):
    """Average weights like timm's `ModelEmaV2`, which includes integers."""
    norm, other = make(), make()
    with torch.no_grad():
        for mine, theirs in zip(
            norm.state_dict().values(), other.state_dict().values(), strict=True
        ):
            mine.copy_(0.99 * mine + 0.01 * theirs)
    assert norm.segments == segments
    torch.testing.assert_close(norm(x), Published(make())(x), **CLOSE)


@pytest.mark.parametrize("changed", [False, True])
def test_copies_made_in_inference_mode_train(changed, make, segments, x):
    norm = make()
    expected = Published(make())(x)
    if changed:
        norm.segment_ids.copy_(mirrored(segments).ids)
        expected = in_other_segments(make, segments, x)
    with torch.inference_mode():
        copies = copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))
    for twin in (*copies, copy.deepcopy(copies[0])):
        fresh = copy.deepcopy(twin)
        fresh.load_state_dict(make().state_dict() | {"segment_ids": twin.segment_ids})
        assert fresh.segments == twin.segments == norm.segments
    with torch.inference_mode():
        torch.testing.assert_close(copies[0](x), expected, **CLOSE)


def test_layers_share_segments_but_no_memory():
    """Formats such as safetensors do not accept tensors that share memory."""
    segments = Segments.single(GRID)
    states = [LocalBN(CHANNELS, segments).state_dict()["segment_ids"] for _ in range(2)]
    assert states[0].data_ptr() != states[1].data_ptr()
    assert segments.ids.data_ptr() not in {state.data_ptr() for state in states}


def test_a_state_of_version_1_has_no_counter():
    state = nn.BatchNorm2d(CHANNELS).state_dict()
    del state["num_batches_tracked"]
    del state._metadata
    norm = LocalBN(CHANNELS, Segments.single(GRID))
    norm.load_state_dict(state)
    assert norm.num_batches_tracked == 0


def test_the_flag_makes_it_ignore_its_statistics(make, x):
    norm = make()
    norm.track_running_stats = False
    for _ in range(2):
        torch.testing.assert_close(norm(x), Published(make())(x), **CLOSE)
    assert torch.equal(norm.running_mean, make().running_mean)
    assert torch.equal(norm.running_var, make().running_var)
    assert norm.num_batches_tracked == 0
    torch.testing.assert_close(norm.eval()(x), Published(make().eval())(x), **CLOSE)


@pytest.mark.parametrize("eps", [0.0, -1e-5, float("nan")])
@pytest.mark.parametrize("training", [True, False])
def test_eps_must_be_positive(training, eps, make, x):
    with pytest.raises(ValueError, match=f"eps must be positive, got {eps}"):
        make(eps=eps)
    norm = make().train(training)
    norm.eps = eps
    with pytest.raises(ValueError, match=f"eps must be positive, got {eps}"):
        norm(x)
    assert norm.num_batches_tracked == 0
