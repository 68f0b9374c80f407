import json
from dataclasses import replace

import numpy as np
import pytest
from markupsafe import escape
from msgspec import structs

from made_results import make_results, with_dataset, with_trials
from spikeduel.data import Split
from spikeduel.data.auditing import examine
from spikeduel.reporting import audit_page, audited, report
from spikeduel.results.audit import Counts, Details, DistanceBin
from spikeduel.results.words.audit import document
from spikeduel.results.words.report import first_fold
from spikeduel.settings.recipes import baseline
from spikeduel.system.errors import InputError

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


def test_accuracy_by_distance_is_a_mean_over_seeds(make_prepared):
    accuracies = iter(([1.0, 0.5], None, [0.8, 0.1], None))

    def in_bins(trial):
        if (values := next(accuracies)) is None:
            return None
        bins = [DistanceBin(low=k, high=k + 1, n=5, accuracy=value) for k, value in enumerate(values)]
        return structs.replace(trial.test, by_distance=bins)

    made = with_trials(make_results(make_prepared(), baseline(seeds=2)), test=in_bins)
    (line,) = audited.accuracy_by_distance(made.trials).axes[0].lines
    assert line.get_ydata() == pytest.approx([0.9, 0.3])


def test_the_report_has_the_section_where_the_run_was_audited(planted, make_run):
    run = make_run(planted)
    report(run)
    assert not (run.out / "figures" / "audit-pairs.png").exists()
    audit = examine(run.experiment, planted, SPLIT)
    checked = replace(run, results=with_dataset(run.results, audit=structs.replace(audit, details=Details())))
    assert escape(audit.problems[0]) in report(checked).read_text()
    assert (run.out / "figures" / "audit-pairs.png").is_file()


def test_without_the_data_the_section_goes_without_pictures(planted, make_run, monkeypatch):
    def gone(*_args, **_settings):
        raise InputError("no data")

    run = make_run(planted)
    audit = examine(run.experiment, planted, SPLIT)
    monkeypatch.setattr("spikeduel.data.load", gone)
    checked = replace(run, results=with_dataset(run.results, audit=structs.replace(audit, details=Details())))
    assert escape(audit.problems[0]) in report(checked).read_text()
    assert not (run.out / "figures" / "audit-pairs.png").exists()


def test_that_the_audit_is_of_the_first_fold_is_said(planted, make_run):
    run = make_run(planted)
    folds = [Counts(train=30, val=10, test=20)] * 3
    audit = examine(run.experiment, planted, SPLIT)
    in_folds = with_dataset(run.results, folds=folds, audit=audit)
    assert first_fold(in_folds.dataset) in report(replace(run, results=in_folds)).read_text()
