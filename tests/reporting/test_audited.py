import json

import numpy as np
import pytest
from markupsafe import escape

from spikeduel.data import Split
from spikeduel.data.auditing import examine
from spikeduel.reporting import audit_page, audited, report
from spikeduel.results.words.audit import document
from spikeduel.settings.recipes import baseline

SPLIT = Split(np.arange(30), np.arange(30, 40), np.arange(40, 60), "stratified")


@pytest.fixture
def planted(make_prepared):
    """A set with an image of class 1 that stands once more in test, as class 2."""
    prepared = make_prepared(classes=["a<b", "two", "three"])
    prepared.images[50] = prepared.images[1]
    return prepared


def test_the_page_says_what_was_found_and_shows_the_pair(planted, tmp_path):
    found = examine(baseline(dataset="digits"), planted, SPLIT)
    page = audit_page(found, planted, tmp_path / "audit").read_text()
    assert "What would invalidate a result" in page
    assert escape(found.problems[0]) in page
    assert "equal images, different labels" in page
    assert "a&lt;b" in page
    assert "a<b" not in page
    assert page.count("data:image/png") == 2
    written = (tmp_path / "audit" / "audit.json").read_text()
    assert written == json.dumps(document(found), indent=2) + "\n"


def test_a_clean_set_is_told_to_be_so(make_prepared, tmp_path):
    prepared = make_prepared()
    page = audit_page(examine(baseline(dataset="digits"), prepared, SPLIT), prepared, tmp_path).read_text()
    assert "Nothing was found that would invalidate a result." in page
    assert "Pixels cannot show every leak" in page
    assert "What would invalidate a result" not in page


def test_pictures_of_a_pair_lie_side_by_side(planted):
    found = examine(baseline(dataset="digits"), planted, SPLIT)
    figure = audited.pairs(found.details.pairs[:1], planted)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["test\nthree", "training\ntwo"]
    assert [axes.get_xlabel() for axes in shown] == ["image 50", "image 1"]
    for axes in shown:
        assert (axes.images[0].get_array() == planted.images[1, 0]).all()


def test_distances_are_drawn_from_nearest_to_farthest(planted):
    found = examine(baseline(dataset="digits"), planted, SPLIT)
    training, test = audited.distances(found).axes[0].lines
    assert test.get_xdata().tolist() == sorted(found.details.test_distances)
    assert tuple(training.get_xdata()) == found.details.within_quantiles


def test_accuracy_by_distance_is_a_mean_over_seeds():
    def trial(name, seed, values):
        bins = [{"from": k, "to": k + 1, "n": 5, "accuracy": value} for k, value in enumerate(values)]
        return {"contender": name, "family": "snn", "seed": seed, "test": {"by_distance": bins}}

    failed = {"contender": "net", "family": "snn", "seed": 2, "test": None}
    figure = audited.accuracy_by_distance([failed, trial("net", 0, [1.0, 0.5]), trial("net", 1, [0.8, 0.1])])
    (line,) = figure.axes[0].lines
    assert line.get_ydata() == pytest.approx([0.9, 0.3])


def test_the_report_has_the_section_where_the_run_was_audited(planted, make_run):
    run = make_run(planted)
    assert "Can this data be trusted?" not in report(run).read_text()
    run.results["dataset"]["audit"] = document(examine(run.experiment, planted, SPLIT))
    page = report(run).read_text()
    assert "Can this data be trusted?" in page
    assert "What would invalidate a result" in page
    assert (run.out / "figures" / "audit-pairs.png").is_file()
