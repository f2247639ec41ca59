"""Every kernel against the definition in float64, on a GPU or interpreted."""

import pytest
import torch
from kernels.comparison import EPS, GRID, LAYOUTS, SEGMENTS, compare, sample
from layouts import in_layout

from tritonbn import Segments, local_batch_norm

EXACT = {"rtol": 1e-10, "atol": 1e-10}
# the interpreter of Triton truncates to bfloat16, a GPU rounds
BFLOAT16 = 2**-8 if torch.cuda.is_available() else 2**-7
TOLERANCE = {
    torch.float64: EXACT,
    torch.float32: {"rtol": 1e-5, "atol": 1e-5},
    torch.float16: {"rtol": 2**-11, "atol": 1e-4},
    torch.bfloat16: {"rtol": BFLOAT16, "atol": 1e-4},
}
DTYPES = [  # the kernels treat float16 as bfloat16
    torch.float64,
    torch.float32,
    torch.bfloat16,
    pytest.param(torch.float16, marks=pytest.mark.slow_interpreted),
]
ACTIVATIONS = ("relu", "silu", "sigmoid", "tanh")


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", SEGMENTS)
def test_every_segmentation_type_and_layout(name, dtype, layout, masked, device):
    *tensors, mask = sample(SEGMENTS[name], device, dtype)
    compare(SEGMENTS[name], (*tensors, mask if masked else None), layout, TOLERANCE[dtype])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("channels", [8, 24])
@pytest.mark.parametrize("dtype", DTYPES[:3], ids=str)
def test_blocks_of_channels_and_cells(dtype, channels, masked, device):
    """An odd number of single cells; the last program has fewer."""
    segments = Segments.per_cell((3, 5))
    *tensors, mask = sample(segments, device, dtype, batch=20, channels=channels)
    tensors = (*tensors, mask if masked else None)
    compare(segments, tensors, "channels_last", TOLERANCE[dtype])


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS[:2])
@pytest.mark.parametrize("name", SEGMENTS)
def test_many_programs(name, layout, masked, device):
    *tensors, mask = sample(SEGMENTS[name], device, batch=11)
    compare(SEGMENTS[name], (*tensors, mask if masked else None), layout, EXACT)


@pytest.mark.usefixtures("small_tiles", "three_stages")
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS[:2])
@pytest.mark.parametrize(
    "name",
    [
        "nearest",
        pytest.param("per_cell", marks=pytest.mark.slow_interpreted),
        pytest.param("identity", marks=pytest.mark.slow_interpreted),
    ],
)
def test_many_programs_in_three_stages(name, layout, masked, device):
    *tensors, mask = sample(SEGMENTS[name], device, batch=11)
    compare(SEGMENTS[name], (*tensors, mask if masked else None), layout, EXACT)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("extra", [(2,), (2, 3)])
@pytest.mark.parametrize("name", ["single", "per_cell", "identity"])
def test_extra_dimensions(name, extra, layout, device):
    tensors = sample(SEGMENTS[name], device, extra=extra)
    compare(SEGMENTS[name], tensors, layout, EXACT)


@pytest.mark.parametrize("layout", LAYOUTS[:2])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", ["pool", "identity"])
def test_activations(name, activation, training, layout, device):
    tensors = sample(SEGMENTS[name], device)
    compare(SEGMENTS[name], tensors, layout, EXACT, training=training, activation=activation)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", SEGMENTS)
def test_evaluation(name, dtype, layout, device):
    tensors = sample(SEGMENTS[name], device, dtype)
    compare(SEGMENTS[name], tensors, layout, TOLERANCE[dtype], training=False)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("present", [(False, False), (True, False)])
@pytest.mark.parametrize("name", ["nearest", "per_cell"])
def test_without_weight_or_bias(name, present, training, device):
    x, weight, bias, *rest = sample(SEGMENTS[name], device)
    parameters = [p if there else None for p, there in zip((weight, bias), present, strict=True)]
    compare(SEGMENTS[name], (x, *parameters, *rest), "contiguous", EXACT, training=training)


@pytest.mark.parametrize("layout", LAYOUTS[:2])
@pytest.mark.parametrize(
    ("batch", "channels", "grid"),
    [
        (1, 1, (2, 9)),
        (1, 5, (3, 3)),
        (2, 7, (5, 7)),
        (33, 1, (1, 1)),
        pytest.param(3, 17, (1, 129), marks=pytest.mark.slow_interpreted),
    ],
)
def test_ragged_sizes(batch, channels, grid, layout, device):
    ids = torch.arange(grid[0] * grid[1]).reshape(grid) // 2 if batch == 1 else None
    if batch == 1:
        ids = ids.clamp(max=ids.max() - 1)  # no segment of a single value
    for segments in (
        Segments.single(grid),
        Segments(ids) if batch == 1 else Segments.per_cell(grid),
    ):
        *tensors, _ = sample(segments, device, batch=batch, channels=channels)
        compare(segments, (*tensors, None), layout, EXACT)


