"""An addition of each kind, written outside the package and entered once: it runs, is stored, and is
found where people look.
"""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

import spikeduel as sd
from factories import existing
from made_pages import unpainted
from spikeduel import energy
from spikeduel.energy import accounting
from spikeduel.evaluation.correctness import classified
from spikeduel.features import FEATURES
from spikeduel.reporting import report_again

pytestmark = pytest.mark.usefixtures("known_data")

CODE = """
import torch

def stripes(images, num_steps, keys):
    spikes = images.float() / 255 > torch.linspace(0.1, 0.9, num_steps).view(-1, 1, 1, 1, 1)
    return spikes.to(torch.float32)

def boxcar(u, alpha):
    return (u.abs() < 0.5).to(u.dtype)
"""

TABLE = """
title = "my chip"
source = "measured at my desk"
[bits]
weight = 8
activation = 8
membrane = 8
address = 8
[picojoules]
multiply = 2
add = 1
"""

ACCOUNTING = """
label = "spikes"
group = "arithmetic"
title = "a spike a joule"
source = "counted at my desk"
where = "there"
read = "source"
unit = "operations"
leaves_out = "all else"
spiking = "spikes"
other = "outputs"
"""


def brightness_of_hits(model, batches):
    hits = [
        images[model.predict(images.numpy())[0] == labels.numpy()] for images, labels, _ in batches
    ]
    return {"mean": float(np.mean([float(part.float().mean()) for part in hits if len(part)]))}


def always_the_first(asked):
    truth = np.asarray(asked.prepared.labels)[asked.trial.split.test]
    predicted, classes = np.zeros(len(truth), dtype=np.int64), asked.prepared.classes
    found = asked.cached(
        asked.trial.key, "first-class", lambda: classified(classes, truth, predicted)
    )
    return found, {}


@pytest.fixture(scope="module")
def added(tmp_path_factory):
    """A run in which everything comes from outside, its page, and what a second call trained or
    asked.
    """
    folder = tmp_path_factory.mktemp("added")
    (folder / "mine_added.py").write_text(CODE)
    measure = sd.Measure(
        brightness_of_hits,
        title="brightness of hits",
        meaning="mean pixel of what is right",
        form="{:.1f}",
        value=lambda found: found["mean"],
    )
    ablation = sd.Variant("first class", "an answer that never changes", predict=always_the_first)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        patch.setattr("spikeduel.reporting.drawing.panels", unpainted)
        patch.setitem(sd.MEASURES, "hits", measure)
        if "ablations" in FEATURES:
            patch.setitem(sd.ABLATIONS, "first_class", ablation)
        experiment = sd.recipes.baseline(
            "digits", device="cpu", limit=200, epochs=1, hidden=16, num_steps=3
        )
        experiment = replace(experiment, **existing(ablations=True))
        experiment = replace(
            experiment, encoding="mine_added:stripes", surrogate="mine_added:boxcar"
        )
        run = sd.compare(experiment, folder / "run", folder / "store")
        (folder / "mine.toml").write_text(TABLE)
        yield run, folder
    sys.modules.pop("mine_added", None)


def test_a_measure_is_in_the_results_the_table_and_the_report(added):
    run, folder = added
    page = (run.out / "report.html").read_text()
    for trial in json.loads((run.out / "results.json").read_text())["trials"]:
        hits = trial["measures"]["hits"]
        assert hits["value"] == hits["found"]["mean"] > 0
        assert f"{hits['value']:.1f}" in run.table()
    assert all("brightness of hits" in text for text in (run.table(), page))
    assert "mean pixel of what is right" in page
    assert list(folder.glob("store/*/measures/hits.json"))


@pytest.mark.skipif("ablations" not in FEATURES, reason="nothing shows variants")
def test_a_variant_is_in_the_results_and_the_report(added):
    run, _ = added
    (with_variants,) = run.results.features["ablations"].contenders
    row = next(row for row in with_variants.rows if row.ablation == "first_class")
    assert (row.spikes, bool(row.comparison.conclusion)) == (False, True)
    assert row.accuracy == run.results.trials[0].variants["first_class"].accuracy < 0.5
    page = (run.out / "report.html").read_text()
    assert "first class" in page
    assert "an answer that never changes" in page


def test_an_encoder_and_a_surrogate_are_those_that_trained(added):
    run, _ = added
    assert [trial.encoding for trial in run.results.trials] == ["mine_added:stripes", None]
    assert run.results.experiment.surrogate == "mine_added:boxcar"
    assert "mine_added:stripes" in run.table()
    assert "mine_added:stripes" in (run.out / "report.html").read_text()


def test_an_energy_table_leads_the_report(added, unpainted):
    run, folder = added
    prices = energy.Prices(tables=(energy.read(str(folder / "mine.toml")),))
    page = report_again(run.out, folder / "page.html", prices=prices)
    assert "my chip" in page.read_text()


@pytest.mark.skipif("ablations" not in FEATURES, reason="only its networks have a pair here")
def test_an_accounting_stands_beside_the_published_ones(added, unpainted):
    run, folder = added
    (folder / "counted.toml").write_text(ACCOUNTING)
    prices = energy.Prices(accountings=(accounting.read(folder / "counted.toml"),))
    page = report_again(run.out, folder / "page.html", prices=prices)
    assert "a spike a joule" in page.read_text()
    judged = json.loads((run.out / "results.json").read_text())["energy_accountings"]
    usual = {definition.name for definition in accounting.all_accountings()}
    assert {definition["name"] for definition in judged["definitions"]} == usual


def test_a_measure_that_the_store_holds_is_still_shown(added, monkeypatch, unreported):
    run, folder = added
    monkeypatch.setitem(sd.MEASURES, "hits", replace(sd.MEASURES["hits"], take=None))
    again = sd.compare(run.experiment, folder / "again", folder / "store")
    for trial, expected in zip(again.results.trials, run.results.trials, strict=True):
        assert (trial.measures, trial.variants) == (expected.measures, expected.variants)
