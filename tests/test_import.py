"""Importing the layer imports torch, but no other large package."""

import subprocess
import sys

import pytest

HEAVY = ("pandas", "matplotlib", "pyarrow", "triton", "rich", "data_prep")


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_import_loads_nothing_heavy():
    code = f"import sys, tritonbn; print([m for m in {HEAVY} if m in sys.modules])"
    result = run(code)
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize("module", ["tritonbn", "tritonbn.experiment.networks.train"])
def test_works_where_triton_is_not_installed(module):
    """With None in sys.modules, `import triton` fails as if Triton were not installed."""
    result = run(
        f"import sys; sys.modules['triton'] = None\n"
        f"import torch, tritonbn, {module}\n"
        f"x = torch.randn(4, 2, 3, 3, requires_grad=True)\n"
        f"tritonbn.LocalBN(2, (3, 3))(x).square().sum().backward()\n"
        f"print(x.grad.shape)"
    )
    assert result.stdout.strip() == "torch.Size([4, 2, 3, 3])", result.stderr
