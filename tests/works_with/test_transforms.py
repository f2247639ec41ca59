"""Function transforms: `torch.func`, forward-mode differentiation, and `is_grads_batched`."""

import pickle

import pytest
import torch
from torch.autograd import forward_ad
from torch.func import (
    functional_call,
    grad,
    hessian,
    jacfwd,
    jacrev,
    jvp,
    stack_module_state,
    vjp,
    vmap,
)
from torch.testing import assert_close
from works_with.layers import GRID, Published

from tritonbn import Segments

CLOSE = {"rtol": 1e-8, "atol": 1e-8}


@pytest.fixture
def pair(make):
    """Return a layer and a reference layer in float64, in evaluation or without statistics."""

    def new(kind):
        norm = make(track_running_stats=kind == "evaluation", dtype=torch.float64)
        norm.train(kind == "training")
        return norm, Published(norm)

    return new


@pytest.fixture
def x(x):
    return x[:3].double()


KINDS = pytest.mark.parametrize("kind", ["training", "evaluation"])


def squared(layer):
    return lambda x: layer(x).sin().square().sum()


def jacobian(function, x):
    """Differentiate the elements of the result one by one."""
    leaf = x.clone().requires_grad_()
    y = function(leaf)
    rows = [torch.autograd.grad(e, leaf, retain_graph=True)[0] for e in y.flatten()]
    return torch.stack(rows).view(*y.shape, *x.shape)


def refuse_or_hold(norm, function, expected):
    """A named fast backend raises an error for these derivatives; "auto" uses another one."""
    with pytest.raises(ValueError, match=f'backend "{norm.backend}" supports neither forward-mode'):
        function(norm)
    norm.backend = "auto"
    assert_close(function(norm), expected, **CLOSE)
    norm.backend = "native"


def test_a_gradient_is_not_differentiated_forward_in_silence(pair, x):
    norm, _ = pair("training")
    leaf = x.clone().requires_grad_()
    y = norm(leaf)
    with forward_ad.dual_level():
        dy = forward_ad.make_dual(torch.ones_like(y), torch.ones_like(y))
        with pytest.raises(RuntimeError, match="jvp"):
            torch.autograd.grad(y, leaf, dy)


@KINDS
def test_jacobian(kind, pair, x):
    norm, twin = pair(kind)
    assert_close(jacrev(norm)(x), jacobian(twin, x), **CLOSE)


@KINDS
@pytest.mark.parametrize(
    "transform",
    [hessian, lambda f: jacrev(jacrev(f)), lambda f: jacfwd(grad(f))],
    ids=["hessian", "jacrev of jacrev", "jacfwd of grad"],
)
def test_hessians(transform, kind, pair, x):
    norm, twin = pair(kind)
    expected = torch.autograd.functional.hessian(squared(twin), x)
    refuse_or_hold(norm, lambda layer: transform(squared(layer))(x), expected)


@KINDS
def test_gradient(kind, pair, x):
    norm, twin = pair(kind)
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(squared(twin)(leaf), leaf)
    assert_close(grad(squared(norm))(x), expected, **CLOSE)


@KINDS
def test_vector_jacobian_product(kind, pair, x):
    norm, twin = pair(kind)
    y, product = vjp(norm, x)
    leaf = x.clone().requires_grad_()
    expected = twin(leaf)
    assert_close(y, expected.detach(), **CLOSE)
    (dx,) = torch.autograd.grad(expected, leaf, x.cos())
    assert_close(product(x.cos()), (dx,), **CLOSE)


@KINDS
def test_vmap_over_inputs(kind, pair, x):
    norm, twin = pair(kind)
    many = torch.stack([x, x + 1, x.square()])
    assert_close(vmap(norm)(many), torch.stack([twin(each) for each in many]), **CLOSE)
    assert_close(
        vmap(norm, in_dims=1, out_dims=2)(many.movedim(0, 1)).movedim(2, 0),
        torch.stack([twin(each) for each in many]),
        **CLOSE,
    )


@KINDS
def test_gradients_of_each_sample(kind, pair, x):
    norm, twin = pair(kind)
    many = torch.stack([x, x + 1])

    def loss(weight, each):
        return functional_call(norm, {"weight": weight}, (each,)).sin().sum()

    got = vmap(grad(loss), in_dims=(None, 0))(norm.weight.detach(), many)
    expected = [torch.autograd.grad(twin(each).sin().sum(), twin.weight)[0] for each in many]
    assert_close(got, torch.stack(expected), **CLOSE)


