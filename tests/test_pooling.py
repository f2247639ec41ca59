"""Levels of segments, against the definition in float64 and against one level."""

import copy
import pickle

import pytest
import torch
from layouts import in_layout
from pooled_definition import (
    CHANNELS,
    EXACT,
    GRID,
    HALVES,
    LEVELS,
    expected_parameters,
    hold_to_definition,
    make,
    pooled,
    sample,
)
from torch import nn
from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict

from tritonbn import LocalBN, Segments


@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", LEVELS)
def test_outputs_and_gradients_follow_the_definition(name, masked, backend, layout):
    levels = LEVELS[name]
    tau = [4.0, 9.0][: len(levels) - 1]
    x, dy = sample()
    x = in_layout(x.detach(), layout).requires_grad_()
    mask = None
    if masked:
        mask = torch.rand(3, 1, *GRID, generator=torch.Generator().manual_seed(2)) < 0.6
        mask[..., 0, :2] = False  # cells without any value
    hold_to_definition(make(levels, tau, backend=backend), levels, tau, x, dy, mask)


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize("extra", [(2,), (2, 2)])
def test_extra_dimensions(extra, backend):
    levels = LEVELS["nested"]
    layer = make(levels, 5.0, backend=backend)
    hold_to_definition(layer, levels, [5.0, 5.0], *sample(extra=extra))


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_a_large_mean_loses_no_digits(backend):
    levels = LEVELS["nested"]
    layer = make(levels, 5.0, backend=backend)
    hold_to_definition(layer, levels, [5.0, 5.0], *sample(mean=1e4), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_the_gradient_of_tau(backend):
    levels = LEVELS["overlapping"]
    layer = make(levels, [3.0, 8.0], learn_pooling=True, backend=backend)
    x, dy = sample()
    (got,) = torch.autograd.grad(layer(x), layer.log_tau, dy)
    tau = torch.tensor([3.0, 8.0], dtype=torch.float64, requires_grad=True)
    expected, *_ = pooled(x, levels, tau)
    weight, bias = expected_parameters(layer, levels)
    (wanted,) = torch.autograd.grad(expected * weight + bias, tau, dy)
    torch.testing.assert_close(got.double(), wanted * tau.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_without_values_in_the_coarsest_level_there_is_no_estimate(backend):
    levels, tau = LEVELS["one below two"], [4.0]
    x, dy = sample()
    mask = (HALVES.ids == 0).expand(len(x), 1, *GRID)
    hold_to_definition(make(levels, tau, backend=backend), levels, tau, x, dy, mask)


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_what_is_not_finite_stays_in_its_coarsest_segment(backend):
    layer = make([Segments.per_cell(GRID), HALVES], 4.0, backend=backend)
    x, dy = sample()
    spoiled = x.detach().clone()
    spoiled[0, :, 0, 0] = torch.nan  # in the first half
    results = []
    for values in (x, spoiled.requires_grad_()):
        y = layer(values)
        results.append((y, *torch.autograd.grad(y, values, dy)))
    second = HALVES.ids == 1
    for clean, other in zip(*results, strict=True):
        torch.testing.assert_close(other[..., second], clean[..., second], **EXACT)


def test_second_derivatives():
    layer = make(LEVELS["nested"], 4.0)
    x, _ = sample(batch=2)
    assert torch.autograd.gradgradcheck(layer, (x,))


@pytest.mark.parametrize("backend", ["native", "reference"])
@pytest.mark.parametrize(("tau", "level"), [(0.0, 0), (float("inf"), -1)])
@pytest.mark.parametrize("name", ["cells", "nested", "overlapping", "two halves"])
def test_the_ends_are_the_finest_and_the_coarsest_level(name, tau, level, backend):
    levels = LEVELS[name]
    layer = LocalBN(CHANNELS, levels, pooling=tau, backend=backend, dtype=torch.float64)
    alone = LocalBN(CHANNELS, levels[level], backend=backend, dtype=torch.float64)
    x, dy = sample()
    for _ in range(2):
        mine, theirs = layer(x), alone(x)
        torch.testing.assert_close(mine, theirs, **EXACT)
        gradients = (torch.autograd.grad(y, x, dy)[0] for y in (mine, theirs))
        torch.testing.assert_close(*gradients, **EXACT)
    torch.testing.assert_close(layer.eval()(x), alone.eval()(x), **EXACT)


def test_running_statistics_are_those_of_the_estimates():
    levels = LEVELS["nested"]
    layer = LocalBN(CHANNELS, levels, pooling=4.0, momentum=1.0, dtype=torch.float64)
    x, _ = sample(batch=5)
    mask = torch.ones(5, 1, *GRID, dtype=torch.bool)
    mask[..., 0, 0] = False  # never a value in cell 0
    layer(x, mask)
    _, mean, var = pooled(x, levels, [4.0, 4.0], mask)
    torch.testing.assert_close(layer.running_mean, mean, **EXACT)
    # cell 0 has the estimate of its half, and this has 25 values and is drawn towards 55
    values = x.detach().movedim(1, 0).flatten(2)
    half, everything = (values[:, :, 1:stop].flatten(1) for stop in (6, 12))
    share = 25 / 29
    parts = share * half.var(1) + (1 - share) * everything.var(1)
    distance = half.mean(1) - everything.mean(1)
    expected = parts + share * (1 - share) * distance.square()
    torch.testing.assert_close(layer.running_var[:, 0], expected, **EXACT)
    assert (layer.running_var > var).all(), "variances are unbiased"


def test_evaluation_uses_the_running_statistics():
    layer = make(LEVELS["nested"], 4.0)
    x, _ = sample()
    layer(x)
    y = layer.eval()(x)
    weight, bias = expected_parameters(layer, LEVELS["nested"])
    mean, var = (t.view(CHANNELS, *GRID) for t in (layer.running_mean, layer.running_var))
    expected = (x - mean) / torch.sqrt(var + layer.eps) * weight + bias
    torch.testing.assert_close(y, expected, **EXACT)


def test_a_single_value_has_a_variance_from_above():
    layer = LocalBN(CHANNELS, LEVELS["cells"], pooling=4.0, dtype=torch.float64)
    x, _ = sample(batch=1)
    expected, *_ = pooled(x, LEVELS["cells"], [4.0])
    torch.testing.assert_close(layer(x), expected, **EXACT)


def test_parameters_start_as_those_of_one_level():
    layer = LocalBN(CHANNELS, LEVELS["nested"], pooling=4.0)
    weight, bias = layer.segment_parameters()
    assert torch.equal(weight, torch.ones(CHANNELS, 12))
    assert torch.equal(bias, torch.zeros(CHANNELS, 12))
    sizes = [tuple(p.shape) for p in layer.weight_deviations]
    assert sizes == [(CHANNELS, 12), (CHANNELS, 2)]
    assert layer.weight.shape == (CHANNELS, 1)


@pytest.mark.parametrize(
    ("options", "names"),
    [({"affine": False}, set()), ({"bias": False}, {"weight", "weight_deviations.0"})],
)
def test_without_weight_or_bias(options, names):
    layer = LocalBN(CHANNELS, LEVELS["cells"], pooling=4.0, dtype=torch.float64, **options)
    assert {name for name, _ in layer.named_parameters()} == names
    x, _ = sample()
    torch.testing.assert_close(layer(x), pooled(x, LEVELS["cells"], [4.0])[0], **EXACT)


def test_copies_pickles_and_states_are_the_same_layer():
    layer = make(LEVELS["nested"], [4.0, 9.0], learn_pooling=True)
    x, _ = sample()
    layer(x)
    loaded = make(LEVELS["nested"], [1.0, 1.0], learn_pooling=True)
    loaded.load_state_dict(layer.state_dict())
    others = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), loaded]
    for training in (True, False):
        expected = copy.deepcopy(layer).train(training)(x)
        for other in others:
            assert torch.equal(copy.deepcopy(other).train(training)(x), expected)


