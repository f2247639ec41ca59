"""In-place changes of the output of a layer."""

import pytest
import torch
from layouts import in_layout
from torch import nn
from works_with.layers import Published, hold_to, step

IN_PLACE = {
    "ReLU": nn.ReLU(inplace=True),
    "SiLU": nn.SiLU(inplace=True),
    "Hardswish": nn.Hardswish(inplace=True),
    "Dropout": nn.Dropout(0.0, inplace=True),
}


class Residual(nn.Module):
    """The end of a residual block: ``y += x`` and an in-place activation."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        y = self.norm(x)
        y += x
        return nn.functional.relu_(y)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "strided"])
def test_a_sum_and_an_activation(layout, training, make, x):
    norm = make().train(training)
    x = in_layout(x, layout)
    hold_to(Residual(Published(norm)), Residual(norm), x)


@pytest.mark.parametrize("name", IN_PLACE)
def test_activations(name, make, x):
    norm = make()
    hold_to(nn.Sequential(Published(norm), IN_PLACE[name]), nn.Sequential(norm, IN_PLACE[name]), x)


@pytest.mark.parametrize("activation", ["silu", "sigmoid", "tanh"])
def test_after_the_activation_of_the_layer(activation, make, x):
    norm = make(activation=activation)
    function = getattr(nn.functional, activation)
    y = norm(x)
    expected = function(Published(make())(x)) * 2
    torch.testing.assert_close(y.mul(2), expected)
    with torch.no_grad():
        torch.testing.assert_close(norm(x).mul_(2), expected)


@pytest.mark.parametrize("training", [True, False])
def test_under_autocast(training, make, x):
    torch.manual_seed(0)  # the weights of the convolution
    norm = make().train(training)
    published = Published(norm)
    before = nn.Conv2d(x.shape[1], x.shape[1], 1, device=x.device)
    results = []
    for layer in (norm, published):
        model = nn.Sequential(before, layer, nn.ReLU(inplace=True))
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            y, *gradients = step(model, x)
        assert y.dtype == torch.bfloat16
        results.append([y, *gradients])
    for got, wanted in zip(*results, strict=True):
        torch.testing.assert_close(got, wanted, rtol=0.05, atol=0.1)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(norm, name), getattr(published, name))


@pytest.mark.parametrize("training", [True, False])
def test_views_of_the_result_may_be_written_to(training, make, x):
    leaf = x.requires_grad_()
    y = make().train(training)(leaf)
    y[:, 0].zero_()
    y.view(-1)[-1] = 3.0
    (gradient,) = torch.autograd.grad(y.sum(), leaf)
    expected = Published(make().train(training))(leaf).clone()
    expected[:, 0] = 0.0
    expected.view(-1)[-1] = 3.0
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.sum(), leaf)[0])


def test_no_result_is_a_view(make, x):
    for tensor in (x, x.movedim(1, -1).contiguous().movedim(-1, 1)):
        for training in (True, False):
            assert not make().train(training)(tensor)._is_view()
