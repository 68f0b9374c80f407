"""Labels that trained networks call wrong, from a comparison to its files and the report."""

import csv
from dataclasses import replace

import pytest

from spikeduel.comparing import compare
from spikeduel.features.label_issues import label_judging
from spikeduel.results.findings import finding
from spikeduel.verifying import verify

pytestmark = pytest.mark.usefixtures("known_data")

HEADING = "Labels that the networks doubt"


@pytest.fixture
def quick(small):
    """A quarter of a second: few images, one epoch, the spiking contender alone."""
    return replace(small, contenders=("dense-snn",), epochs=1, limit=300)


def test_suspect_labels_are_in_all_files_of_a_run(quick, tmp_path, monkeypatch):
    # A badly trained network calls labels less probable than on average, not improbable.
    monkeypatch.setattr(label_judging, "MAX_SHARE_BY_NETWORKS", 1.0)
    comparison = compare(quick, tmp_path / "run", tmp_path / "store")
    judged = comparison.results.features["label_issues"]
    num_suspects = len(judged.suspects)
    assert 0 < num_suspects == judged.check.suspects < judged.check.examined
    caveat = finding("label_issues", suspects=num_suspects, examined=judged.check.examined)
    assert caveat in comparison.results.comparison.caveats
    with (tmp_path / "run" / "labels.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["source"] == "networks"]
    expected = [(each.image.index, each.suggested) for each in judged.suspects]
    assert [(int(row["index"]), row["suggested"]) for row in rows] == expected
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    first = judged.suspects[0]
    assert HEADING in page
    assert f"{first.image.label} → {first.suggested}" in page
    (checked,) = verify(tmp_path / "run")
    assert checked.holds


def test_a_run_without_suspect_labels_has_no_caveat_and_no_section(quick, tmp_path):
    comparison = compare(quick, tmp_path / "run", tmp_path / "store")
    assert comparison.results.features["label_issues"].suspects == []
    assert "label_issues" not in {each.id for each in comparison.results.comparison.caveats}
    assert HEADING not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
