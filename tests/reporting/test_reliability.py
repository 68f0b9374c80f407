import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from markupsafe import escape
from msgspec import structs

from factories import with_dataset
from made_pages import SPLIT, places
from spikeduel.auditing.audit_results import Counts, Details
from spikeduel.auditing.audit_sentences import document, problems
from spikeduel.data import Split
from spikeduel.data.audited import examine
from spikeduel.evaluation.correctness import judged
from spikeduel.experiment.recipes import baseline
from spikeduel.reporting import accuracies, audit_page, report
from spikeduel.results.trials import Calibration, CalibrationBin
from spikeduel.system.errors import InputError


def calibration(seed, temperature=2.0):
    scores = 3 * torch.randn(
        200, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    truth = torch.arange(200) % 3
    judgement = structs.asdict(judged(scores, truth))
    return Calibration(**judgement, temperature=temperature, scaled=judged(scores / 2, truth))


def test_bins_of_several_trials_are_pooled():
    def of_one_bin(count, confidence, accuracy):
        only = CalibrationBin(
            low=0.0, high=1.0, count=count, confidence=confidence, accuracy=accuracy
        )
        return structs.replace(calibration(0), bins=[only], temperature=None, scaled=None)

    trials = [of_one_bin(10, 0.5, 0.4), of_one_bin(30, 0.9, 0.8), of_one_bin(0, None, None)]
    ((row,), (empty,)) = (
        accuracies.calibration({"a": of}, {"a": "red"}).panels[0].marks[0].rows
        for of in (trials, trials[2:])
    )
    assert (row["number"], row["mean confidence, %"]) == (40, pytest.approx(80))
    assert row["accuracy, %"] == pytest.approx(70)
    assert empty["accuracy, %"] is None


def test_bars_are_the_accuracies_and_rings_those_after_temperature():
    measured = {"dense-snn": [calibration(0)], "small-cnn": [calibration(1)]}
    chart = accuracies.calibration(measured, {"dense-snn": "red", "small-cnn": "blue"})
    assert [panel.title for panel in chart.panels] == list(measured)
    for panel, (judgement,) in zip(chart.panels, measured.values(), strict=True):
        bars, rings, diagonal = panel.marks
        for row, part in zip(bars.rows, judgement.bins, strict=True):
            expected = None if part.accuracy is None else pytest.approx(100 * part.accuracy)
            assert (row["accuracy, %"], row["number"]) == (expected, part.count)
        scaled = [part for part in judgement.scaled.bins if part.count]
        assert places(panel, rings) == (
            pytest.approx([100 * part.confidence for part in scaled]),
            pytest.approx([100 * part.accuracy for part in scaled]),
        )
        assert places(panel, diagonal) == ([0, 100], [0, 100])


def test_the_page_says_what_was_found_and_shows_the_pair(planted, tmp_path):
    audit = examine(baseline(dataset="digits"), planted, SPLIT)
    page = audit_page(audit, planted, tmp_path / "audit").read_text()
    for text in (
        "What would invalidate a result",
        escape(problems(audit)[0]),
        "equal images, different labels",
        "a&lt;b",
    ):
        assert text in page
    assert "a<b" not in page
    assert page.count("data:image/png") == 2
    written = (tmp_path / "audit" / "audit.json").read_text()
    assert written == json.dumps(document(audit), indent=2) + "\n"


def test_a_clean_set_is_told_to_be_so(make_prepared, tmp_path):
    prepared, order = make_prepared(num_images=120), np.arange(120)
    split = Split(order[:50], order[50:60], order[60:], "stratified")
    page = audit_page(
        examine(baseline(dataset="digits"), prepared, split), prepared, tmp_path
    ).read_text()
    assert "Nothing was found that would invalidate a result." in page
    assert "Pixels cannot show every leak" in page
    assert "What would invalidate a result" not in page


def test_the_report_has_the_section_of_the_first_fold_and_without_the_data_no_pictures(
    planted, make_run, monkeypatch, unpainted
):
    def gone(*_args, **_settings):
        raise InputError("no data")

    run, pairs = make_run(planted), "Pairs of equal or nearly equal images, in pictures"
    assert pairs not in report(run).read_text()
    audit = examine(run.experiment, planted, SPLIT)
    stored = structs.replace(audit, details=Details())
    folds = [Counts(train=30, val=10, test=20)] * 3
    checked = replace(run, results=with_dataset(run.results, audit=stored, folds=folds))
    page = report(checked).read_text()
    for text in (escape(problems(audit)[0]), pairs, "the first of 3 folds"):
        assert text in page
    monkeypatch.setattr("spikeduel.data.load", gone)
    page = report(checked).read_text()
    assert escape(problems(audit)[0]) in page
    assert pairs not in page