def test_levels_may_be_tensors_of_ids():
    x, _ = sample()
    layers = [
        LocalBN(CHANNELS, levels, pooling=4.0, dtype=torch.float64)
        for levels in (LEVELS["nested"], [level.ids for level in LEVELS["nested"]])
    ]
    assert torch.equal(layers[0](x), layers[1](x))


@pytest.mark.parametrize("learned", [False, True])
def test_a_layer_that_was_made_without_memory(learned):
    options = {"pooling": 4.0, "learn_pooling": learned}
    layer = LocalBN(CHANNELS, LEVELS["nested"], device="meta", **options).to_empty(device="cpu")
    layer.reset_parameters()
    x = sample()[0].detach().float()
    torch.testing.assert_close(layer(x), LocalBN(CHANNELS, LEVELS["nested"], **options)(x))


@pytest.mark.parametrize("learned", [False, True])
def test_a_large_tau_survives_float16(learned):
    layer = LocalBN(CHANNELS, LEVELS["cells"], pooling=1e5, learn_pooling=learned).half()
    assert layer.tau.item() == pytest.approx(1e5, rel=0.01)


def test_a_state_of_other_levels_is_refused():
    halves = Segments(torch.arange(12).view(GRID) % 2)
    other = make([LEVELS["nested"][0], halves, LEVELS["nested"][2]], 4.0)
    with pytest.raises(
        RuntimeError, match=r"a state with levels of .* segments cannot be loaded into a"
    ):
        other.load_state_dict(make(LEVELS["nested"], 4.0).state_dict())


