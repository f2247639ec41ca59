"""Which backend "auto" chooses, in particular if Triton is installed but cannot run."""

import warnings
from types import SimpleNamespace

import pytest
import torch

from tritonbn import backends

GPU = SimpleNamespace(is_cuda=True, dtype=torch.float32, device=torch.device("cuda:7"))


@pytest.fixture(autouse=True)
def _nothing_tried_before():
    backends._tried.clear()
    yield
    backends._tried.clear()


@pytest.fixture
def probe():
    """Return the module with the test launch."""
    pytest.importorskip("triton", reason="Triton has packages for Linux only")
    from tritonbn.kernels import probe

    return probe


def test_a_gpu_that_triton_cannot_use_is_left_to_pytorch(monkeypatch, probe):
    """If the test launch fails (no C compiler, for example), one warning gives the reason."""

    def run(device):
        raise RuntimeError("Failed to find C compiler.\nPlease specify via CC")

    monkeypatch.setattr(probe, "run", run)
    with pytest.warns(UserWarning, match="Triton cannot run on cuda:7.*Failed to find C compiler"):
        assert backends.choose_backend("auto", GPU) == "native"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert backends.choose_backend("auto", GPU) == "native"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.usefixtures("probe")
def test_the_probe_fails_where_there_is_no_gpu():
    with pytest.warns(UserWarning, match="Triton cannot run on cuda:7"):
        assert backends.choose_backend("auto", GPU) == "native"


def test_a_gpu_that_triton_can_use(monkeypatch, probe):
    tried = []
    monkeypatch.setattr(probe, "run", tried.append)
    for _ in range(2):
        assert backends.choose_backend("auto", GPU) == "triton"
    assert tried == [GPU.device]


def test_compiled_code_does_not_look_into_the_probe(monkeypatch, probe):
    monkeypatch.setattr(probe, "run", lambda device: None)

    def function(x):
        return x + 1 if backends._runs_on(GPU.device) else x

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        compiled = torch.compile(function, fullgraph=True, backend="eager")
        assert compiled(torch.zeros(1)) == 1


@pytest.mark.parametrize("wanted", ["native", "reference"])
def test_a_named_backend_is_used(wanted):
    assert backends.choose_backend(wanted, GPU) == wanted


def test_the_processor_is_left_to_pytorch():
    assert backends.choose_backend("auto", torch.zeros(1)) == "native"
