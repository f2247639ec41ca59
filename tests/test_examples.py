"""Every public class and function has an example, and the examples of all modules run."""

import doctest
import importlib
import pkgutil

import pytest

import data_prep
import tritonbn
from tritonbn import experiment, models

PUBLIC = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (tritonbn, models, data_prep, experiment)
    for name in module.__all__
    if callable(getattr(module, name))
}
MODULES = [  # tests/data_prep/test_examples.py has those of data_prep
    module.name
    for module in pkgutil.walk_packages(tritonbn.__path__, "tritonbn.")
    if not module.name.endswith("__main__")
]
NEED_TRITON = ("tritonbn.kernels", "tritonbn.bench.kernels")


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_have_examples(name):
    found = doctest.DocTestFinder(exclude_empty=False).find(PUBLIC[name], name)
    assert any(test.examples for test in found)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run_with_no_other_names_than_they_import(name):
    if name.startswith(NEED_TRITON):
        pytest.importorskip("triton", reason="Triton has packages for Linux only")
    runner = doctest.DocTestRunner(verbose=False)
    for test in doctest.DocTestFinder().find(importlib.import_module(name), globs={}):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
