from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from msgspec import structs

from spikeduel import data
from spikeduel.data import Preprocessing, Split
from spikeduel.data.prepared import Prepared
from spikeduel.networks.binning import Binning
from spikeduel.networks.cards import Calling, ModelCard
from spikeduel.results.forecast import ContenderTime
from spikeduel.results.run import Budget
from spikeduel.settings.recipes import baseline, strong
from spikeduel.system.progress import Progress
from spikeduel.trials import announcing, planning
from spikeduel.trials.announcing import (
    foreign_lines,
    of_contenders,
    of_data,
    of_training,
    of_tuning,
    seconds_of_trials,
)
from spikeduel.trials.store import Store
from telling import Telling

EXPERIMENT = baseline(
    "pets", contenders=("snn", "cnn"), seeds=2, epochs=1, encoding="rate", num_steps=4
)
PREPARED = Prepared(
    name="pets",
    images=np.zeros((2000, 3, 6, 8), np.uint8),
    labels=np.zeros(2000, np.int64),
    classes=("cat", "dog"),
    preprocessing=Preprocessing(3, 6, 8),
    groups=None,
    official=None,
    samples=[],
    fingerprint="f" * 64,
)
SPLIT = Split(np.arange(1500), np.arange(1500, 1700), np.arange(1700, 2000), "stratified")
SNN = ModelCard("snn", "snn", (3, 6, 8), ("cat", "dog"), PREPARED.preprocessing, {}, "rate", 4)
CNN = replace(SNN, contender="cnn", family="cnn", encoding=None, num_steps=None)


def test_the_data_the_contenders_and_how_they_are_trained():
    told = "pets: 1,500 training, 200 validation and 300 test images, 6×8 colour, 2 classes."
    assert of_data(PREPARED, [SPLIT]) == told
    assert of_contenders(EXPERIMENT, [SNN, CNN]) == (
        "snn against cnn, 2 seeds; rate encoding over 4 steps."
    )
    assert of_contenders(EXPERIMENT, [CNN]) == "snn against cnn, 2 seeds."


def test_folds_and_settings_of_single_contenders():
    other = replace(SNN, contender="other", encoding="direct", num_steps=7)
    assert "test images, in the first of 5 folds, 6×8" in of_data(PREPARED, [SPLIT] * 5)
    text = of_contenders(EXPERIMENT, [SNN, other])
    assert "direct or rate encoding over 4 or 7 steps." in text


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"foreign": None}, None),
        (
            {"foreign": Calling("step", False, "over_time")},
            "snn: called over 4 time steps with rate encoding, its state reset before",
        ),
        (
            {
                "foreign": Calling("loop", False, "spikes", num_steps=7),
                "num_steps": 7,
                "precision": "bf16",
            },
            "snn: makes its own 7 time steps, and gets the analogue image for them (direct "
            "encoding)",
        ),
        (
            {"foreign": Calling("once", False, "scores"), "family": "cnn"},
            "snn: called as any other network that does not spike",
        ),
    ],
)
def test_networks_of_other_libraries(changes, line):
    card = replace(SNN, **changes)
    in_float32 = (
        "; in float32, as in its own library"
        if (card.family, card.precision) == ("snn", "32")
        else ""
    )
    assert foreign_lines(EXPERIMENT, [card]) == ([f"{line}{in_float32}."] if line else [])
    # Asked for, it is no peculiarity.
    assert foreign_lines(replace(EXPERIMENT, precision="32"), [card]) == (
        [f"{line}."] if line else []
    )


# ---- how long it takes

BUDGET = Budget(
    minutes=7.5,
    given=True,
    epoch_seconds={"vgg-lif": 3.0, "vgg-relu": 1.0},
    epochs={"vgg-lif": 100, "vgg-relu": 1},
)
TIMES = [
    ContenderTime(
        contender=name,
        epochs=BUDGET.epochs[name],
        epoch_seconds=seconds,
        seed_seconds=1,
        from_store=False,
    )
    for name, seconds in BUDGET.epoch_seconds.items()
]


