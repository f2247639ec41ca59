"""The ConvLSTM on a GPU, with tensors of realistic sizes."""

import pytest
import torch

from tritonbn.models.convlstm_cell import ConvLSTMCell
from tritonbn.models.lstm_step import lstm_step

pytestmark = pytest.mark.gpu

FORMATS = [torch.contiguous_format, torch.channels_last]
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


@pytest.mark.parametrize("memory_format", FORMATS, ids=str)
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("has_cell", [True, False])
def test_step_equals_plain_operations_in_float64(has_cell, dtype, memory_format):
    torch.manual_seed(0)
    channels = (256, 256, 64) if has_cell else (192,)
    given = [
        torch.randn(32, c, 32, 32, device="cuda").to(dtype).contiguous(memory_format=memory_format)
        for c in channels
    ]
    given = [x.requires_grad_() for x in given]
    wide = [x.detach().double().requires_grad_() for x in given]
    if has_cell:
        i, f, g, o = (wide[0] + wide[1]).chunk(4, dim=1)
        cell = f.sigmoid() * wide[2] + i.sigmoid() * g.tanh()
    else:
        i, g, o = wide[0].chunk(3, dim=1)
        cell = i.sigmoid() * g.tanh()
    expected = o.sigmoid() * cell.tanh(), cell
    state = lstm_step(*given)
    weights = [torch.randn_like(value) for value in state]
    gradients = torch.autograd.grad(state, given, weights)
    references = torch.autograd.grad(expected, wide, [w.double() for w in weights])
    tolerance = TOLERANCE[dtype]
    for value, reference in zip((*state, *gradients), (*expected, *references), strict=True):
        assert value.dtype == dtype
        torch.testing.assert_close(value.double(), reference, rtol=tolerance, atol=tolerance)


def test_training_step_equals_that_on_the_cpu():
    torch.manual_seed(0)
    cell = ConvLSTMCell(1, 64).double()
    x = torch.rand(2, 12, 1, 32, 32, dtype=torch.float64)
    results = []
    for device in ("cpu", "cuda"):
        cell = cell.to(device)
        hidden = cell(x.to(device)).hidden
        gradients = torch.autograd.grad(hidden.square().mean(), list(cell.parameters()))
        results.append([t.detach().cpu() for t in (hidden, *gradients)])
    torch.testing.assert_close(*results)
