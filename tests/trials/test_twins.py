"""Spiking contenders that start at the trained weights of their twin, or learn from its answers."""

from dataclasses import replace

import pytest
import torch

from made_trials import planned, small_twins
from spikeduel.comparing import compare
from spikeduel.networks import models
from spikeduel.settings.recipes import matched
from spikeduel.system.progress import Progress
from spikeduel.trials import trial
from spikeduel.trials.jobs import Job, Workers
from spikeduel.trials.store import Store
from telling import Telling


@pytest.fixture
def quick():
    return small_twins(limit=100, epochs=1, batch_size=32, dropout=0.2, augmentation="translate")


def planned_of(experiment):
    return planned(experiment)[1]


def run_all(experiment, store="s", progress=None):
    """The records of all trials, in the order of the plan."""
    prepared, trials = planned(experiment)
    jobs = [Job(training, prepared, progress or Progress()) for training in trials]
    return Workers().run(jobs, Store(store))


def weights(record, store="s"):
    return models.load_model(Store(store).model_path(record.key)).module.state_dict()


@pytest.fixture
def starts(monkeypatch):
    """Each contender that is trained, in order: its name and the weights that it starts from."""
    begun, loop = [], trial.Loop

    def noted(model, *others):
        now = {name: value.clone() for name, value in model.module.state_dict().items()}
        begun.append((model.card.contender, now))
        return loop(model, *others)

    monkeypatch.setattr(trial, "Loop", noted)
    return begun


def equal(one, other):
    """Compare the numbers of two networks, but for how many batches their statistics have seen,
    which begins anew.
    """
    numbers = [name for name in one if not name.endswith("num_batches_tracked")]
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) for name in numbers
    )


# ---- what is planned


def test_the_key_says_whose_weights_are_the_first(quick):
    spiking, plain = planned_of(quick)
    assert spiking.settings["twin"] == {"contender": "vgg-relu", "key": plain.key}
    assert (spiking.twin, plain.twin) == (plain.key, None)
    assert "twin" not in plain.settings
    # Another twin, other numbers.
    other_spiking, other = planned_of(
        replace(quick, per_contender={"vgg-relu": {"learning_rate": 0.03}})
    )
    assert other.key != plain.key
    assert other_spiking.twin == other.key
    assert other_spiking.key != spiking.key
    assert {**other_spiking.settings, "twin": None} == {**spiking.settings, "twin": None}


def test_a_fresh_start_has_no_twin(quick):
    spiking, _ = planned_of(replace(quick, start="fresh"))
    assert (spiking.twin, "twin" in spiking.settings) == (None, False)
    (alone,) = planned_of(replace(quick, contenders=("vgg-lif",)))
    assert spiking.key != planned_of(quick)[0].key
    # Without one among the contenders it starts fresh.
    assert alone.key == spiking.key


def test_the_twin_is_one_with_the_same_weights(quick):
    contenders = ("dense-lif", "vgg-lif", "conv-relu", "dense-relu", "vgg-relu")
    trials = {
        trial.card.contender: trial for trial in planned_of(replace(quick, contenders=contenders))
    }
    assert trials["dense-lif"].twin == trials["dense-relu"].key
    assert trials["vgg-lif"].twin == trials["vgg-relu"].key
    assert {trials[name].twin for name in contenders[2:]} == {None}
    (spiking, _) = planned_of(replace(quick, contenders=("vgg-lif", "small-cnn")))
    assert spiking.twin is None
    # Neurons that learn numbers of their own have them beside the twin's.
    spiking, plain = planned_of(replace(quick, neuron="plif"))
    assert spiking.twin == plain.key
    # The older recipes start fresh.
    assert {trial.twin for trial in planned_of(matched("digits", limit=100))} == {None}


def test_each_seed_and_fold_has_its_own_twin(quick):
    trials = planned_of(replace(quick, seeds=2, folds=3))
    assert len(trials) == 12
    for spiking, plain in zip(trials[::2], trials[1::2], strict=True):
        assert spiking.twin == plain.key
        assert (spiking.card.seed, spiking.split.fold) == (plain.card.seed, plain.split.fold)
    assert len({spiking.twin for spiking in trials[::2]}) == 6


# ---- what is trained


