import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from spikeduel.system.errors import InputError
from spikeduel.system.registry import resolve, source_hash

REGISTRY = {"relu": 1, "lif": 2}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a user's code, which is the current one."""
    (tmp_path / "own_code.py").write_text(
        "class Box:\n    inner = 5\n\ndef make():\n    return 1\n\nthing = Box()\n"
    )
    (tmp_path / "own_broken.py").write_text("1 / 0\n")
    (tmp_path / "own_syntax.py").write_text("def (\n")
    (tmp_path / "own_exit.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "own_needs.py").write_text("import no_such_package_at_all\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


@pytest.mark.parametrize(("name", "value"), [("lif", 2), ("own_code:Box.inner", 5)])
def test_names_are_of_the_registry_or_of_own_code(own: Path, name: str, value: int) -> None:
    before = list(sys.path)
    assert resolve("neuron", name, REGISTRY) == value
    assert sys.path == before


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(
        InputError, match=r"unknown neuron 'lfi': did you mean 'lif'\? Or your own\."
    ):
        resolve("neuron", "lfi", REGISTRY, "Or your own.")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("own_absent:make", "neuron 'own_absent:make': no module 'own_absent', neither in"),
        ("own_code.deeper:make", "no module 'own_code.deeper'"),
        ("own_code:maek", "did you mean 'make'"),
        ("own_broken:make", "own_broken cannot be imported .ZeroDivisionError"),
        ("own_syntax:make", "own_syntax cannot be imported .SyntaxError"),
        ("own_exit:make", "own_exit cannot be imported .SystemExit"),
        ("own_needs:make", "own_needs cannot be imported .*no_such_package_at_all"),
        (":make", "write it as module:attribute"),
        ("own_code:", "write it as module:attribute"),
        ("own code:make", "write it as module:attribute"),
        (".own_code:make", "write it as module:attribute"),
    ],
)
def test_own_code_that_cannot_be_used(own: Path, name: str, problem: str) -> None:
    before = list(sys.path)
    with pytest.raises(InputError, match=problem):
        resolve("neuron", name, REGISTRY)
    assert sys.path == before


def test_source_hash_is_that_of_the_file(own: Path) -> None:
    expected = hashlib.sha256((own / "own_code.py").read_bytes()).hexdigest()
    for attribute in ("make", "Box", "thing"):
        assert source_hash(resolve("neuron", f"own_code:{attribute}", REGISTRY)) == expected
    (own / "own_code.py").write_text("def make():\n    return 2\n")
    del sys.modules["own_code"]
    assert source_hash(resolve("neuron", "own_code:make", REGISTRY)) != expected


def test_source_hash_of_what_has_no_source() -> None:
    with pytest.raises(InputError, match="source of len cannot be read"):
        source_hash(len)
