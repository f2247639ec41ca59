"""Single functions of the kernels, where a whole layer would not show a fault."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from tritonbn import LocalBN, Segments
from tritonbn.kernels.addressing import locate_column, row_start
from tritonbn.kernels.arithmetic import tanh


@triton.jit
def _tanh(x, y, SIZE: tl.constexpr):
    places = tl.arange(0, SIZE)
    tl.store(y + places, tanh(tl.load(x + places)))


@triton.jit
def _last_offset(row, column, frames, offset, C: tl.constexpr, CELLS: tl.constexpr):
    begin = row_start(tl.load(row), frames, C, CELLS, False)
    tl.store(offset, begin + locate_column(tl.load(column), frames, C, CELLS, False)[2])


@pytest.mark.parametrize(("dtype", "error"), [(torch.float32, 1e-6), (torch.float64, 1e-14)])
def test_the_hyperbolic_tangent_keeps_its_digits_near_zero(dtype, error, device):
    size = torch.logspace(-30, 1.5, 256, dtype=torch.float64)
    x = torch.cat([size, -size]).to(dtype).to(device)
    y = torch.empty_like(x)
    _tanh[(1,)](x, y, SIZE=512)
    np.testing.assert_allclose(y.double().cpu(), np.tanh(x.double().cpu()), rtol=error)


@pytest.mark.parametrize(
    ("channels", "cells", "frames"), [(64, 1 << 16, 1024), (1, 1 << 16, 40000)]
)
def test_offsets_within_a_sample_may_exceed_32_bits(channels, cells, frames, device):
    row, column, offset = torch.tensor([[2 * frames - 1], [channels * cells - 1], [0]]).to(device)
    _last_offset[(1,)](row, column, frames, offset, C=channels, CELLS=cells)
    assert offset.item() == 2 * channels * frames * cells - 1


@pytest.mark.parametrize("training", [False, True])
def test_weights_in_bfloat16_leave_cells_in_no_segment_unchanged(training, device):
    segments = Segments.stations([0], (1, 3), "identity")
    layer = LocalBN(1, segments, backend="triton", device=device, dtype=torch.bfloat16)
    x = torch.randn(4, 1, 1, 3, device=device, dtype=torch.bfloat16)
    assert torch.equal(layer.train(training)(x)[..., 1:], x[..., 1:])