@pytest.fixture
def noon(monkeypatch):
    class Noon(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 3, 12, 0)

    monkeypatch.setattr(announcing, "datetime", Noon)


def planned(**changes):
    experiment = strong(
        "digits", contenders=("vgg-lif", "vgg-relu"), width=3, num_steps=2, limit=150
    )
    experiment = replace(
        experiment, batch_size=32, dropout=0.0, augmentation="none", epochs=100, **changes
    )
    prepared = data.load(experiment)
    return [
        each
        for split in data.splits(prepared, experiment)
        for each in planning.plan(experiment, prepared, split)
    ]


def told(trials, num_held=0, times=TIMES, budget=BUDGET):
    return of_training(
        trials, ["held"] * num_held + [None] * (len(trials) - num_held), times, budget
    )


def test_it_is_said_how_long_it_trains_and_when_it_will_be_done(noon):
    assert told(planned()) == (
        "Training takes about 5 min: vgg-lif 100 epochs and vgg-relu 1 epoch (7.5 min a seed). It "
        "is done at 12:05; measuring and the report come after it."
    )
    # Six times as long.
    assert "30 min" in told(planned(seeds=2, folds=3))
    assert "7.5 min a seed and fold" in told(planned(folds=3))
    slow = [structs.replace(each, epoch_seconds=1000.0) for each in TIMES]
    assert "done at 2026-01-04 16:03" in told(planned(), times=slow)


def test_controls_come_after_it(noon):
    assert told(planned(controls=True)).endswith(
        "done at 12:05; controls, measuring and the report come after it."
    )
    recorded = [
        replace(
            each,
            card=replace(each.card, preprocessing=Preprocessing.of_recordings(Binning(2, (4, 4)))),
        )
        for each in planned(controls=True)
    ]
    # Every contender twice more.
    assert "controls at 12:15;" in told(recorded)


def test_what_the_store_holds_takes_no_time(noon):
    trials = planned()
    assert told(trials, 2) == "All 2 trials are in the store: nothing to train."
    assert "Training takes about 1 s (1 of 2 trials are in the store)" in told(trials, 1)
    assert seconds_of_trials(trials, ["held", None], TIMES) == {"vgg-relu, seed 0": 1.0}


def test_without_times_the_limit_is_said(noon):
    assert told(planned(), times=[], budget=None) == "2 trials to train, at most 100 epochs each."
    assert seconds_of_trials(planned(), [None, None], []) == {
        "vgg-lif, seed 0": None,
        "vgg-relu, seed 0": None,
    }


@pytest.mark.parametrize(
    ("number", "times", "last"),
    [
        (
            2,
            TIMES,
            "That is one trial after another; 2 train at a time, so that it is done sooner.",
        ),
        (2, [], "2 train at a time."),
        (1, [], "1 trial to train, at most 100 epochs each."),
    ],
)
def test_no_more_train_at_a_time_than_there_are(number, times, last, tmp_path):
    told = Telling()
    announcing.expect(planned()[:number], None, times, Store(tmp_path), told, at_once=4)
    assert told.said[-1] == last


def test_tuning_is_announced_as_so_many_trainings(noon, tmp_path):
    trials = planned()
    told = of_tuning(
        trials, 4, BUDGET, data.load(trials[0].experiment), Store(tmp_path), Progress()
    )
    # 300 and 100 seconds, four times: at most as many epochs as the experiment has.
    assert told == (
        "Tuning: 4 trials of each of 2 contenders, at most 27 min. It is done by 12:26; what the "
        "store has takes no time."
    )
    few = [replace(each, experiment=replace(each.experiment, epochs=2)) for each in trials]
    assert "at most 2 epochs each" in of_tuning(
        few, 4, None, data.load(few[0].experiment), Store(tmp_path), Progress()
    )
