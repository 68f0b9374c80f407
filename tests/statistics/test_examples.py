"""The examples in docstrings run, and every public function has one."""

import doctest
import importlib
import inspect
import pkgutil

import pytest

from spikeduel import statistics

MODULES = [module.name for module in pkgutil.iter_modules(statistics.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name):
    ran = doctest.testmod(importlib.import_module(f"{statistics.__name__}.{name}"))
    assert ran.attempted > 0
    assert ran.failed == 0


def test_every_public_function_has_an_example():
    functions = [value for value in vars(statistics).values() if inspect.isfunction(value)]
    assert functions
    assert [function.__name__ for function in functions if ">>> " not in function.__doc__] == []
