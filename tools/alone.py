"""Run the tests of each independent package in a copy that contains nothing else of spikeduel.

    python tools/alone.py [PACKAGE ...]      default: every independent package

`make test` runs these tests here only, so that they do not run twice.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Package:
    """An independent package: all parts of `src/spikeduel` that it needs, and what its tests need
    of `tests`.
    """

    sources: tuple[str, ...]
    helpers: tuple[str, ...] = ()


PACKAGES = {
    "statistics": Package(("statistics",)),
    "auditing": Package(
        ("auditing", "system", "__init__.py", "__init__.pyi"),
        ("made_audits.py", "made_events.py", "made_findings.py"),
    ),
    "engine": Package(
        ("engine", "inputs", "system", "features/__init__.py", "__init__.py", "__init__.pyi"),
        (
            "damage.py",
            "engine_fixtures.py",
            "made_events.py",
            "made_models.py",
            "made_normalised.py",
            "made_operations.py",
            "made_recordings.py",
        ),
    ),
}


def copied(name: str, package: Package, folder: Path) -> None:
    """Copy `package` and its tests into `folder`."""
    parts = [Path("src/spikeduel", part) for part in package.sources]
    parts += [Path("tests", part) for part in (name, *package.helpers)]
    for part in parts:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile
        copy(ROOT / part, folder / part)
    (folder / "src/spikeduel/__init__.py").touch()
    if "engine_fixtures.py" in package.helpers:
        names = "_own_folders, generator, numpy_generator"
        (folder / "tests/conftest.py").write_text(f"from engine_fixtures import {names}\n")
    (folder / "pytest.ini").write_text(
        "[pytest]\n"
        "addopts = --strict-markers --import-mode=importlib\n"
        "pythonpath = tests\n"
        "markers = numeric\n"
        "filterwarnings = error\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("packages", nargs="*", choices=[[], *PACKAGES], metavar="PACKAGE")
    arguments = parser.parse_args()
    failed = []
    for name in arguments.packages or PACKAGES:
        print(f"{name} alone:", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            copied(name, PACKAGES[name], Path(folder))
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "tests"],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(Path(folder, "src"))},
            )
            failed += [name] if done.returncode else []
    sys.exit(f"{', '.join(failed)}: tests fail without the rest of spikeduel" if failed else 0)


if __name__ == "__main__":
    main()
