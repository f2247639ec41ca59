import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from tritonbn import LocalBN, Segments, convert_batchnorm, revert_batchnorm

SEGMENTS = Segments.nearest([0, 8, 29], (5, 6))


def trained_model():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4, eps=1e-3, momentum=None),
        nn.Sequential(nn.ReLU(), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2, affine=False)),
    )
    for _ in range(3):
        model(torch.randn(8, 1, 5, 6))
    return model


def test_evaluation_is_unchanged():
    model = trained_model().eval()
    x = torch.randn(4, 1, 5, 6)
    before = model(x)
    converted = convert_batchnorm(model, SEGMENTS)
    assert [type(m) for m in converted.modules() if not [*m.children()]] == [
        nn.Conv2d,
        LocalBN,
        nn.ReLU,
        nn.Conv2d,
        LocalBN,
    ]
    torch.testing.assert_close(converted(x), before)


def test_settings_are_carried_over():
    model = trained_model()
    model[1].weight.requires_grad_(False)
    local = convert_batchnorm(model, SEGMENTS)[1]
    assert (local.eps, local.momentum, local.training) == (1e-3, None, True)
    assert local.num_batches_tracked == 3
    assert not local.weight.requires_grad
    assert local.bias.requires_grad


@pytest.mark.parametrize("options", [{}, {"track_running_stats": False}, {"affine": False}])
def test_a_bare_layer(options):
    norm = nn.BatchNorm2d(4, dtype=torch.float64, **options).eval()
    local = convert_batchnorm(norm, SEGMENTS)
    assert isinstance(local, LocalBN)
    assert not local.training
    assert {t.dtype for t in local.state_dict().values() if t.is_floating_point()} <= {
        torch.float64
    }


def test_a_model_without_batch_norm_is_left_alone():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm1d(3))
    assert [type(m) for m in convert_batchnorm(model, SEGMENTS)] == [nn.Conv2d, nn.BatchNorm1d]


class WithActivation(nn.BatchNorm2d):
    """A subclass with an activation, like timm's `BatchNormAct2d`."""

    def forward(self, x):
        return super().forward(x).relu()


def test_subclasses_are_left_alone_and_named():
    model = nn.Sequential(nn.BatchNorm2d(2), nn.Sequential(WithActivation(2)), nn.SyncBatchNorm(2))
    model.append(nn.LazyBatchNorm2d())
    named = r"1\.0 \(WithActivation\), 2 \(SyncBatchNorm\), 3 \(LazyBatchNorm2d\)"
    with pytest.warns(UserWarning, match=named):
        convert_batchnorm(model, SEGMENTS)
    assert [type(m) for m in (model[0], model[1][0], model[2])] == [
        LocalBN,
        WithActivation,
        nn.SyncBatchNorm,
    ]


def test_a_layer_under_two_names_stays_one():
    norm = nn.BatchNorm2d(2)
    model = nn.ModuleDict({"first": norm, "inner": nn.Sequential(nn.ReLU(), norm), "again": norm})
    convert_batchnorm(model, SEGMENTS)
    assert isinstance(model["first"], LocalBN)
    assert model["first"] is model["inner"][1]
    assert model["first"] is model["again"]


def test_hooks_are_kept_and_can_still_be_removed():
    model, seen = nn.Sequential(nn.BatchNorm2d(2)), []
    handles = [
        model[0].register_forward_hook(lambda module, x, y: seen.append("forward")),
        model[0].register_forward_pre_hook(lambda module, x: seen.append("before")),
        model[0].register_full_backward_hook(lambda module, dx, dy: seen.append("backward")),
        model[0].register_state_dict_pre_hook(lambda module, prefix, keep: seen.append("saved")),
        model[0].register_load_state_dict_pre_hook(
            lambda module, *_: seen.append(f"loads {type(module).__name__}")
        ),
    ]
    convert_batchnorm(model, SEGMENTS)
    model(torch.randn(4, 2, 5, 6, requires_grad=True)).sum().backward()
    model.load_state_dict(model.state_dict())
    assert seen == ["before", "forward", "backward", "saved", "loads LocalBN"]
    for handle in handles:
        handle.remove()
    model(torch.randn(4, 2, 5, 6))
    assert len(seen) == 5


@pytest.mark.parametrize("training", [True, False])
def test_device_types_modes_and_flags_are_kept(training):
    norm = nn.BatchNorm2d(2, device="meta", dtype=torch.float16).train(training)
    norm.running_mean, norm.running_var = norm.running_mean.double(), norm.running_var.double()
    norm.bias.requires_grad_(False)
    for converted in (
        convert_batchnorm(norm, SEGMENTS),
        revert_batchnorm(convert_batchnorm(norm, Segments.single((5, 6)))),
    ):
        assert converted.training == training
        assert {t.device.type for t in converted.parameters()} == {"meta"}
        assert converted.running_var.dtype == torch.float64
        assert [p.dtype for p in converted.parameters()] == [torch.float16] * 2
        assert [p.requires_grad for p in converted.parameters()] == [True, False]


