import os

import pytest
import torch

with torch.device("cpu"):  # PyTorch lists what makes tensors once, before a test wraps some of it
    torch.empty(0)
torch.set_num_threads(1)  # the tensors of the tests are small: threads would wait for one another
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # kernels are interpreted, on tensors of the CPU


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))


@pytest.fixture
def device():
    """Where Triton runs: on a GPU, or interpreted."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
