from functools import wraps
from importlib.util import find_spec

import pytest
import torch


class WithoutTriton(pytest.Module):
    """A file that cannot be imported, as Triton is missing."""

    def collect(self):
        pytest.skip("Triton has packages for Linux only")


def pytest_pycollect_makemodule(module_path, parent):
    if find_spec("triton") is None:
        return WithoutTriton.from_parent(parent, path=module_path)


@pytest.fixture(autouse=True)
def poisoned_memory(monkeypatch):
    """Fill what is allocated with NaN, so that what a kernel leaves unwritten cannot pass."""

    def poisoned(allocate):
        @wraps(allocate)
        def function(*args, **options):
            memory = allocate(*args, **options)
            return memory.fill_(float("nan")) if memory.is_floating_point() else memory

        return function

    for owner, name in ((torch, "empty"), (torch, "empty_like"), (torch.Tensor, "new_empty")):
        monkeypatch.setattr(owner, name, poisoned(getattr(owner, name)))


@pytest.fixture
def small_tiles(monkeypatch):
    """Let every kernel need several programs, and its loops several turns, for little data."""
    from tritonbn.kernels import merging, tuning
    from tritonbn.kernels.configs import ONE_PASS_KERNELS, Config, suitable_configs

    def choose(kernel, problem, device):
        rows = suitable_configs(kernel, problem)[0].rows if kernel in ONE_PASS_KERNELS else 2
        return Config(rows, 4, 1)

    monkeypatch.setattr(tuning, "choose", choose)
    monkeypatch.setattr(merging, "merge_config", lambda entries: Config(4, 2, 1))


@pytest.fixture
def three_stages(monkeypatch):
    """Take three stages even where one pass would do."""
    from tritonbn.kernels import launch

    monkeypatch.setattr(launch, "fits_one_pass", lambda kernel, problem: False)