def test_a_state_without_the_layer_can_be_loaded_if_not_strict():
    model = nn.Sequential(nn.Conv2d(1, CHANNELS, 1), make(LEVELS["nested"], 4.0))
    state = {"0.weight": torch.ones(CHANNELS, 1, 1, 1)}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert "1.weight" in missing
    assert not unexpected
    assert model[0].weight.min() == 1
    with pytest.raises(RuntimeError, match=r'Missing key.*"1\.level_index"'):
        model.load_state_dict(state)


def test_the_state_of_a_distributed_checkpoint():
    saved, model = (nn.Sequential(make(LEVELS["nested"], 4.0)) for _ in range(2))
    with torch.no_grad():
        saved[0].weight += 1.0
    set_model_state_dict(model, get_model_state_dict(saved))
    assert torch.equal(model[0].weight, saved[0].weight)
    other = nn.Sequential(make(LEVELS["overlapping"], 4.0))
    with pytest.raises(ValueError, match="the levels of a layer cannot be replaced"):
        other[0].level_index = saved[0].level_index


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_a_single_value_in_the_coarsest_level_is_refused(backend):
    layer = LocalBN(1, [Segments.per_cell(GRID), HALVES], pooling=4.0, backend=backend)
    mask = torch.ones(GRID, dtype=torch.bool)
    mask[0, 1:] = mask[1, :2] = False  # one value in the first half
    with pytest.raises(
        ValueError, match="coarsest level that contains segment 0 has a single value"
    ):
        layer(torch.randn(1, 1, *GRID), mask)
    assert layer.running_var.min() == 1
    layer(torch.randn(2, 1, *GRID), mask)


def test_a_learned_tau_begins_where_it_was_told_to():
    layer = LocalBN(2, LEVELS["cells"], pooling=7.0, learn_pooling=True, dtype=torch.float64)
    torch.testing.assert_close(layer.log_tau.exp().item(), 7.0, rtol=1e-14, atol=0)


@pytest.mark.slow
def test_layers_compiled_by_inductor_compute_the_same():
    layer = make(LEVELS["nested"], [3.0, 8.0], learn_pooling=True)
    x, dy = sample()
    results = []
    for module in (layer, torch.compile(copy.deepcopy(layer))):
        y = module(x)
        results.append((y, *torch.autograd.grad(y, [x, *module.parameters()], dy)))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6)


def test_segments_of_several_levels_cannot_be_replaced():
    layer = make(LEVELS["cells"], 4.0)
    other = Segments(torch.arange(12).flip(0).view(GRID))
    with pytest.raises(ValueError, match="several levels cannot be replaced"):
        layer.segments = other
    with pytest.raises(RuntimeError, match="cannot be loaded into"):
        layer.load_state_dict(layer.state_dict() | {"segment_ids": other.ids})


@pytest.mark.parametrize("learned", [False, True])
def test_compiled_layers_compute_the_same(learned):
    layer = make(LEVELS["overlapping"], [3.0, 8.0], learn_pooling=learned)
    compiled = torch.compile(copy.deepcopy(layer), backend="aot_eager", fullgraph=True)
    x, dy = sample()
    results = []
    for module in (layer, compiled):
        y = module(x)
        results.append((y, *torch.autograd.grad(y, [x, *module.parameters()], dy)))
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, **EXACT)


def test_an_exported_layer_computes_the_same():
    layer = make(LEVELS["nested"], 4.0).eval()
    x, _ = sample()
    exported = torch.export.export(layer, (x.detach(),)).module()
    torch.testing.assert_close(exported(x), layer(x), **EXACT)


@pytest.mark.parametrize(
    ("segments", "options", "message"),
    [
        ([HALVES], {"pooling": 1.0}, "two or more tritonbn.Segments, from fine to coarse"),
        ([HALVES, (3, 4)], {"pooling": 1.0}, "two or more tritonbn.Segments"),
        (LEVELS["nested"], {"pooling": True}, "a number of at least 0"),
        ([HALVES, Segments.single((3, 5))], {"pooling": 1.0}, "must have the same grid"),
        (
            [Segments.single(GRID), Segments([[-1, 0, 0, 0]] * 3)],
            {"pooling": 1.0},
            "the last level must include every cell .* but not cell 0",
        ),
        (LEVELS["nested"], {}, "need pooling, a number such as 100.0"),
        (LEVELS["nested"], {"pooling": [1.0]}, "a number of at least 0, or 2 of them, got"),
        (LEVELS["nested"], {"pooling": -1.0}, "a number of at least 0"),
        (LEVELS["nested"], {"pooling": float("nan")}, "a number of at least 0"),
        (LEVELS["nested"], {"pooling": 0.0, "learn_pooling": True}, "begin at a positive number"),
        (GRID, {"pooling": 1.0}, "pooling needs two or more levels"),
        (HALVES, {"learn_pooling": True}, "pooling needs two or more levels"),
    ],
)
def test_bad_input_gives_one_clear_error(segments, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        LocalBN(CHANNELS, segments, **options)
