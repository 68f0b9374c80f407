"""Test scores after every epoch: whole after any interruption, and without effect on anything
else.
"""

from dataclasses import replace

import pytest
from msgspec import structs

from factories import planned
from spikeduel.comparing import compare
from spikeduel.features.optimism import accuracy_by_epoch
from spikeduel.results.findings import finding
from spikeduel.results.trials import Classification
from spikeduel.system.progress import Progress
from spikeduel.training import trial
from spikeduel.training.store import Store
from telling import Interrupting, Telling

pytestmark = pytest.mark.usefixtures("known_data")

OWN = """
import torch
from torch import nn


class Counting(nn.Module):
    '''Keeps, in its state, how often it was asked: what evaluation changes.'''

    def __init__(self, image_shape, num_classes):
        super().__init__()
        self.linear = nn.Linear(64, num_classes)
        self.register_buffer("asked", torch.zeros(1))

    def forward(self, x):
        self.asked += 1
        return self.linear(x.flatten(1))
"""


@pytest.fixture
def measured(small):
    return replace(small, contenders=("dense-snn",), limit=300, epochs=4, optimism=True)


def run(experiment, store, progress=None):
    prepared, (training,) = planned(experiment)
    return trial.run(training, prepared, store, progress or Progress())


def right_after(record):
    return record.after_epochs["optimism"]


def training_of(record):
    return record.history, record.best_epoch, record.model_digest


@pytest.mark.parametrize("contender", ["dense-snn", "small-cnn", "own_counting:Counting"])
def test_training_is_the_same_with_and_without(contender, measured, tmp_path, monkeypatch):
    (tmp_path / "own_counting.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    measured = replace(measured, contenders=(contender,), encoding="rate")
    store = Store("s")
    without = run(replace(measured, optimism=False), store)
    tested = run(measured, store)
    assert training_of(tested) == training_of(without)
    assert (tested.key == without.key, without.after_epochs) == (False, {})
    assert len(right_after(tested)) == len(tested.history) == 4
    # The same evaluation as at the end.
    predictions = store.measure(tested.key, "classification", Classification)
    assert right_after(tested)[tested.best_epoch] / predictions.n == predictions.accuracy
    # Every score is that of other weights.
    assert len(set(right_after(tested))) > 1


def test_an_interrupted_training_goes_on_and_keeps_its_scores(measured):
    whole = run(measured, Store("whole"))
    steps = -(-270 // measured.batch_size)
    with pytest.raises(KeyboardInterrupt):
        run(measured, Store("s"), Interrupting(2 * steps + 1))
    resumed = run(measured, Store("s"), progress := Telling())
    assert any("goes on after epoch 2" in line for line in progress.lines)
    assert training_of(resumed) == training_of(whole)
    assert right_after(resumed) == right_after(whole)


def test_nothing_but_the_meter_depends_on_the_scores(measured, monkeypatch, unreported):
    measured = replace(measured, contenders=("dense-snn", "small-cnn"), epochs=2, hidden=16)
    honest = compare(measured, store="honest").results
    # Scores that would move every choice, if anything read them.
    monkeypatch.setattr(accuracy_by_epoch, "_num_right", lambda model, test: 0)
    lied_to = compare(measured, store="lied-to").results
    assert [each.best for each in lied_to.features["optimism"].trainings] == [0.0, 0.0]
    assert [each.best > 0 for each in honest.features["optimism"].trainings] == [True, True]

    def rest(results):
        return [
            structs.replace(t, measured={}, epoch_seconds=[], latency=None, variants={})
            for t in results.trials
        ]

    assert rest(lied_to) == rest(honest)
    assert lied_to.comparison.pairs == honest.comparison.pairs


def test_trainings_tested_after_every_epoch_have_a_caveat(measured, unreported):
    results = compare(replace(measured, seeds=2, folds=2, epochs=1), store="s").results
    assert finding("tested_every_epoch", trainings=4) in results.comparison.caveats
    assert len(results.trials) == results.dataset.tested_every_epoch == 4


def test_a_failed_training_has_no_accuracies(measured, unreported):
    failing = replace(measured, contenders=("dense-snn", "small-cnn"), learning_rate=1e30)
    results = compare(failing, store="s").results
    failed = {entry.title for entry in results.trials if entry.status == "failed"}
    optimism = results.features.get("optimism")
    tested = optimism.trainings if optimism else []
    assert failed
    assert len(tested) == len(results.trials) - len(failed)
