"""Statistics over the ranks of a process group of nccl; this machine may have a single GPU."""

import pytest
import torch
from torch import nn

from tritonbn import LocalBN, Segments

pytestmark = pytest.mark.gpu

GRID = (32, 32)


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    if not torch.distributed.is_nccl_available():
        pytest.skip("this PyTorch has no nccl")
    meeting = tmp_path_factory.mktemp("group") / "meeting"
    torch.distributed.init_process_group(
        "nccl", init_method=f"file://{meeting}", rank=0, world_size=1
    )
    yield torch.distributed.group.WORLD
    torch.distributed.destroy_process_group()


def results(layer, x):
    leaf = x.clone().requires_grad_()
    y = layer(leaf)
    gradients = torch.autograd.grad(y.pow(3).sum(), (leaf, layer.weight, layer.bias))
    statistics = layer.running_mean, layer.running_var
    return [t.flatten() for t in (y.detach(), *gradients, *statistics)]


@pytest.mark.parametrize("backend", ["triton", "native", "reference"])
def test_one_segment_is_sync_batch_norm(group, backend):
    x = torch.randn(8, 16, *GRID, device="cuda")
    layer = LocalBN(16, Segments.single(GRID), backend=backend, process_group=group, device="cuda")
    for got, expected in zip(
        results(layer, x), results(nn.SyncBatchNorm(16, device="cuda"), x), strict=True
    ):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-3)


def test_one_rank_is_no_group(group):
    x = torch.randn(8, 16, *GRID, device="cuda")
    segments = Segments.nearest(range(16, 1024, 32), GRID)
    alone, together = (
        results(LocalBN(16, segments, process_group=one, device="cuda"), x) for one in (None, group)
    )
    for got, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
