"""Activation checkpointing, and other uses that read saved tensors more than once."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint
from works_with.layers import CLOSE, Published, hold_to, step


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpoint(use_reentrant, training, make, x):
    norm = make().train(training)

    def checkpointed(leaf):
        return checkpoint(norm, leaf, use_reentrant=use_reentrant)

    leaf = x.clone().requires_grad_()
    checkpointed(leaf).sin().sum().backward()
    wanted = step(Published(make().train(training)), x, dy=(y_of(make, training, x)).cos())
    for got, expected in zip(
        (leaf.grad, norm.weight.grad, norm.bias.grad), wanted[1:], strict=True
    ):
        torch.testing.assert_close(got, expected, **CLOSE)


def y_of(make, training, x):
    return Published(make().train(training))(x).detach()


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("use_reentrant", [True, False])
def test_compiled_checkpoint(use_reentrant, training, make, x):
    norm = make().train(training)

    def checkpointed(leaf):
        return checkpoint(norm, leaf, use_reentrant=use_reentrant)

    compiled = torch.compile(checkpointed, fullgraph=True, backend="aot_eager")
    leaf, expected = (x.clone().requires_grad_() for _ in range(2))
    compiled(leaf).sin().sum().backward()
    Published(make().train(training))(expected).sin().sum().backward()
    torch.testing.assert_close(leaf.grad, expected.grad, **CLOSE)


def test_saved_tensors_may_live_elsewhere(make, x):
    norm = make()
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t.clone()):
        hold_to(Published(norm), norm, x)


def test_a_graph_may_be_kept(make, x):
    leaf = x.requires_grad_()
    y = make()(leaf)
    first, second = (torch.autograd.grad(y.sum(), leaf, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)
