"""Tools that search a model for batch norms find `LocalBN` and work with it."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import prune
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn
from works_with.layers import CHANNELS, CLOSE, GRID, SEGMENTS, Published, hold_to

from tritonbn import LocalBN


def batches(x):
    return [x, x + 1, 2 * x]


def test_update_bn(make, x):
    """Statistics are the average over all batches, and the momentum is restored."""
    norm = make(momentum=0.3)
    update_bn(batches(x), norm)
    expected = []
    for batch in batches(x):
        twin = Published(make(momentum=1.0))
        twin(batch)
        expected.append((twin.running_mean, twin.running_var))
    means, variances = zip(*expected, strict=True)
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0), **CLOSE)
    torch.testing.assert_close(norm.running_var, torch.stack(variances).mean(0), **CLOSE)
    assert norm.num_batches_tracked == 3
    assert norm.momentum == 0.3


@pytest.mark.parametrize("use_buffers", [True, False])
def test_averaged_model(use_buffers, make, x):
    model = nn.Sequential(make())
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=use_buffers)
    averaged.update_parameters(model)
    before = copy.deepcopy(model)
    with torch.no_grad():
        model[0].weight.add_(1)
        model(x)
    averaged.update_parameters(model)
    norm = averaged.module[0]
    torch.testing.assert_close(norm.weight, before[0].weight + 0.5)
    average = (before[0].running_var + model[0].running_var) / 2
    wanted = average if use_buffers else model[0].running_var
    torch.testing.assert_close(norm.running_var, wanted)
    hold_to(nn.Sequential(Published(norm)), averaged, x)


def test_freezing(make, x):
    """Freeze by type, as training scripts do: evaluation mode and no gradients."""
    model = nn.Sequential(nn.Conv2d(CHANNELS, CHANNELS, 1, device=x.device), make())
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.eval().requires_grad_(False)
    before = copy.deepcopy(model[1].state_dict())
    model(x).sum().backward()
    assert model[1].weight.grad is None
    assert model[0].weight.grad is not None
    torch.testing.assert_close(model[1].state_dict(), before, rtol=0, atol=0)


def test_freezing_by_the_flag_as_lightning_does_it(make, x):
    """`BaseFinetuning.freeze` sets `track_running_stats` to False."""
    norm = make()
    norm.track_running_stats = False
    before = copy.deepcopy(norm.state_dict())
    expected = Published(make())
    torch.testing.assert_close(norm(x), expected(x), **CLOSE)
    torch.testing.assert_close(norm.state_dict(), before, rtol=0, atol=0)
    torch.testing.assert_close(norm.eval()(x), Published(make()).eval()(x), **CLOSE)


def test_no_weight_decay_for_batch_norms():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), LocalBN(2, (3, 3)))
    decayed = [
        name
        for module_name, module in model.named_modules()
        if not isinstance(module, _BatchNorm)
        for name, _ in module.named_parameters(module_name, recurse=False)
    ]
    assert decayed == ["0.weight", "0.bias"]


@pytest.mark.parametrize("options", [{}, {"affine": False, "track_running_stats": False}])
@pytest.mark.parametrize("segments", SEGMENTS.values(), ids=SEGMENTS)
def test_synchronization_refuses_to_make_it_global(segments, options):
    model = nn.Sequential(nn.Conv2d(1, 2, 1), LocalBN(2, segments, **options))
    with pytest.raises(
        TypeError, match="LocalBN cannot be converted to a SyncBatchNorm, which is global"
    ):
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    assert isinstance(model[1], LocalBN)


def test_synchronized_layers_beside_it_are_left():
    norm = LocalBN(2, (3, 3))
    assert not hasattr(norm, "qconfig")
    norm.qconfig = "set by quantization"
    assert norm.qconfig == "set by quantization"


def test_statistics_are_dropped_for_functorch(make, x):
    norm = torch.func.replace_all_batch_norm_modules_(make())
    assert norm.running_mean is None
    torch.testing.assert_close(norm.eval()(x), Published(make())(x), **CLOSE)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_copies(copied, make, x):
    norm = make()
    twin = copied(norm)
    hold_to(Published(norm), twin, x)
    assert torch.equal(norm.running_mean, make().running_mean)


def test_initialization_by_type_finds_it():
    model = nn.Sequential(LocalBN(CHANNELS, GRID))
    model.apply(lambda m: nn.init.constant_(m.weight, 0.5) if isinstance(m, _BatchNorm) else None)
    assert (model[0].weight == 0.5).all()


def test_pruning(make, x):
    norm = make()
    expected = Published(norm)
    expected.weight.data[0] = 0.0
    mask = torch.ones_like(norm.weight)
    mask[0] = 0.0
    prune.custom_from_mask(norm, "weight", mask)
    torch.testing.assert_close(norm(x), expected(x), **CLOSE)


def test_hooks(make, x):
    norm, seen = make(), []
    norm.register_forward_hook(lambda module, inputs, y: seen.append(y.shape))
    norm.register_full_backward_hook(lambda module, dx, dy: seen.append(dx[0].shape))
    norm(x.requires_grad_()).sum().backward()
    assert seen == [x.shape, x.shape]
