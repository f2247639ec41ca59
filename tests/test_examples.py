"""Every public class and function has an example in its docstring, and the example runs."""

import doctest

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


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_run(name):
    found = doctest.DocTestFinder(exclude_empty=False).find(PUBLIC[name], name)
    assert any(test.examples for test in found)
    runner = doctest.DocTestRunner(verbose=False)
    for test in found:
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
