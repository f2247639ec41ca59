"""LocalBN with one segment in the test cases of PyTorch's test suite for `nn.BatchNorm2d`.

The cases are `test_batchnorm_*` in ``test/test_nn.py`` and the module tests in
``test/test_modules.py``; the layer that is compared is PyTorch's.
"""

import copy
import pickle

import pytest
import torch
from layouts import in_layout
from torch import nn
from torch.testing import assert_close

import tritonbn.ops
from tritonbn import LocalBN, Segments

GRID = (3, 4)
CHANNELS = 3
EXACT = {"rtol": 1e-6, "atol": 1e-6}  # the kernels use eps as float32
MODULE_INPUTS = {
    "defaults": {},
    "alternative kwargs": {"eps": 2**-9, "momentum": 0.25},
    "momentum None": {"eps": 2**-9, "momentum": None},
    "not affine": {"eps": 2**-9, "momentum": 0.25, "affine": False},
    "not tracking": {"eps": 2**-9, "momentum": 0.25, "track_running_stats": False},
    "neither": {"affine": False, "track_running_stats": False},
}


@pytest.fixture(params=["native", "triton"], autouse=True)
def backend(request, monkeypatch):
    """Run the layers on this backend, which "auto" might not choose on a CPU."""
    if request.param == "triton":
        pytest.importorskip("triton", reason="Triton has packages for Linux only")
    monkeypatch.setattr(tritonbn.ops, "choose_backend", lambda *_: request.param)
    return request.param


def pair(dtype=torch.float64, **options):
    """Return a LocalBN and an `nn.BatchNorm2d` with the same random parameters and statistics."""
    expected = nn.BatchNorm2d(CHANNELS, dtype=dtype, **options)
    generator = torch.Generator().manual_seed(1)
    for parameter in expected.parameters():
        nn.init.normal_(parameter, generator=generator)
    local = LocalBN(CHANNELS, Segments.single(GRID), dtype=dtype, **options)
    local.load_state_dict(expected.state_dict())
    return local, expected


def sample(seed=0, batch=4, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, CHANNELS, *GRID, generator=generator, dtype=dtype)


def results(norm, x):
    """Return the output, all gradients and the state, in the shapes of `nn.BatchNorm2d`."""
    x = x.detach().requires_grad_()
    y = norm(x)
    gradients = torch.autograd.grad(y, (x, *norm.parameters()), x.detach().flip(0))
    state = [value for name, value in norm.state_dict().items() if name != "segment_ids"]
    return [y, *(t.squeeze(1) if t.dim() == 2 else t for t in (*gradients, *state))]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
@pytest.mark.parametrize("options", MODULE_INPUTS.values(), ids=MODULE_INPUTS)
def test_forward_gradients_and_state(options, layout, training):
    """`test_forward`, `test_non_contiguous_tensors`, `test_memory_format` and `non_contig_cpu`."""
    norms = [norm.train(training) for norm in pair(**options)]
    for seed in range(2):
        x = in_layout(sample(seed), layout)
        got, wanted = (results(norm, x) for norm in norms)
        assert_close(got, wanted, **EXACT)
        if layout != "strided":
            assert got[0].stride() == wanted[0].stride()
            assert got[1].stride() == x.stride()


@pytest.mark.parametrize("options", MODULE_INPUTS.values(), ids=MODULE_INPUTS)
def test_zero_batch(options):
    """`zero_batch`, and `test_BatchNorm_empty` in evaluation."""
    local, expected = pair(**options)
    got, wanted = (results(norm.eval(), sample(batch=0)) for norm in (local, expected))
    if "track_running_stats" not in options:
        assert_close(got, wanted)
    assert got[0].shape == wanted[0].shape
    assert all((gradient == 0).all() for gradient in got[1 : 2 + len([*local.parameters()])])


@pytest.mark.parametrize("options", MODULE_INPUTS.values(), ids=MODULE_INPUTS)
def test_gradcheck_of_both_orders(options):
    """`test_grad` and `test_gradgrad`, in training and evaluation."""
    local, _ = pair(**options | {"momentum": 0.0, "eps": 2**-4})
    x = sample(batch=2).requires_grad_()
    for training in (True, False):
        local.train(training)
        inputs = (x, *local.parameters())
        assert torch.autograd.gradcheck(lambda x, *_: local(x), inputs, fast_mode=True)
        assert torch.autograd.gradgradcheck(lambda x, *_: local(x), inputs, fast_mode=True)


