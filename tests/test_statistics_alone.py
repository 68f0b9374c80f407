"""The statistics need NumPy and SciPy alone: a copy of nothing else passes their tests."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

from spikeduel import statistics

PACKAGE = Path(statistics.__file__).parent
TESTS = Path(__file__).parent / "statistics"


def test_it_imports_numpy_and_scipy_alone():
    imported = set()
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                imported.add(node.module)
            elif isinstance(node, ast.Import):
                imported.update(alias.name for alias in node.names)
    roots = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    assert roots == {"numpy", "scipy", "spikeduel"}
    within = {name for name in imported if name.startswith("spikeduel")}
    assert all(name.startswith("spikeduel.statistics.") for name in within)


def test_its_tests_pass_where_there_is_nothing_else(tmp_path):
    package = tmp_path / "spikeduel"
    shutil.copytree(PACKAGE, package / "statistics")
    (package / "__init__.py").touch()
    shutil.copytree(TESTS, tmp_path / "tests")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "--import-mode=importlib"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [*command, "tests"], cwd=tmp_path, env=environment, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
