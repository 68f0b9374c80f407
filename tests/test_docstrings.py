"""The examples in docstrings run, and public functions and classes are described completely."""

import doctest
import importlib
import inspect
from pathlib import Path

import pytest

import spikeduel as sd

ROOT = Path(sd.__file__).parent
WITH_EXAMPLES = [
    ".".join(["spikeduel", *file.relative_to(ROOT).with_suffix("").parts])
    for file in sorted(ROOT.rglob("*.py"))
    if "\n    >>> " in file.read_text() or "\n>>> " in file.read_text()
]
PUBLIC = [
    name
    for name in sd.__all__
    if inspect.isclass(getattr(sd, name)) or inspect.isfunction(getattr(sd, name))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the run that examples read."""
    folder = tmp_path_factory.mktemp("examples")
    sd.compare(
        sd.recipes.strong("digits", epochs=1, seeds=1),
        folder / "runs/digits",
        folder / "runs/store",
    )
    return folder


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_run(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    module = importlib.import_module(name.removesuffix(".__init__"))
    ran = doctest.testmod(module, optionflags=doctest.ELLIPSIS)
    assert ran.attempted > 0
    assert ran.failed == 0


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_has_an_example(name):
    assert "Examples\n--------\n" in inspect.getdoc(getattr(sd, name))


@pytest.mark.parametrize("name", [name for name in PUBLIC if inspect.isfunction(getattr(sd, name))])
def test_a_public_function_describes_its_parameters_and_result(name):
    function = getattr(sd, name)
    text = inspect.getdoc(function)
    described = {
        parameter.strip()
        for line in text.splitlines()
        if not line.startswith(" ")
        for parameter in line.split(" : ")[0].split(",")
    }
    assert set(inspect.signature(function).parameters) <= described
    assert "Returns\n-------\n" in text or "Yields\n------\n" in text
