"""The test images after every epoch: sealed, whole after any interruption, and without effect on
anything else.
"""

from dataclasses import replace

import pytest
from msgspec import structs

from spikeduel import data
from spikeduel.comparing import compare, tune
from spikeduel.results.findings import finding
from spikeduel.results.trials import Classification
from spikeduel.system.progress import Progress
from spikeduel.trials import auto_settings, contenders, deferred_test_scores, forecast, plan, trial
from spikeduel.trials.store import SealedEpoch, Store
from telling import Telling

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


class Stopping(Progress):
    """Raises what Ctrl-C raises, before the given step."""

    def __init__(self, step):
        self.step = step

    def track(self, items, description, total=None):
        for item in items:
            if item == self.step:
                raise KeyboardInterrupt
            yield item


@pytest.fixture
def short(small):
    return replace(small, contenders=("dense-snn",), limit=300, epochs=4)


@pytest.fixture
def measured(short):
    return replace(short, optimism=True)


def run(experiment, store, progress=None, **more):
    prepared = data.load(experiment)
    planned = contenders.trials_of(experiment, prepared, data.split(prepared, experiment))
    return [trial.run(each, prepared, store, progress or Progress(), **more) for each in planned]


def test_what_is_trained_again_for_it_is_announced(short, measured, tmp_path):
    store = Store(tmp_path)
    run(short, store)
    prepared = data.load(short)
    split = data.split(prepared, short)
    for experiment, number in ((short, 0), (measured, len(short.contenders) * short.seeds)):
        resolved = auto_settings.resolve(experiment, prepared, split, store, Progress())
        planned = plan.make(resolved, prepared, [split], store, Progress(), timed={})
        assert len(planned.seconds) == number
        duel = forecast.duel_plan("a", "a", planned, prepared, [split], store)
        assert [each.stored for each in duel.trials].count(False) == number
        assert all(each.seconds for each in duel.trials if not each.stored)


def training_of(record):
    return record.history, record.best_epoch, record.model_digest