@KINDS
def test_an_ensemble(kind, pair, x):
    layers, twins = zip(*(pair(kind) for _ in range(2)), strict=True)
    with torch.no_grad():
        for layer in (layers[1], twins[1]):
            layer.weight.mul_(2)
    parameters, buffers = stack_module_state(layers)
    got = vmap(lambda p, b: functional_call(layers[0], (p, b), (x,)))(parameters, buffers)
    assert_close(got, torch.stack([twin(x) for twin in twins]), **CLOSE)


@pytest.mark.slow
@KINDS
@pytest.mark.parametrize("backend", ["auto"])
def test_compiled(kind, pair, x):
    """Compiled transforms use the reference, as fast backends do not support them in a graph."""
    norm, twin = pair(kind)
    mapped = torch.compile(vmap(norm), backend="aot_eager")
    assert_close(mapped(x[None])[0], twin(x), **CLOSE)
    differentiated = torch.compile(grad(squared(norm)), backend="aot_eager")
    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(squared(twin)(leaf), leaf)
    assert_close(differentiated(x), expected, **CLOSE)


@KINDS
def test_forward_mode(kind, pair, x):
    norm, twin = pair(kind)
    tangent = x.flip(0).cos()
    expected = torch.einsum("abcdefgh,efgh->abcd", jacobian(twin, x), tangent)

    def by_dual_numbers(layer):
        with forward_ad.dual_level():
            return forward_ad.unpack_dual(layer(forward_ad.make_dual(x, tangent))).tangent

    refuse_or_hold(norm, lambda layer: jvp(layer, (x,), (tangent,))[1], expected)
    refuse_or_hold(norm, by_dual_numbers, expected)
    refuse_or_hold(norm, lambda layer: jacfwd(layer)(x), jacobian(twin, x))


@KINDS
def test_batched_gradients_name_what_has_them(kind, pair, x):
    norm, twin = pair(kind)
    y = norm(x.requires_grad_())
    for batched in (
        lambda: torch.autograd.functional.jacobian(norm, x, vectorize=True),
        lambda: torch.autograd.grad(y, x, torch.stack([x, x]), is_grads_batched=True),
    ):
        with pytest.raises(NotImplementedError, match=r"use torch\.func\.jacrev, or backend="):
            batched()
    norm.backend = "reference"
    got = torch.autograd.functional.jacobian(norm, x, vectorize=True)
    assert_close(got, jacobian(twin, x), **CLOSE)


def test_an_ensemble_has_a_running_mean_each(make, x):
    layers, batches = [make(dtype=torch.float64) for _ in range(2)], torch.stack([x, x + 1])
    parameters, buffers = stack_module_state(layers)
    vmap(lambda p, b, each: functional_call(layers[0], (p, b), (each,)))(
        parameters, buffers, batches
    )
    for layer, each in zip(layers, batches, strict=True):
        layer(each)
    assert_close(buffers["running_mean"], torch.stack([n.running_mean for n in layers]), **CLOSE)
    assert_close(buffers["running_var"], torch.stack([n.running_var for n in layers]), **CLOSE)
    assert buffers["num_batches_tracked"].tolist() == [1, 1]


def test_gradients_of_an_ensemble_update_running_means(make, x):
    layers = [make(dtype=torch.float64) for _ in range(2)]
    parameters, buffers = stack_module_state(layers)

    def loss(p, b):
        return functional_call(layers[0], (p, b), (x,)).sin().sum()

    got = vmap(grad(loss))(parameters, buffers)
    expected = Published(layers[0])
    (weight,) = torch.autograd.grad(expected(x).sin().sum(), expected.weight)
    assert_close(got["weight"], torch.stack([weight, weight]), **CLOSE)
    assert_close(buffers["running_mean"], torch.stack([expected.running_mean] * 2), **CLOSE)


def test_segments_made_in_a_transform_outlive_it(x):
    made = []

    def function(x):
        made.append(Segments.per_cell(GRID))
        return x.sum()

    grad(function)(x)
    assert pickle.loads(pickle.dumps(made[0])) == Segments.per_cell(GRID)
    assert made[0].on(torch.device("cpu")).ids.tolist() == list(range(6))


def test_running_statistics_are_no_batch(make, x):
    norm = make()
    with pytest.raises(ValueError, match=r"running statistics cannot be updated under torch\.vmap"):
        vmap(norm)(x[None])
    assert torch.equal(norm.running_mean, make().running_mean)
