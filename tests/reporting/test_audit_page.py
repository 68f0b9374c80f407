import json
from dataclasses import replace

import numpy as np
from markupsafe import escape
from msgspec import structs

from factories import with_dataset
from made_pages import SPLIT
from spikeduel.auditing.audit_results import Counts, Details
from spikeduel.auditing.audit_sentences import document, problems
from spikeduel.data import Split
from spikeduel.data.audited import examine
from spikeduel.experiment.recipes import baseline
from spikeduel.reporting import audit_page, report
from spikeduel.system.errors import InputError


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


def test_a_clean_set_has_a_sentence(make_prepared, tmp_path):
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
