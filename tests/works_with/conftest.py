from shutil import which

import pytest
import torch
from torch.utils.cpp_extension import get_cxx_compiler
from works_with.layers import CHANNELS, GRID, SEGMENTS

from tritonbn import LocalBN


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    torch.compiler.reset()


@pytest.fixture
def cxx_compiler():
    """Skip tests of code that Inductor compiles where there is no C++ compiler."""
    if which(get_cxx_compiler()) is None:
        pytest.skip("there is no C++ compiler")


@pytest.fixture(params=SEGMENTS)
def segments(request):
    return SEGMENTS[request.param]


@pytest.fixture
def make(segments, backend, device):
    """Return a function that makes layers on the device with the same random parameters."""

    def new(**options):
        layer = LocalBN(CHANNELS, segments, backend=backend, device=device, **options)
        generator = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for tensor in (*layer.parameters(), layer.running_mean, layer.running_var):
                if tensor is not None:
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        return layer

    return new


@pytest.fixture
def x(device):
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(4, CHANNELS, *GRID, generator=generator) * 2 - 1).to(device)
