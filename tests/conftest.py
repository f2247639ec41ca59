import os

import pytest
import torch

with torch.device("cpu"):  # PyTorch caches its factory functions here, before a test wraps one
    torch.empty(0)
# the tensors are so small that threads would only add overhead, also in processes that tests start
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # the kernels run in the interpreter, on CPU tensors


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at its options
def pytest_cmdline_main(config):
    """Run `pytest` without arguments in parallel, where pytest-xdist is installed."""
    whole_suite = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if (
        whole_suite
        and not hasattr(config, "workerinput")
        and config.pluginmanager.hasplugin("xdist")
    ):
        if config.option.numprocesses is None:
            config.option.numprocesses = "auto"
            config.option.maxprocesses = 4  # each needs about 1 GB of memory
        if config.option.dist == "no":
            config.option.dist = "loadfile"  # as tests of a file share fixtures


@pytest.hookimpl(tryfirst=True)  # before `-m` selects by the markers
def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))
            if item.get_closest_marker("slow_interpreted"):
                item.add_marker(pytest.mark.slow)


@pytest.fixture
def device():
    """Return the device on which Triton runs: a GPU, or the CPU with the interpreter."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture(params=["native", "triton"])
def backend(request):
    """Return the name of a backend; a test may parametrize it with other ones, `indirect`."""
    if request.param == "triton":
        pytest.importorskip("triton", reason="Triton has packages for Linux only")
    return request.param
