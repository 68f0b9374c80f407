"""CITATION.cff, the BibTeX of docs/paper.md, the changelog and the package agree."""

import re
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

from spikeduel import __version__

ROOT = Path(__file__).parents[1]
PAPER = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
NOT_RELEASED = "not yet released"


@pytest.fixture
def citation():
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


@pytest.fixture
def bibtex():
    """Return the fields of the entry."""
    (entry,) = re.findall(r"^```bibtex\n(.*?)^```$", PAPER, re.M | re.S)
    return dict(re.findall(r"^  (\w+) = \{(.*)\},?$", entry, re.M))


@pytest.fixture
def released():
    """Return the date of this version in the changelog, or None if it is not released."""
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    (when,) = re.findall(rf"^## {re.escape(__version__)}, (.+)$", changelog, re.M)
    assert when == NOT_RELEASED or re.fullmatch(r"\d{4}-\d\d-\d\d", when)
    return None if when == NOT_RELEASED else when


def test_the_citation_is_of_this_version_and_licence(citation):
    assert citation["version"] == __version__
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert citation["license"] == project["license"]


def test_the_date_is_that_of_the_release(citation, bibtex, released):
    date = citation.get("date-released")
    assert (date and str(date)) == released
    assert bibtex.get("date") == released
    assert bibtex.get("year") == (released and released[:4])
    assert (NOT_RELEASED in bibtex.get("note", "").lower()) == (released is None)


def test_the_bibtex_is_that_of_the_citation(citation, bibtex):
    assert bibtex["title"] == citation["title"]
    assert bibtex["version"] == citation["version"]
    names = [author["name"] for author in citation["authors"]]
    assert bibtex["author"] == " and ".join(f"{{{name}}}" for name in names)
    assert bibtex.get("doi") == citation.get("doi")
    assert bibtex.get("url") == citation.get("repository-code")


def test_the_latex_of_the_page_is_that_of_the_kit():
    (table,) = re.findall(r"^```latex\n(.*?)^```$", PAPER, re.M | re.S)
    with zipfile.ZipFile(ROOT / "records" / "fashion-mnist-mini.zip") as kit:
        assert table.split() == kit.read("tables/scores.tex").decode().split()
