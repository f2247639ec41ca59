import os

import pytest
import torch

with torch.device("cpu"):  # PyTorch caches its factory functions here, before a test wraps one
    torch.empty(0)
torch.set_num_threads(1)  # the tensors are so small that threads would only add overhead
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # the kernels run in the interpreter, on CPU tensors


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


@pytest.fixture
def device():
    """Return the device on which Triton runs: a GPU, or the CPU with the interpreter."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
