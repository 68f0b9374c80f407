"""docs/adding.md writes a whole feature: in a copy of src, its blocks and its line are all that it needs."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
REGISTRY = "src/spikeduel/features/__init__.py"
NAME = "shift_consistency"
BLOCK = re.compile(r"^```(?:python|jinja)\n(?:# |{# )(src/[\w./]+)[^\n]*\n(.*?)^```$", re.M | re.S)

PROGRAM = """
from factories import untimed
from spikeduel.cli import program
from spikeduel.evaluation import latency

latency.latency = untimed
program()
"""
"""Inference is not timed, which would take most of the time."""


@pytest.fixture(scope="module")
def blocks():
    """Return the code of the page's feature by file name."""
    return dict(BLOCK.findall((ROOT / "docs" / "adding.md").read_text("utf-8")))


@pytest.fixture(scope="module")
def project(tmp_path_factory, blocks):
    """A copy of src with the feature of the page."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "src", folder / "src")
    for name, code in blocks.items():
        path = folder / name
        if name == REGISTRY:
            text = path.read_text("utf-8")
            code = re.sub(r"^FEATURES: .*{\n.*?(?=^})", rf"\g<0>{code}", text, flags=re.M | re.S)
        else:
            assert not path.exists(), name
        path.parent.mkdir(exist_ok=True)
        path.write_text(code, "utf-8")
    return folder


@pytest.fixture(scope="module")
def output(project, _common_cache):
    """Return what the page's command prints; it imports spikeduel from `project`."""
    (command,) = re.findall(
        r"^```console\n\$ spikeduel (.*)$", (ROOT / "docs" / "adding.md").read_text("utf-8"), re.M
    )
    paths = [str(project / "src"), str(ROOT / "tests")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.check_output(
        [sys.executable, "-c", PROGRAM, *command.split(), "--out", "run", "--store", "store"],
        cwd=project,
        env=environment,
        text=True,
    )


def test_the_package_changes_by_new_files_and_one_line(project, blocks):
    def files(folder):
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in (folder / "src").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    before, after = files(ROOT), files(project)
    changed = {name for name in after if after[name] != before.get(name)}
    assert changed == set(blocks)
    assert changed - before.keys() == changed - {REGISTRY}
    assert before.keys() <= after.keys()
    lines = (before[REGISTRY].splitlines(), after[REGISTRY].splitlines())
    assert [line for line in lines[1] if line not in lines[0]] == blocks[
        REGISTRY
    ].encode().splitlines()
    assert len(lines[1]) == len(lines[0]) + 1


def test_the_code_of_the_page_is_in_the_style_of_the_package(project):
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--no-cache", "--config", str(ROOT / "pyproject.toml"), "src/spikeduel/features"]
    subprocess.run([*ruff, "check", *config], cwd=project, check=True)
    subprocess.run([*ruff, "format", "--check", *config], cwd=project, check=True)


def test_results_table_and_report_have_the_conclusion(project, output):
    results = json.loads((project / "run" / "results.json").read_text("utf-8"))
    shares = results["features"][NAME]["shares"]
    measured = {
        trial["contender"]: [trial["measured"][NAME]["share"]] for trial in results["trials"]
    }
    assert shares == measured
    assert len(shares) > 1
    table = output.split("Shift consistency\n")[1].split("\n\n")[0]
    report = (project / "run" / "report.html").read_text("utf-8")
    section = report.split('<section id="shift_consistency"')[1].split("</section>")[0]
    for name, (share,) in shares.items():
        assert re.search(rf"{name} +{100 * share:.2f}", table)
        assert f"{100 * share:.2f}" in section.split(f">{name}<")[1]