def test_training_and_evaluation_differ():
    """`test_if_train_and_eval_modes_differ`."""
    local, _ = pair()
    x = sample()
    assert not torch.allclose(local.train()(x), local.eval()(x))


def test_running_statistics_change_in_training_only():
    """`test_batchnorm_update_stats`, and `momentum` 0 and 1."""
    local, _ = pair(momentum=1.0)
    x = sample()
    local.eval()(x)
    assert (local.running_mean == 0).all()
    assert (local.running_var == 1).all()
    assert local.num_batches_tracked == 0
    local.train()(x)
    assert_close(local.running_mean[:, 0], x.mean((0, 2, 3)))
    assert_close(local.running_var[:, 0], x.var((0, 2, 3), correction=1))
    before = copy.deepcopy(local.state_dict())
    local.momentum = 0.0
    local(sample(1))
    assert local.num_batches_tracked == 2
    assert torch.equal(local.running_mean, before["running_mean"])
    assert torch.equal(local.running_var, before["running_var"])


def test_simple_average():
    """`test_batchnorm_simple_average`: momentum None is the mean of all batches."""
    local, _ = pair(momentum=None)
    data = [sample(seed) for seed in range(2)]
    seen = []
    for x in data:
        local.reset_running_stats()
        local(x)
        seen.append((local.running_mean.clone(), local.running_var.clone()))
    local.reset_running_stats()
    for x in data:
        local(x)
    averages = [torch.stack(pair).mean(0) for pair in zip(*seen, strict=True)]
    assert_close([local.running_mean, local.running_var], averages, **EXACT)


def test_simple_average_of_many_batches_in_half_precision():
    """The number of batches is no float16, but the average moves on."""
    norms = (
        LocalBN(CHANNELS, Segments.single(GRID), momentum=None),
        nn.BatchNorm2d(CHANNELS, momentum=None),
    )
    for norm in norms:
        norm.half().num_batches_tracked.fill_(69999)
        norm(torch.full((4, CHANNELS, *GRID), 60000.0, dtype=torch.float16))
    assert_close(norms[0].running_mean[:, 0], norms[1].running_mean)
    assert norms[0].running_mean.min() > 0.8


def test_buffers_change_although_gradients_are_off():
    """In training mode the statistics are updated under `torch.no_grad`, too."""
    local, expected = pair()
    with torch.no_grad():
        y, wanted = local(sample()), expected(sample())
    assert not y.requires_grad
    assert_close(y, wanted, **EXACT)
    assert_close(local.running_var[:, 0], expected.running_var, **EXACT)


def test_removed_buffers_are_no_longer_tracked():
    """`test_batchnorm_buffer_update_when_stats_are_not_tracked`."""
    norms = pair()
    for norm in norms:
        norm.track_running_stats = False
        norm.running_mean = norm.running_var = norm.num_batches_tracked = None
    for training in (True, False):
        got, wanted = (norm.train(training)(sample()) for norm in norms)
        assert_close(got, wanted, **EXACT)


def test_unbiased_variance_runs_and_biased_variance_normalizes():
    local, _ = pair(momentum=1.0, affine=False, eps=2**-40)
    x = sample(batch=2)
    y = local(x)
    assert_close(y.var((0, 2, 3), correction=0), torch.ones(CHANNELS).double(), **EXACT)
    assert_close(local.running_var[:, 0], x.var((0, 2, 3), correction=1), **EXACT)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("training", [True, False])
def test_mixed_precision(dtype, training):
    """`test_batchnorm_eval_mixed` and similar: parameters in float32, input in half precision."""
    local, expected = pair(dtype=torch.float32)
    x = sample(dtype=dtype)
    got = results(local.train(training), x)
    wanted = results(expected.double().train(training), x.double())
    assert got[0].dtype == got[1].dtype == dtype
    assert all(t.dtype == torch.float32 for t in got[2:6])
    half = {"rtol": 2**-6, "atol": 2**-6} if dtype == torch.bfloat16 else {}
    for mine, theirs in zip(got, wanted, strict=True):
        assert_close(mine, theirs.to(mine.dtype), **half)


def test_half_overflow():
    """`test_batchnorm_half_overflow`: the sum of squares overflows float16."""
    local, expected = pair(dtype=torch.float32)
    x = sample(dtype=torch.float16) * 300 + 1000
    y = local(x)
    assert y.isfinite().all()
    assert_close(y, expected.double()(x.double()).half(), rtol=2**-9, atol=2**-9)


