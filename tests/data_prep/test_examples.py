"""The examples of all modules of `data_prep` run, with no other names than they import."""

import doctest
import importlib
import pkgutil

import pytest

import data_prep

MODULES = [
    module.name
    for module in pkgutil.walk_packages(data_prep.__path__, "data_prep.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_import_what_they_use(name):
    runner = doctest.DocTestRunner(verbose=False)
    for test in doctest.DocTestFinder().find(importlib.import_module(name), globs={}):
        runner.run(test)
    assert runner.summarize(verbose=False).failed == 0
