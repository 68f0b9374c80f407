"""The audit is a package of its own: its tests pass beside `spikeduel.system` alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "spikeduel"
MODULES = (
    "__init__.py",
    "__init__.pyi",
    "system",
    "auditing",
)
"""The package, and what it may import."""
ITS_TESTS = ("auditing",)
BUILDERS = ("made_audits.py", "made_events.py", "made_findings.py")


@pytest.fixture
def alone(tmp_path):
    """A folder that contains the audit, its tests and nothing else of spikeduel."""
    parts = [(SOURCE, tmp_path / "src" / "spikeduel", name) for name in MODULES]
    parts += [(TESTS, tmp_path / "tests", name) for name in (*ITS_TESTS, *BUILDERS)]
    for source, target, name in parts:
        copy = shutil.copytree if (source / name).is_dir() else shutil.copyfile
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        copy(source / name, target / name)
    return tmp_path


def test_the_audits_own_tests_pass_in_a_copy_that_contains_nothing_else(alone):
    (alone / "pytest.ini").write_text("[pytest]\npythonpath = tests\nfilterwarnings = error\n")
    command = "-m pytest -q -p no:cacheprovider -p no:randomly --import-mode=importlib tests"
    done = subprocess.run(
        [sys.executable, *command.split()],
        cwd=alone,
        env={**os.environ, "PYTHONPATH": str(alone / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert " passed" in done.stdout
