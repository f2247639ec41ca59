"""Statistics over ranks: the results are those of one process on the whole batch."""

import functools

import pytest
import torch
from ranks.cases import CASES, run_cases, whole
from ranks.processes import run_ranks

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="PyTorch without distribution"
)

CLOSE = {
    torch.float32: {"rtol": 1e-6, "atol": 1e-6},
    torch.float64: {"rtol": 1e-12, "atol": 1e-12},
}


@pytest.fixture(scope="module", params=[2, 4], ids="{} ranks".format)
def ranks(request, tmp_path_factory):
    """Return the number of ranks, and a function from a dtype to the results of all cases."""
    world = request.param

    @functools.cache
    def results(dtype):
        return run_ranks(run_cases, world, tmp_path_factory.mktemp("group"), CASES, dtype)

    return world, results


@pytest.mark.parametrize("case", CASES, ids="-".join)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_one_process_on_the_whole_batch(ranks, dtype, case):
    if case.backend == "triton":
        pytest.importorskip("triton", reason="Triton has packages for Linux only")
    world, results = ranks
    got = [of_rank[case] for of_rank in results(dtype)]
    close = CLOSE[dtype]
    expected = whole(case, world, dtype)
    for name in ("output", "input"):
        together = torch.cat([r[name] for r in got])
        torch.testing.assert_close(together, expected[name], check_dtype=False, **close)
    for name in {"weight", "bias", "log_tau"} & {*expected}:
        total = sum(r[name].double() for r in got)
        torch.testing.assert_close(total, expected[name], **close)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(got[0][name].double(), expected[name], **close)
        assert all(torch.equal(r[name], got[0][name]) for r in got)