def test_it_starts_at_the_weights_that_its_twin_ended_at(quick, starts):
    spiking, plain = run_all(quick)
    assert (spiking.status, plain.status) == ("done", "done")
    # The twin goes first, whatever the order of the contenders.
    (first, _), (second, begun) = starts
    assert (first, second) == ("vgg-relu", "vgg-lif")
    assert equal(begun, weights(plain))
    assert not equal(weights(spiking), weights(plain))
    # The batch norms' statistics too.
    assert any("running_mean" in name for name in begun)


def test_a_fresh_start_is_not_there(quick, starts):
    _, plain = run_all(replace(quick, start="fresh"))
    assert [name for name, _ in starts] == ["vgg-lif", "vgg-relu"]
    assert equal(starts[0][1], starts[1][1])
    assert not equal(starts[0][1], weights(plain))


def test_numbers_that_neurons_learn_start_as_they_would(quick, starts):
    _, plain = run_all(replace(quick, neuron="plif"))
    begun = dict(starts)["vgg-lif"]
    trained = weights(plain)
    assert set(begun) - set(trained)
    assert equal({name: begun[name] for name in trained}, trained)


def test_interrupted_it_ends_in_the_same_numbers(quick):
    experiment = replace(quick, epochs=3)

    class Killing(Progress):
        def detail(self, text):
            if "vgg-lif" in text and "epoch 2/3" in text:
                raise KeyboardInterrupt

    whole = run_all(experiment, "whole")
    with pytest.raises(KeyboardInterrupt):
        run_all(experiment, "s", Killing())
    resumed = run_all(experiment, "s", told := Telling())
    assert any("vgg-lif, seed 0: goes on after epoch" in line for line in told.lines)
    assert any("vgg-relu, seed 0: found in the store" in line for line in told.lines)
    for uninterrupted, again in zip(whole, resumed, strict=True):
        assert (again.key, again.model_digest) == (uninterrupted.key, uninterrupted.model_digest)
        assert again.history == uninterrupted.history


def test_a_twin_that_the_store_lost_is_trained_again_to_the_same_numbers(quick):
    records, store = run_all(quick), Store("s")
    for record in records:
        store.model_path(record.key).unlink()
    again = run_all(quick)
    assert [record.model_digest for record in again] == [record.model_digest for record in records]


# ---- what fails


def broken(experiment):
    """The twin's rate makes its loss infinite."""
    return replace(experiment, per_contender={"vgg-relu": {"learning_rate": 1e36}}, epochs=2)


def test_a_twin_that_failed_leaves_no_weights_to_start_from(quick):
    experiment = broken(
        replace(quick, contenders=("vgg-lif", "vgg-relu", "small-cnn"), learning_rate=1e-3)
    )
    spiking, plain, other = run_all(experiment, progress=(told := Telling()))
    assert (plain.status, spiking.status, other.status) == ("failed", "failed", "done")
    assert spiking.error == "its twin, from which it starts, failed."
    assert "  vgg-lif, seed 0: failed, its twin, from which it starts, failed." in told.lines
    assert (spiking.history, spiking.best_epoch) == ([], None)
    assert spiking.parameters == plain.parameters
    # It is tried again, together with its twin.
    assert Store("s").record(spiking.key) is None
    assert [record.status for record in run_all(experiment)] == ["failed", "failed", "done"]


def test_a_comparison_says_why_there_is_none(quick, known_data, unreported):
    comparison = compare(broken(replace(quick, learning_rate=1e-3)), "run", "s")
    assert [trial.status for trial in comparison.results.trials] == ["failed", "failed"]
    assert comparison.failed
    assert comparison.verdict()


def test_a_comparison_of_twins_in_folds_with_controls(quick, known_data, unreported):
    results = compare(replace(quick, folds=2, controls=True), "run", "s").results
    assert {trial.status for trial in results.trials} == {"done"}
    assert results.twins == [("vgg-lif", "vgg-relu")]
    # Controls start where the contender did, in the same fold.
    plain, store = {twin.fold: twin.key for twin in results.of("vgg-relu")}, Store("s")
    for spiking in results.of("vgg-lif"):
        assert spiking.controls["shuffled"].accuracy is not None
        for name in ("relu_twin", "quantised_twin", "one_step"):
            control = store.record(spiking.controls[name].key)
            assert control.settings["twin"]["key"] == plain[spiking.fold]
