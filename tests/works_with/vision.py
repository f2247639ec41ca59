"""Networks of torchvision and timm, without pretrained weights."""

import copy
import functools
import re
import sys

import pytest
import torch
from torch import nn

from tritonbn import Segments, convert_batchnorm

OPTIONS = {
    ("torchvision", "resnet18"): {},
    ("torchvision", "mobilenet_v3_small"): {},
    ("timm", "efficientnet_b0"): {"drop_rate": 0.2, "drop_path_rate": 0.2, "bn_eps": 1e-3},
}
PACKAGES = {name: package for package, name in OPTIONS}
NAMES = tuple(PACKAGES)
_DECLARED = {
    name: f"{name}({arguments}) -> Tensor"
    for name, arguments in {
        "nms": "Tensor dets, Tensor scores, float iou_threshold",
        "qnms": "Tensor dets, Tensor scores, float iou_threshold",
    }.items()
}
_LIBRARIES = {}


def package(name):
    """Import torchvision, or timm, which imports it; skip the test if it is not installed.

    With a PyTorch without CUDA, the compiled part of torchvision from PyPI cannot be loaded, so the
    operators that it would define are missing. They are declared here, which is sufficient for the
    classifiers.
    """
    if name == "timm":
        package("torchvision")
    while True:
        try:
            return pytest.importorskip(name, reason=f"{name} is not installed")
        except RuntimeError as error:
            missing = re.search(r"operator torchvision::(\w+) does not exist", str(error))
            if not missing or missing[1] in _LIBRARIES or missing[1] not in _DECLARED:
                raise
            library = torch.library.Library("torchvision", "FRAGMENT")
            library.define(_DECLARED[missing[1]])
            _LIBRARIES[missing[1]] = library  # the operator would be deleted with it
            for module in list(sys.modules):
                if module.partition(".")[0] in ("torchvision", "timm"):
                    del sys.modules[module]


def untouched(name):
    """Return an unchanged network for ten classes, with the same weights every time."""
    return copy.deepcopy(_made(name))


@functools.cache
def _made(name):
    torch.manual_seed(0)
    options = OPTIONS[PACKAGES[name], name]
    if PACKAGES[name] == "timm":
        return package("timm").create_model(name, num_classes=10, **options)
    package("torchvision")
    from torchvision import models

    return getattr(models, name)(num_classes=10, **options)


def build(name, dtype=torch.float64):
    """Return a network in which every batch norm is an `nn.BatchNorm2d`.

    Their parameters are random, and their running statistics are those of one batch.
    """
    model = untouched(name).to(dtype)
    for parent in list(model.modules()):
        for key, child in list(parent.named_children()):
            if type(child).__name__ == "BatchNormAct2d":
                setattr(parent, key, nn.Sequential(_plain(child), child.drop, child.act))
    for norm in norms(model):
        assert type(norm) is nn.BatchNorm2d
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    torch.optim.swa_utils.update_bn([torch.randn(4, 3, 32, 32, dtype=dtype)], model)
    return model


def _plain(norm):
    plain = nn.BatchNorm2d(norm.num_features, norm.eps, norm.momentum).to(norm.weight.dtype)
    plain.load_state_dict(norm.state_dict(), strict=False)
    return plain


def norms(model):
    """Return the batch norms of a model, local or global, in the order of the model."""
    return [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]


def train_in_a_group(rank, folder):
    """Run one of two processes that train each network, and then the same with `LocalBN`.

    It is in this module because a new process cannot import test modules from any directory.
    """
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    generator = torch.Generator().manual_seed(rank)
    x = torch.randn(4, 3, 32, 32, generator=generator, dtype=torch.float64)
    results = {}
    for name in NAMES:
        original = build(name)
        converted = convert_batchnorm(copy.deepcopy(original), Segments.single, x)
        results[name] = [_step_together(model, x) for model in (original, converted)]
    torch.save(results, f"{folder}/rank{rank}")
    torch.distributed.destroy_process_group()


def _step_together(model, x):
    """Return gradients and buffers."""
    torch.manual_seed(0)
    distributed = nn.parallel.DistributedDataParallel(model)
    nn.functional.cross_entropy(distributed(x), torch.arange(len(x))).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return gradients, dict(model.named_buffers())
