import inspect
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import spikeduel as sd
from spikeduel.system import __version__

HEAVY = ("torch", "numba", "matplotlib", "sklearn", "typer", "numpy", "rich")


def fresh(code, *arguments):
    """Return the output of `code` in a process of its own."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", sd.__all__)
def test_every_public_name_resolves(name):
    assert getattr(sd, name) is not None
    assert name in dir(sd)


def test_public_functions_and_classes_say_what_they_do():
    for name in sd.__all__:
        thing = getattr(sd, name)
        if inspect.isfunction(thing) or inspect.isclass(thing):
            assert inspect.getdoc(thing), name
            assert thing.__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="comapre"):
        _ = sd.comapre


def test_no_module_hides_a_function_of_its_name():
    # `import spikeduel.compare` would set it. `spikeduel.data` is a package by intent.
    assert [name for name in sd.__all__ if find_spec(f"spikeduel.{name}")] == ["data"]


@pytest.mark.parametrize(
    ("module", "needed"), [("spikeduel", set()), ("spikeduel.cli", {"typer", "rich"})]
)
def test_importing_imports_nothing_heavy(module, needed):
    code = f"import sys, {module}; print(*sys.modules)"
    assert set(fresh(code).split()) & set(HEAVY) <= needed


def test_the_program_is_installed():
    program = Path(sys.executable).with_name("spikeduel")
    if not program.is_file():
        pytest.skip("spikeduel is not installed as a program")
    version = subprocess.run([program, "--version"], capture_output=True, text=True)
    assert version.stdout == f"spikeduel {__version__}\n"
