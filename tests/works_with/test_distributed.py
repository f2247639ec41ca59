"""A layer with an in-place activation, trained by two processes over gloo."""

import pytest
import torch
from works_with.layers import CLOSE, SEGMENTS, train_in_a_group


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="PyTorch without distribution")
def test_two_processes(backend, device, tmp_path):
    if backend == "triton" and device.type != "cpu":
        pytest.skip("with a GPU the kernels are not interpreted, and this trains on the CPU")
    torch.multiprocessing.spawn(train_in_a_group, (str(tmp_path), backend), nprocs=2)
    first, second = (torch.load(tmp_path / f"rank{rank}") for rank in range(2))
    for name in SEGMENTS:
        for results in (first[name], second[name]):
            torch.testing.assert_close(*results, check_dtype=False, **CLOSE)
        mine, others = first[name][0], second[name][0]
        assert all(torch.equal(a, b) for a, b in zip(mine[:2], others[:2], strict=True))
        # each process has seen different data, and gets the buffers of the first before a call
        assert not any(torch.equal(a, b) for a, b in zip(mine[2:4], others[2:4], strict=True))
        for buffers in (mine[4:6], others[4:6]):
            assert all(torch.equal(a, b) for a, b in zip(mine[2:4], buffers, strict=True))