def network():
    """Two batch norms on grids of different sizes."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1),
        nn.BatchNorm2d(2),
        nn.ReLU(inplace=True),
        nn.Conv2d(2, 3, 3, stride=2, padding=1),
        nn.BatchNorm2d(3),
    )


def test_each_layer_gets_segments_of_its_own_grid():
    model, example = network(), torch.randn(1, 1, 5, 6)
    before = copy.deepcopy(model.state_dict())
    random = torch.get_rng_state()
    convert_batchnorm(model, Segments.per_cell, example)
    assert model[1].segments == Segments.per_cell((5, 6))
    assert model[4].segments == Segments.per_cell((3, 3))
    assert model.training
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(model[4].running_var[:, 0], before["4.running_var"])
    assert model[1].num_batches_tracked == 0


def test_an_example_of_several_inputs_is_a_tuple():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.fine, self.coarse = nn.BatchNorm2d(1), nn.BatchNorm2d(2)

        def forward(self, x, y):
            return self.fine(x), self.coarse(y)

    example = torch.randn(1, 1, 5, 6), torch.randn(1, 2, 3, 4)
    model = convert_batchnorm(Pair(), Segments.per_cell, example)
    assert model.fine.segments == Segments.per_cell((5, 6))
    assert model.coarse.segments == Segments.per_cell((3, 4))


def test_a_layer_may_be_called_with_its_input_by_name():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm2d(1)

        def forward(self, x):
            return self.norm(input=x)

    model = convert_batchnorm(Named(), Segments.single, torch.randn(1, 1, 5, 6))
    assert model.norm.segments == Segments.single((5, 6))


def test_layers_without_one_grid_are_named():
    model = network()
    with pytest.raises(ValueError, match="an example input must be given"):
        convert_batchnorm(model, Segments.single)
    model.add_module("unused", nn.Identity())
    model.unused.norm = nn.BatchNorm2d(1)
    with pytest.raises(ValueError, match=r"unused\.norm works on no grid"):
        convert_batchnorm(model, Segments.single, torch.randn(1, 1, 5, 6))
    norm = nn.BatchNorm2d(1)
    shared = nn.Sequential(norm, nn.MaxPool2d(2), norm)
    with pytest.raises(ValueError, match=r"0 works on \(2, 3\) and \(4, 6\)"):
        convert_batchnorm(shared, Segments.single, torch.randn(1, 1, 4, 6))
    assert type(model[1]) is type(shared[0]) is nn.BatchNorm2d


@pytest.mark.parametrize("given", [(5, 6), SEGMENTS.ids, [SEGMENTS, SEGMENTS]])
def test_what_makes_no_segments_is_refused(given):
    model, example = network(), torch.randn(1, 1, 5, 6)
    with pytest.raises(TypeError, match=r"segments must be tritonbn\.Segments, or a function"):
        convert_batchnorm(model, given, example)
    with pytest.raises(ValueError, match=r"segments\(\(5, 6\)\) must return tritonbn.Segments of"):
        convert_batchnorm(model, lambda grid: given, example)
    with pytest.raises(ValueError, match=r"segments\(\(3, 3\)\) must .* got Segments\(30 on 5x6\)"):
        convert_batchnorm(model, lambda grid: Segments.per_cell((5, 6)), example)
    assert type(model[1]) is nn.BatchNorm2d


@pytest.mark.parametrize(
    "options", [{}, {"affine": False}, {"track_running_stats": False}, {"momentum": None}]
)
def test_reverting_restores_the_original(options):
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4, **options)).double()
    for _ in range(2):
        model(torch.randn(8, 1, 5, 6).double())
    before = copy.deepcopy(model)
    convert_batchnorm(model, Segments.single((5, 6)))
    x = torch.randn(8, 1, 5, 6).double()
    torch.testing.assert_close(model(x), before(x), rtol=1e-9, atol=1e-9)
    revert_batchnorm(model)
    assert repr(model) == repr(before)
    torch.testing.assert_close(model.state_dict(), before.state_dict())
    bare = revert_batchnorm(LocalBN(4, Segments.single((5, 6)), bias=False))
    assert type(bare) is nn.BatchNorm2d
    assert bare.bias is None


class Doubled(LocalBN):
    """A subclass, which computes something else."""


SINGLE = Segments.single((5, 6))


@pytest.mark.parametrize(
    ("local", "difference"),
    [
        (Doubled(2, SINGLE), "is a Doubled"),
        (LocalBN(2, [SEGMENTS, SINGLE], pooling=1.0), "has several levels"),
        (LocalBN(2, Segments.single((6,))), "has a grid of 1 dimensions"),
        (LocalBN(2, SEGMENTS), r"has Segments\(3 on 5x6\), not one segment of all cells"),
        (LocalBN(2, Segments([[0, -1]])), r"has Segments\(1 on 1x2, 1 cells in none\), not one"),
        (LocalBN(2, SINGLE, activation="relu"), "has the activation relu"),
        (LocalBN(2, SINGLE, process_group="0"), "has a process group"),
    ],
)
def test_layers_without_an_equivalent_are_not_reverted(local, difference):
    model = nn.Sequential(LocalBN(2, SINGLE), local)
    with pytest.raises(ValueError, match=f"1 is not equivalent to a BatchNorm2d: it {difference}"):
        revert_batchnorm(model)
    assert isinstance(model[0], LocalBN)


@pytest.mark.parametrize("parameter", ["weight", "bias"])
def test_a_pruned_layer_is_refused(parameter):
    model = nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4))
    prune.l1_unstructured(model[1], parameter, 1)
    with pytest.raises(ValueError, match=f"the {parameter} of 1 is no parameter, .*prune.remove"):
        convert_batchnorm(model, SEGMENTS)
    prune.remove(model[1], parameter)
    local = convert_batchnorm(model, Segments.single((5, 6)))
    prune.l1_unstructured(local[1], parameter, 1)
    with pytest.raises(ValueError, match=f"the {parameter} of 1 is no parameter"):
        revert_batchnorm(local)


def test_an_example_may_be_a_single_sample():
    layers = [nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(60, 4), nn.BatchNorm1d(4)]
    model = convert_batchnorm(nn.Sequential(*layers), Segments.per_cell, torch.rand(1, 2, 5, 6))
    assert model[0].segments == Segments.per_cell((5, 6))
    assert model.training
    assert model[3].training
