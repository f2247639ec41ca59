"""The same call on the Triton kernels and on the reference in float64."""

import torch
from layouts import in_layout

from tritonbn import Segments, local_batch_norm

GRID = (3, 4)
SEGMENTS = {
    "single": Segments.single(GRID),
    "per_cell": Segments.per_cell(GRID),
    "nearest": Segments.nearest([0, 7, 10], GRID),
    "pool": Segments.stations([10, 0, 7], GRID),
    "identity": Segments.stations([10, 0, 7], GRID, rest="identity"),
    "any order": Segments([[2, 0, -1, 1], [1, 1, 0, 3], [-1, 2, 3, 0]]),
}
LAYOUTS = ("contiguous", "channels_last", "strided")
EPS, MOMENTUM = 2**-10, 0.25  # exact in float32, as which the interpreter passes numbers


def sample(segments, device, dtype=torch.float64, *, batch=5, channels=3, extra=(), seed=0):
    """Make x, weight, bias, running mean and variance, dy and a mask."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(device)

    columns = (channels, segments.num_segments)
    wide = torch.promote_types(dtype, torch.float32)
    x = (randn(batch, channels, *extra, *segments.grid) * 2 + 3).to(dtype)
    parameters = [randn(*columns).to(wide) for _ in range(3)]
    variance = (randn(*columns).square() + 0.5).to(wide)
    mask = randn(batch, 1, *extra, *segments.grid) > -0.5
    return x, *parameters, variance, randn(*x.shape).to(dtype), mask


def compare(segments, tensors, layout, tolerance, *, training=True, activation=None):
    """Hold output, gradients and running statistics to the reference, and y and dx to the layout.

    `tensors` are those of `sample`; weight, bias, running statistics and mask may be None.
    """
    x, *parameters, dy, mask = tensors
    results = []
    for backend in ("triton", "reference"):
        if backend == "reference":
            x, *parameters, dy = (t if t is None else t.double() for t in (x, *parameters, dy))
        weight, bias, mean, var = (None if t is None else t.clone() for t in parameters)
        leaves = [t.requires_grad_() for t in (x.clone(), weight, bias) if t is not None]
        y = local_batch_norm(
            in_layout(leaves[0], layout) if backend == "triton" else leaves[0],
            segments,
            mean,
            var,
            weight,
            bias,
            training,
            MOMENTUM,
            EPS,
            mask=mask,
            activation=activation,
            backend=backend,
        )
        gradients = torch.autograd.grad(y, leaves, in_layout(dy, layout))
        results.append([y, *gradients, mean, var])
    for got, expected in zip(*results, strict=True):
        if got is not None:
            torch.testing.assert_close(
                got.detach(), expected.detach(), check_dtype=False, **tolerance
            )
    y, dx = results[0][:2]
    expected_layout = in_layout(x, "contiguous" if layout == "strided" else layout)
    for result in (y, dx) if layout != "strided" else (y,):
        assert result.dtype == tensors[0].dtype
        assert result.stride() == expected_layout.stride()
