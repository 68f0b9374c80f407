"""Robustness from the command line to results.json, the page and the evaluation of a model."""

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from factories import evaluate, planned, verify
from spikeduel import data
from spikeduel.cli import app
from spikeduel.engine.networks.models import load_model
from spikeduel.evaluation.corruptions import CORRUPTIONS, corrupt
from spikeduel.features import FEATURES
from spikeduel.features.robustness.robustness_conclusion import CorruptedAccuracies
from spikeduel.system.progress import Progress
from spikeduel.training import trial
from spikeduel.training.store import Store

pytestmark = pytest.mark.usefixtures("known_data")


@pytest.fixture
def quick(small):
    """A quarter of a second: few images, one epoch, the spiking contender alone."""
    return replace(small, contenders=("dense-snn",), epochs=1, limit=300)


def run(experiment, store):
    prepared, (training,) = planned(experiment)
    return trial.run(training, prepared, store, Progress())


def test_measures_go_on_where_they_stopped(quick, tmp_path):
    store = Store(tmp_path / "s")
    record = run(quick, store)
    measures = store.folder(record.key) / "measures"
    assert not list(measures.glob("robustness-*"))
    again = run(replace(quick, robustness=True), store)
    assert again.key == record.key
    assert {path.stem for path in measures.glob("robustness-*")} == {
        f"robustness-{name}" for name in CORRUPTIONS
    }
    by_name = {
        name: store.measure(record.key, f"robustness-{name}", CorruptedAccuracies)
        for name in CORRUPTIONS
    }
    assert all(entry.n == 179 and len(entry.accuracies) == 5 for entry in by_name.values())
    # Interrupted after some of them: what is there stays, what is missing comes out the same.
    (measures / "robustness-noise.json").unlink()
    made_up = CorruptedAccuracies(n=1, accuracies=[1.0])
    store.save_measure(record.key, "robustness-blur", made_up)
    run(replace(quick, robustness=True), store)
    assert store.measure(record.key, "robustness-noise", CorruptedAccuracies) == by_name["noise"]
    assert store.measure(record.key, "robustness-blur", CorruptedAccuracies) == made_up


def test_a_model_is_evaluated_on_corrupted_images(quick, tmp_path):
    store, quick = Store(tmp_path / "s"), replace(quick, contenders=("small-cnn",))
    model = load_model(store.model_path(run(quick, store).key))
    evaluated = evaluate(model, replace(quick, robustness=True))
    (robustness,) = evaluated.features["robustness"].contenders["small-cnn"]
    assert robustness.clean == evaluated.accuracy
    prepared = data.load(quick)
    test = data.split(prepared, quick).test
    corrupted = corrupt("rotation", torch.from_numpy(prepared.images[test]), 4, test)
    labels, _ = model.predict(corrupted)
    assert robustness.corruptions["rotation"][3] == float((labels == prepared.labels[test]).mean())
    assert "robustness" not in evaluate(model, quick).features


def test_a_run_has_it_in_its_table_results_and_page(tmp_path, monkeypatch, unpainted):
    monkeypatch.chdir(tmp_path)
    options = [
        "--contender",
        "dense-snn",
        "--hidden",
        "16",
        "--num-steps",
        "2",
        "--epochs",
        "1",
        "--limit",
        "300",
        "-q",
    ]

    def printed(*arguments):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    output = printed("compare", "digits", *options, "--robustness", "--out", "run", "-v")
    assert "Accuracy on corrupted images" in output
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    (robustness,) = results["features"]["robustness"]["contenders"]["dense-snn"]
    (entry,) = results["trials"]
    assert entry["measured"]["robustness-blur"]["accuracies"] == robustness["corruptions"]["blur"]
    page = (tmp_path / "run" / "report.html").read_text()
    assert 'data-name="robustness"' in page
    assert "The seven corruptions" in page
    if "predicting" in FEATURES:
        model = "run/models/dense-snn-seed0.safetensors"
        output = printed("evaluate", model, "digits", "--robustness")
        assert f"{100 * robustness['area']['blur']:.1f}" in output
    (verification,) = verify("run")
    assert verification.discrepancies == []
    results["features"]["robustness"]["contenders"]["dense-snn"][0]["mean"] = 1.0
    (tmp_path / "run" / "results.json").write_text(json.dumps(results))
    (verification,) = verify("run")
    assert any("robustness" in found.place for found in verification.discrepancies)
    printed("compare", "digits", *options, "--out", "less")
    less = json.loads((tmp_path / "less" / "results.json").read_text())
    assert "robustness" not in less["features"]