@pytest.mark.parametrize(
    "contender", ["dense-snn", "conv-lif", "small-cnn", "own_counting:Counting"]
)
def test_training_is_the_same_with_and_without(contender, measured, tmp_path, monkeypatch):
    (tmp_path / "own_counting.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    measured = replace(measured, contenders=(contender,), encoding="rate")
    (without,) = run(replace(measured, optimism=False), Store("without"))
    (with_it,) = run(measured, store := Store("with"))
    assert training_of(with_it) == training_of(without)
    assert with_it.key == without.key
    assert Store("without").unsealed(without.key, 4) is None
    found = deferred_test_scores.opened(with_it, store)
    assert len(found.accuracies) == len(with_it.history) == 4
    # The same evaluation as at the end.
    answered = store.measure(with_it.key, "classification", Classification)
    assert (found.chosen, found.n) == (answered.accuracy, answered.n)
    assert found.best == max(found.accuracies)
    # Each is that of weights of its own.
    assert len(set(found.accuracies)) > 1


def test_what_was_trained_without_is_trained_once_more_and_its_measures_are_kept(short, measured):
    (before,) = run(short, store := Store("s"))
    kept = store.measure_path(before.key, "classification").stat().st_mtime_ns
    (after,) = run(measured, store, told := Telling())
    assert "trained again, to the same numbers" in told.lines[0]
    assert training_of(after) == training_of(before)
    assert store.measure_path(before.key, "classification").stat().st_mtime_ns == kept
    run(measured, store, told := Telling())
    assert "not trained again" in told.lines[0]
    run(short, store, told := Telling())
    assert "not trained again" in told.lines[0]


def test_measures_of_another_model_are_taken_anew(short, measured, monkeypatch):
    (before,) = run(short, store := Store("s"))
    # As if it had been trained on another machine.
    store.save(structs.replace(before, model_digest=None))
    run(measured, store, told := Telling())
    assert any("measured anew" in line for line in told.lines)
    assert store.measure(before.key, "classification", Classification) is not None


@pytest.mark.parametrize("epoch", range(4))
def test_a_lost_or_damaged_epoch_counts_as_none(epoch, measured):
    (record,) = run(measured, store := Store("s"))
    whole = deferred_test_scores.opened(record, store)
    path = store.folder(record.key) / "sealed" / f"epoch-{epoch}.json"
    path.write_text(path.read_text().replace('"right": ', '"right": 1'))
    assert deferred_test_scores.opened(record, store) is None
    (again,) = run(measured, store)
    assert deferred_test_scores.opened(again, store) == whole
    path.unlink()
    assert deferred_test_scores.opened(record, store) is None


def test_an_interrupted_training_goes_on_and_its_epochs_are_sealed(measured):
    (whole,) = run(measured, store := Store("whole"))
    steps = -(-270 // measured.batch_size)
    with pytest.raises(KeyboardInterrupt):
        run(measured, Store("s"), Stopping(2 * steps + 1))
    (resumed,) = run(measured, Store("s"), told := Telling())
    assert any("goes on after epoch 2" in line for line in told.lines)
    assert training_of(resumed) == training_of(whole)
    assert deferred_test_scores.opened(resumed, Store("s")) == deferred_test_scores.opened(
        whole, store
    )


def test_a_checkpoint_of_epochs_that_were_not_tested_is_not_gone_on_from(short, measured):
    steps = -(-270 // measured.batch_size)
    with pytest.raises(KeyboardInterrupt):
        run(short, Store("s"), Stopping(2 * steps + 1))
    (record,) = run(measured, Store("s"), told := Telling())
    assert any("begins anew" in line for line in told.lines)
    (whole,) = run(measured, Store("whole"))
    assert deferred_test_scores.opened(record, Store("s")) == deferred_test_scores.opened(
        whole, Store("whole")
    )


def test_nothing_but_the_meter_depends_on_what_is_sealed(measured, monkeypatch, unreported):
    measured = replace(measured, contenders=("dense-snn", "small-cnn"), controls=True, patience=2)
    honest = compare(measured, store="honest").results
    seal = Store.seal
    # What would move every choice, if anything read it.
    monkeypatch.setattr(
        Store,
        "seal",
        lambda self, key, epoch, found: seal(self, key, epoch, SealedEpoch(right=0, n=1)),
    )
    lied_to = compare(measured, store="lied-to").results
    assert [trial.optimism.best for trial in lied_to.trials] == [0.0, 0.0]
    assert [trial.optimism.best > 0 for trial in honest.trials] == [True, True]

    def rest(results):
        return [
            structs.replace(t, optimism=None, epoch_seconds=[], latency=None, controls={})
            for t in results.trials
        ]

    assert rest(lied_to) == rest(honest)
    assert lied_to.comparison.pairs == honest.comparison.pairs
    assert lied_to.comparison.controls == honest.comparison.controls


def test_only_the_final_trials_are_tested_after_every_epoch(measured, unreported):
    measured = replace(measured, controls=True)
    tuned = tune(measured, 2, store="s")
    assert list(Store("s").root.glob("*/sealed")) == []
    found = compare(tuned.experiment, store="s", tuned=tuned).results
    assert [path.parent.name for path in Store("s").root.glob("*/sealed")] == [found.trials[0].key]
    assert found.tuning is not None


def test_every_training_that_was_tested_so_is_told(short, measured, unreported):
    def told(experiment):
        found = compare(experiment, store="s").results
        caveats = [each for each in found.comparison.caveats if each.id == "tested_every_epoch"]
        return found.dataset.test_uses, found.dataset.test_uses_here, caveats

    assert told(short) == (1, 1, [])
    assert told(measured) == (1, 1, [finding("tested_every_epoch", trainings=1)])
    assert told(replace(measured, seeds=2)) == (2, 2, [finding("tested_every_epoch", trainings=2)])
    # The curve has been seen.
    assert told(short) == (2, 1, [finding("tested_every_epoch", trainings=2)])


def test_trainings_are_counted_in_all_folds(measured, unreported):
    found = compare(replace(measured, seeds=2, folds=3), store="s").results
    assert len(found.trials) == 6
    assert found.dataset.tested_every_epoch == 6


def test_a_failed_training_has_no_meter(measured, unreported):
    results = compare(
        replace(measured, contenders=("dense-snn", "small-cnn"), learning_rate=1e30), store="s"
    ).results
    assert {
        (trial.status, trial.optimism) for trial in results.trials if trial.status == "failed"
    } == {("failed", None)}