@pytest.mark.parametrize("layout", LAYOUTS[:2])
@pytest.mark.parametrize("masked", [False, True])
def test_segments_of_very_many_cells(masked, layout, device):
    """They are merged in pieces; small ones, and cells in none, lie between."""
    ids = torch.zeros(700, dtype=torch.int64)
    ids[::3] = 1
    ids[::50] = 2
    ids[5::90] = -1
    segments = Segments(ids.reshape(1, 700))
    *tensors, mask = sample(segments, device, batch=3, channels=2)
    compare(segments, (*tensors, mask if masked else None), layout, EXACT)


@pytest.mark.filterwarnings("ignore:invalid value")  # of inf - inf, in the interpreter
@pytest.mark.parametrize("layout", LAYOUTS[:2])
@pytest.mark.parametrize("name", ["nearest", "per_cell", "identity"])
def test_an_empty_segment_and_cells_in_none_pass_to_the_bit(name, layout, device):
    segments = SEGMENTS[name]
    x, weight, bias, mean, var, dy, _ = sample(segments, device, torch.float32)
    ids = segments.ids.to(device)
    passing = (ids < 0) | (ids == 1)
    x[0, :, passing] = torch.tensor([0.0, -0.0, 1e-45], device=device)[:, None]
    x[1, 0, passing] = float("inf")
    x = in_layout(x, layout).requires_grad_()
    before = mean.clone(), var.clone()
    y = local_batch_norm(
        x, segments, mean, var, weight, bias, True, mask=ids != 1, backend="triton"
    )
    (dx,) = torch.autograd.grad(y, x, dy)
    bits = y.detach()[:, :, passing].view(torch.int32)
    assert torch.equal(bits, x.detach()[:, :, passing].view(torch.int32))
    assert torch.equal(dx[:, :, passing], dy[:, :, passing])
    for now, then in zip((mean, var), before, strict=True):
        assert torch.equal(now[:, 1], then[:, 1])
        assert not torch.equal(now[:, 0], then[:, 0])


@pytest.mark.parametrize("layout", LAYOUTS[:2])
@pytest.mark.parametrize("name", ["nearest", "per_cell"])
def test_what_the_mask_leaves_out_may_be_anything(name, layout, device):
    segments = SEGMENTS[name]
    x, weight, bias, mean, var, _, mask = sample(segments, device, torch.float32, batch=9)
    results = []
    for value in (0.0, float("nan"), float("inf"), 1e30):
        spoilt = x.masked_fill(~mask, value)
        running = mean.clone(), var.clone()
        y = local_batch_norm(
            in_layout(spoilt, layout),
            segments,
            *running,
            weight,
            bias,
            True,
            mask=mask,
            backend="triton",
        )
        results.append((y[mask.expand_as(y)], *running))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(other, results[0], strict=True))


