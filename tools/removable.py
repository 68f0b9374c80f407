"""Delete each feature in a copy of the project, and check that everything else still works.

    python tools/removable.py [FEATURE ...]               default: every feature
    python tools/removable.py --one                       the one that the current commit chooses
    python tools/removable.py --together [FEATURE ...]    these at once; all leave the core

Of a feature, `src/spikeduel/features/NAME`, `tests/features/NAME`, `docs/features/NAME.md` and its
line of `FEATURES` are deleted. Then import contracts, types, a comparison and the other tests must
pass.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
REGISTRY = "src/spikeduel/features/__init__.py"
ALONE = ("engine", "statistics", "auditing")
"""Packages whose tests see no feature: `tools/alone.py` runs them."""

PARTS = ("src/spikeduel/features/{}", "tests/features/{}", "docs/features/{}.md")


def names() -> list[str]:
    """Return the features in the registry."""
    return re.findall(r'^    "(\w+)": "spikeduel\.features\.', (ROOT / REGISTRY).read_text(), re.M)


def copied(folder: Path) -> None:
    """Copy all files that git does not ignore into `folder`."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    for name in subprocess.check_output(listed, cwd=ROOT, text=True).split("\0"):
        if name and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def remove(folder: Path, feature: str) -> None:
    """Delete `feature` from the copy in `folder`."""
    for part in PARTS:
        path = folder / part.format(feature)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    registry = folder / REGISTRY
    lines = registry.read_text().splitlines(keepends=True)
    registry.write_text("".join(line for line in lines if f'"{feature}": ' not in line))


def check(folder: Path) -> list[str]:
    """Run all checks in `folder`; return those that failed."""
    python = [sys.executable, "-m"]
    in_parallel = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]
    ignored = [f"--ignore=tests/{package}" for package in ALONE]
    checks = {
        "import contracts": [str(Path(sys.executable).with_name("lint-imports"))],
        "types": [*python, "mypy"],
        "comparison": [*python, "spikeduel", "compare", "digits", "--epochs", "1"],
        "tests": [*python, "pytest", "-q", *in_parallel, *ignored],
    }
    environment = {**os.environ, "PYTHONPATH": str(folder / "src")}
    failed = []
    for name, command in checks.items():
        print(f"  {name}", flush=True)
        if subprocess.run(command, cwd=folder, env=environment).returncode:
            failed.append(name)
    return failed


def failed_without(features: list[str]) -> list[str]:
    """Delete `features` in a copy; return the checks that failed there."""
    print(f"without {', '.join(features)}:", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        copied(Path(folder))
        for feature in features:
            remove(Path(folder), feature)
        return check(Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("features", nargs="*", choices=[[], *names()], metavar="FEATURE")
    parser.add_argument("--one", action="store_true", help="only the one the commit chooses")
    parser.add_argument("--together", action="store_true", help="delete all of them at once")
    arguments = parser.parse_args()
    features = arguments.features or names()
    if arguments.one:
        commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=ROOT, text=True)
        features = [features[int(commit, 16) % len(features)]]
    groups = [features] if arguments.together else [[feature] for feature in features]
    failed = {", ".join(group): found for group in groups if (found := failed_without(group))}
    for group, found in failed.items():
        print(f"{group} cannot be removed: {', '.join(found)} failed.")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