def test_large_batch(backend):
    """`test_batchnorm_large_batch`, against float64: PyTorch's float32 error is 3e-4 here."""
    if backend == "triton":
        pytest.skip("takes minutes in the interpreter; tests/gpu has it")
    norms = LocalBN(1, Segments.single((1, 1))), nn.BatchNorm2d(1, dtype=torch.float64)
    x = torch.rand(880_801, 1, 1, 1)
    got, wanted = norms[0](x), norms[1](x.double())
    assert_close(got, wanted.float())
    assert_close(norms[0].running_var[:, 0], norms[1].running_var.float())


@pytest.mark.parametrize(
    ("layer", "x", "error", "match"),
    [
        ({}, torch.rand(2, CHANNELS + 1, *GRID), ValueError, "x must have 3 channels"),
        ({}, torch.rand(2, CHANNELS), ValueError, r"x must have shape \(N, C, ..., 3, 4\)"),
        ({}, torch.rand(CHANNELS), ValueError, "x must have 3 channels"),
        ({}, torch.ones(2, CHANNELS, *GRID, dtype=torch.int64), TypeError, "x must have a float"),
        ({"running_mean": torch.zeros(4, 1)}, None, ValueError, "running_mean must have shape"),
        ({"running_var": torch.ones(4, 1)}, None, ValueError, "running_var must have shape"),
        ({"running_var": None}, None, ValueError, "together"),
    ],
)
def test_error_inputs(layer, x, error, match):
    """`test_errors` and `test_batchnorm_raises_error_if_*_is_not_same_size_as_input`."""
    local, _ = pair(dtype=torch.float32)
    for name, value in layer.items():
        setattr(local, name, value)
    before = local.num_batches_tracked.clone()
    with pytest.raises(error, match=match):
        local(sample(dtype=torch.float32) if x is None else x)
    assert local.num_batches_tracked == before


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_parameters_of_another_size(name):
    local, _ = pair(dtype=torch.float32)
    setattr(local, name, nn.Parameter(torch.ones(CHANNELS + 1, 1)))
    with pytest.raises(ValueError, match=f"{name} must have shape"):
        local(sample(dtype=torch.float32))


def test_one_value_per_channel():
    """`test_batchnorm_raises_error_if_less_than_one_value_per_channel`."""
    norms = LocalBN(CHANNELS, (1, 1)), nn.BatchNorm2d(CHANNELS)
    x = torch.rand(1, CHANNELS, 1, 1)
    for norm, match in zip(norms, ("single value per channel", "more than 1 value"), strict=True):
        with pytest.raises(ValueError, match=match):
            norm.train()(x)
        norm.eval()(x)


def test_loading_a_state_without_the_counter():
    """`test_batchnorm_load_state_dict`: a counter that is not saved is reported, not reset."""
    local, expected = pair()
    local.num_batches_tracked.fill_(10)
    state = expected.state_dict()
    del state["num_batches_tracked"]
    missing, unexpected = local.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["num_batches_tracked"], [])
    assert local.num_batches_tracked == 10


def test_factory_kwargs():
    """`test_factory_kwargs`, `test_to_empty` and `device` as a context."""
    local = LocalBN(CHANNELS, Segments.single(GRID), device="meta", dtype=torch.float64)
    assert {t.dtype for t in local.parameters()} == {torch.float64}
    assert {t.device.type for t in (*local.parameters(), *local.buffers())} == {"meta"}
    with torch.device("meta"):
        local = LocalBN(CHANNELS, Segments.nearest([0, 5], GRID))
    assert {t.device.type for t in (*local.parameters(), *local.buffers())} == {"meta"}
    local = local.to_empty(device="cpu")
    local.reset_parameters()
    fresh = LocalBN(CHANNELS, local.segments)
    assert_close(local.state_dict(), fresh.state_dict())
    assert_close(local(sample(dtype=torch.float32)), fresh(sample(dtype=torch.float32)))


def test_pickling_keeps_what_is_computed():
    local, _ = pair()
    local(sample())
    assert torch.equal(pickle.loads(pickle.dumps(local))(sample()), local(sample()))


def test_input_and_its_version_stay():
    """`test_check_inplace`: x is unchanged, and in-place changes of saved tensors are detected."""
    local, _ = pair()
    x = sample().requires_grad_()
    y = local(x)
    assert torch.equal(x, sample())
    with torch.no_grad():
        x.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
