"""Any shape and any segments: the kernels, the native path and the definition agree."""

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kernels.comparison import EPS, MOMENTUM
from layouts import in_layout

from tritonbn import Segments, local_batch_norm

ACTIVATIONS = [None, "relu", "silu", "sigmoid", "tanh"]


@st.composite
def segmentations(draw):
    grid = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
    cells = torch.Size(grid).numel()
    labels = draw(st.lists(st.integers(-1, 4), min_size=cells, max_size=cells))
    used = sorted({label for label in labels if label >= 0})
    if not used:
        used, labels[0] = [0], 0
    return Segments(torch.tensor([used.index(i) if i >= 0 else -1 for i in labels]).reshape(grid))


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    segments=segmentations(),
    batch=st.integers(1, 9),
    channels=st.integers(1, 7),
    extra=st.sampled_from([(), (1,), (3,), (2, 2)]),
    layout=st.sampled_from(["contiguous", "channels_last", "strided"]),
    training=st.booleans(),
    keep=st.sampled_from([None, 0.9, 0.5, 0.1, 0.0]),
    activation=st.sampled_from(ACTIVATIONS),
    seed=st.integers(0, 2**16),
)
def test_backends_agree(
    segments, batch, channels, extra, layout, training, keep, activation, seed, device
):
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(device)

    shape = (batch, channels, *extra, *segments.grid)
    columns = (channels, segments.num_segments)
    x, dy = randn(*shape) * 3 + 1, randn(*shape)
    weight, bias, mean = (randn(*columns) for _ in range(3))
    var = randn(*columns).square() + 0.1
    mask = None
    if keep is not None:
        mask = torch.rand((batch, 1, *extra, *segments.grid), generator=generator) < keep
        mask = mask.to(device)

    def run(backend):
        leaves = [t.clone().requires_grad_() for t in (x, weight, bias)]
        running = mean.clone(), var.clone()
        y = local_batch_norm(
            in_layout(leaves[0], layout),
            segments,
            *running,
            *leaves[1:],
            training,
            MOMENTUM,
            EPS,
            mask=mask,
            activation=activation,
            backend=backend,
        )
        return y.detach(), *torch.autograd.grad(y, leaves, dy), *running

    refusals, results = [], []
    for backend in ("reference", "native", "triton"):
        try:
            results.append(run(backend))
        except ValueError as error:
            refusals.append(str(error))
    if refusals:  # of a segment with a single value
        assert "single value per channel" in refusals[0]
        assert refusals == refusals[:1] * 3
        return
    for others in results[1:]:
        for got, wanted in zip(others, results[0], strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-9, atol=1e-9)
