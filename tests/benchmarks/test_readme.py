"""The README of benchmarks lists all that is there."""

import re

import pytest

from benchmarks import readme, shared


def test_the_page_is_what_the_script_makes():
    assert readme.PAGE.read_text(encoding="utf-8") == readme.page()


def test_every_folder_is_listed():
    packages = {path.parent.name for path in readme.PAGE.parent.glob("*/__init__.py")}
    assert packages == set(readme.FOLDERS)


def test_every_results_file_is_that_of_a_script_or_a_claim():
    text = readme.PAGE.read_text(encoding="utf-8")
    listed = set(re.findall(r"\]\(results/([\w.-]+)\)", text))
    assert listed == {path.name for path in shared.RESULTS.iterdir()}


def test_results_files_follow_from_a_docstring():
    labels = readme.results_of("in benchmarks/results/labels-DATASET.json, again")
    assert shared.RESULTS / "labels-mnist.json" in labels
    with pytest.raises(FileNotFoundError):
        readme.results_of("benchmarks/results/no-such-file.json")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs", "claims"])
def test_scripts_that_pages_name_exist(page):
    path = shared.ROOT / page
    for file in [path] if path.is_file() else [*path.glob("*.md"), *path.glob("*.toml")]:
        text = " ".join(file.read_text(encoding="utf-8").split())
        named = {f"{name.replace('.', '/')}" for name in re.findall(r"-m (benchmarks[.\w]+)", text)}
        named |= set(re.findall(r"(benchmarks/[\w/]+)\.py", text))
        for name in named:
            script = shared.ROOT / name
            assert script.with_suffix(".py").is_file() or (script / "__main__.py").is_file(), name