@pytest.mark.parametrize("layout", LAYOUTS[:2])
@pytest.mark.parametrize("path", ["one_pass", "three_stages"])
@pytest.mark.parametrize("batch", [40, 256])
@pytest.mark.parametrize("outlier", [1e3, -1e6])
def test_an_outlier_in_the_first_row(outlier, batch, path, layout, device, request):
    """Deviations are taken from it; what the other rows differ by keeps its digits."""
    if path == "three_stages":
        request.getfixturevalue(path)
    x, *_ = sample(SEGMENTS["per_cell"], device, torch.float32, batch=batch)
    x[0] += outlier
    y = local_batch_norm(
        in_layout(x, layout), SEGMENTS["per_cell"], training=True, backend="triton"
    )
    wide = x.double()
    expected = (wide - wide.mean(0)) / (wide.var(0, correction=0) + 1e-5).sqrt()
    bound = 2**-24 * batch**1.5  # of the sum of deviations, in any order
    torch.testing.assert_close(y.double(), expected, rtol=1e-6, atol=bound)
    steps, expected_steps = y[2:].double() - y[1:-1].double(), expected[2:] - expected[1:-1]
    torch.testing.assert_close(steps, expected_steps, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("path", [None, "three_stages"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("mean", "std"), [(1e4, 1.0), (100.0, 0.1), (-3e5, 1.0)])
@pytest.mark.parametrize("name", ["nearest", "per_cell"])
def test_a_large_mean_costs_no_digits(name, mean, std, masked, path, device, request):
    """PyTorch's own layer is off by 1e-3 at mean 1e4 and standard deviation 1."""
    if path:
        request.getfixturevalue(path)
    segments = SEGMENTS[name]
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(70, 2, *GRID, generator=generator, dtype=torch.float64)
    x = (noise * std + mean).float().to(device)
    mask = torch.rand(70, 1, *GRID, generator=generator).to(device) > 0.4 if masked else None
    dy = noise.sin().float().to(device)
    results = []
    for backend, leaf in (("triton", x.clone()), ("reference", x.double())):
        leaf.requires_grad_()
        y = local_batch_norm(leaf, segments, training=True, eps=2**-40, mask=mask, backend=backend)
        results.append((y.double(), torch.autograd.grad(y, leaf, dy.to(y.dtype))[0].double()))
    (y, dx), (expected, expected_dx) = results
    assert (y - expected).abs().max() < 2e-6  # |y| reaches 4, where float32 steps by 5e-7
    assert (dx - expected_dx).abs().max() < 3e-6 * expected_dx.abs().max()


@pytest.mark.parametrize("name", ["nearest", "per_cell"])
def test_two_runs_agree_to_the_bit(name, device):
    x, weight, *_, dy, mask = sample(SEGMENTS[name], device, torch.float32, batch=40)
    results = []
    for _ in range(2):
        leaves = [t.clone().requires_grad_() for t in (x, weight)]
        y = local_batch_norm(
            leaves[0], SEGMENTS[name], None, None, leaves[1], None, True, mask=mask,
            backend="triton",
        )  # fmt: skip
        results.append((y, *torch.autograd.grad(y, leaves, dy)))
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("activation", [None, "silu"])
@pytest.mark.parametrize(
    "layout",
    [pytest.param("contiguous", marks=pytest.mark.slow_interpreted), "channels_last"],
)
def test_derivatives_against_differences(layout, activation, training, device):
    segments = Segments([[0, 1], [1, -1]])
    x, weight, bias, mean, var, _, mask = sample(segments, device, batch=3, channels=2)

    def function(x, weight, bias):
        running = mean.clone(), var.clone()
        return local_batch_norm(
            in_layout(x, layout), segments, *running, weight, bias, training, eps=EPS,
            mask=mask, activation=activation, backend="triton",
        )  # fmt: skip

    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    assert torch.autograd.gradcheck(function, leaves, fast_mode=layout == "channels_last")
    assert torch.autograd.gradgradcheck(function, leaves, fast_mode=True)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS[:2])
def test_registered_operator_is_consistent(layout, given, device):
    segments = SEGMENTS["identity"]
    x, weight, bias, mean, var, _, mask = sample(segments, device, torch.float32)
    leaves = [t.requires_grad_() for t in (in_layout(x, layout), weight, bias)]
    statistics = (mean, var) if given else (None, None)
    partition = segments.on(x.device)
    operands = (leaves[0], partition.tensors, partition.sizes, *leaves[1:], mask, *statistics)
    one_level = (None, None, None)
    arguments = (*operands, *one_level, EPS, "silu", "triton", None)
    torch.library.opcheck(torch.ops.tritonbn.local_batch_norm, arguments)


def test_running_statistics_in_bfloat16(device):
    segments = SEGMENTS["nearest"]
    x, *_ = sample(segments, device, torch.float32)
    kept = []
    for dtype, backend in ((torch.bfloat16, "triton"), (torch.float64, "native")):
        running = torch.zeros(2, x.shape[1], segments.num_segments, dtype=dtype, device=device)
        local_batch_norm(x, segments, *running, training=True, momentum=0.5, backend=backend)
        kept.append(running)
    torch.testing.assert_close(kept[0].double(), kept[1], rtol=BFLOAT16, atol=1e-6)


@pytest.mark.parametrize("name", ["nearest", "per_cell"])
def test_an_activation_without_a_kernel_is_refused(name, device):
    from tritonbn.kernels import launch
    from tritonbn.tensors import Affine

    x = torch.randn(3, 2, *GRID, device=device)
    affine = Affine(None, None, EPS, "gelu")
    with pytest.raises(Exception) as refused:  # noqa: PT011 (of a type of Triton's own)
        launch.forward(x, SEGMENTS[name].on(x.device), None, None, affine, None, None)
    messages = str(refused.value) + str(refused.value.__cause__)
    assert "there is no kernel for this activation" in messages
