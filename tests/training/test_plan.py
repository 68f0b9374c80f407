from dataclasses import replace

import pytest

from factories import existing, small_twins
from spikeduel import data
from spikeduel.engine.networks import building
from spikeduel.features import FEATURES
from spikeduel.system.errors import SpikeduelError
from spikeduel.system.progress import Progress
from spikeduel.training import auto_settings, plan, timing, variants
from spikeduel.training.jobs import Job, Workers
from spikeduel.training.store import Store


@pytest.fixture
def experiment():
    return small_twins(limit=100, epochs=1, batch_size=32, dropout=0.2)


@pytest.fixture
def timed(monkeypatch):
    """An epoch takes 2 seconds; holds the contenders whose epochs were timed."""
    asked = []

    def seconds_of_an_epoch(trial, prepared):
        asked.append(trial.card.contender)
        return 2.0

    monkeypatch.setattr(timing, "seconds_of_an_epoch", seconds_of_an_epoch)
    return asked


def planned(experiment, timed=None, store="s"):
    prepared = data.load(experiment)
    splits = data.splits(prepared, experiment)
    resolved = auto_settings.resolve(experiment, prepared, splits[0], Store(store), Progress())
    return plan.make(resolved, prepared, splits, Store(store), Progress(), timed=timed)


def test_every_contender_is_built_once_however_many_seeds_and_folds(experiment, monkeypatch):
    built, outlined = [], building.outlined
    monkeypatch.setattr(
        building, "outlined", lambda card: built.append(card.contender) or outlined(card)
    )
    made = planned(replace(experiment, seeds=3, folds=2, **existing(ablations=True)))
    assert built == ["vgg-lif", "vgg-relu"]
    assert len(made.trials) == len({trial.key for trial in made.trials}) == 12
    if "ablations" in FEATURES:
        awaited = [variants.titles(trial, data.load(experiment)) for trial in made.trials]
        assert sum(map(len, awaited)) == 3 * 6
    assert [(trial.split.fold, trial.card.seed) for trial in made.trials[::2]] == [
        (fold, seed) for fold in range(2) for seed in range(3)
    ]


def test_every_contender_is_timed_once(experiment, timed):
    known = {}
    made = planned(replace(experiment, seeds=2, epochs=3), known)
    assert timed == ["vgg-lif", "vgg-relu"]
    assert made.seconds_by_contender == {"vgg-lif": 6.0, "vgg-relu": 6.0}
    assert list(made.seconds.values()) == [6.0] * 4
    # What another plan has timed is known; another number of time steps is not.
    planned(replace(experiment, learning_rate=0.02, num_steps=3), known)
    assert timed == ["vgg-lif", "vgg-relu", "vgg-lif"]


def test_what_is_shorter_than_timing_it_is_not_timed(experiment, timed):
    assert planned(experiment).times == ()
    assert timed == []
    assert planned(replace(experiment, epochs=500)).times
    assert timed == ["vgg-lif", "vgg-relu"]


def test_what_the_store_has_is_not_timed_and_says_how_long_it_took(experiment, timed):
    first = planned(experiment)
    prepared = data.load(experiment)
    records = Workers().run(
        [Job(trial, prepared, Progress()) for trial in first.trials], Store("s")
    )
    made = planned(replace(experiment, seeds=2), {})
    assert timed == []
    known = [record and record.key for record in made.records]
    assert known == [*(record.key for record in records), None, None]
    assert [trial.card.seed for trial in made.missing] == [1, 1]
    times = {time.contender: time for time in made.times}
    assert times["vgg-lif"].from_store
    assert times["vgg-lif"].epoch_seconds == records[0].epoch_seconds[0]


def failing(error):
    def seconds_of_an_epoch(trial, prepared):
        raise error

    return seconds_of_an_epoch


def test_a_network_that_takes_no_training_step_has_no_time(experiment, monkeypatch):
    monkeypatch.setattr(timing, "seconds_of_an_epoch", failing(RuntimeError("memory")))
    plan = planned(experiment, {})
    assert plan.times == ()
    assert set(plan.seconds.values()) == {None}
    monkeypatch.setattr(timing, "seconds_of_an_epoch", failing(SpikeduelError("no device")))
    with pytest.raises(SpikeduelError):
        planned(experiment, {})
