from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from msgspec import structs

from factories import prepared
from spikeduel import data
from spikeduel.data import Split
from spikeduel.data.prepared import NO_TEST_SET, TRAIN, VALIDATION
from spikeduel.networks.cards import Calling, ModelCard
from spikeduel.results.power import ContenderTime
from spikeduel.results.run import Budget
from spikeduel.settings.recipes import baseline, strong
from spikeduel.trials import plan as planning
from spikeduel.trials.contenders import Contender, describe_all, trials_of
from spikeduel.trials.plan import Plan, of_data, of_plan, of_tuning

EXPERIMENT = baseline(
    "pets", contenders=("snn", "cnn"), seeds=2, epochs=1, encoding="rate", num_steps=4
)
PREPARED = prepared(np.zeros((2000, 3, 6, 8), np.uint8), name="pets", classes=("cat", "dog"))
SPLIT = Split(np.arange(1500), np.arange(1500, 1700), np.arange(1700, 2000), "stratified")
SNN = ModelCard("snn", "snn", (3, 6, 8), ("cat", "dog"), PREPARED.preprocessing, {}, "rate", 4)
CNN = replace(SNN, contender="cnn", family="cnn", encoding=None, num_steps=None)
BUDGET = Budget(
    minutes=7.5,
    given=True,
    epoch_seconds={"vgg-lif": 3.0, "vgg-relu": 1.0},
    epochs={"vgg-lif": 100, "vgg-relu": 1},
)
TIMES = tuple(
    ContenderTime(
        contender=name,
        epochs=BUDGET.epochs[name],
        epoch_seconds=seconds,
        seed_seconds=1,
        from_store=False,
    )
    for name, seconds in BUDGET.epoch_seconds.items()
)


def plan_of(experiment, contenders, trials=(), num_stored=0, times=TIMES, budget=BUDGET):
    records = ["stored"] * num_stored + [None] * (len(trials) - num_stored)
    return Plan(
        asked=experiment,
        experiment=experiment,
        contenders=tuple(contenders),
        trials=tuple(trials),
        records=tuple(records),
        times=tuple(times),
        rules=None,
        budget=budget,
    )


def of_cards(*cards):
    first, *_ = of_plan(plan_of(EXPERIMENT, [Contender(card, None) for card in cards]))
    return first


def test_the_data_and_the_contenders():
    told = "pets: 1,500 training, 200 validation and 300 test images, 6×8 colour, 2 classes."
    assert of_data(PREPARED, [SPLIT]) == told
    assert "test images, in the first of 5 folds, 6×8" in of_data(PREPARED, [SPLIT] * 5)
    official = np.repeat(np.array([TRAIN, VALIDATION], np.uint8), [1800, 200])
    assert of_data(replace(PREPARED, official=official), [SPLIT]) == f"{told} {NO_TEST_SET}"
    assert of_cards(SNN, CNN) == "snn against cnn, 2 seeds; rate encoding over 4 steps."
    assert of_cards(CNN) == "snn against cnn, 2 seeds."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"foreign": Calling("step", False, "over_time")}, "over 4 time steps with rate encoding"),
        ({"foreign": Calling("once", False, "scores"), "family": "cnn"}, "does not spike"),
    ],
)
def test_a_network_of_another_library_has_a_line(changes, words):
    plan = plan_of(EXPERIMENT, [Contender(replace(SNN, **changes), None)])
    assert words in of_plan(plan)[1]


# ---- how long it takes


@pytest.fixture(autouse=True)
def noon(monkeypatch):
    class Noon(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 1, 3, 12, 0)

    monkeypatch.setattr(planning, "datetime", Noon)


def planned(num_stored=0, times=TIMES, budget=BUDGET, **changes):
    experiment = strong(
        "digits", contenders=("vgg-lif", "vgg-relu"), width=3, num_steps=2, limit=150
    )
    experiment = replace(
        experiment, batch_size=32, dropout=0.0, augmentation="none", epochs=100, **changes
    )
    prepared = data.load(experiment)
    contenders = describe_all(experiment, prepared)
    splits = data.splits(prepared, experiment)
    trials = trials_of(experiment, prepared, *splits, contenders=contenders)
    return plan_of(experiment, contenders, trials, num_stored, times, budget)


def test_it_is_said_how_long_it_trains_and_when_it_will_be_done():
    assert of_plan(planned(controls=True), at_once=4)[1:] == [
        "Training takes about 5 min: vgg-lif 100 epochs and vgg-relu 1 epoch (planned for 7.5 min "
        "a seed by a short timing, at least one epoch). It is done at 12:05; controls, measuring and the report "
        "come after it.",
        "2 train at a time, so that it is done sooner.",
    ]
    # Six times as long.
    text = of_plan(planned(seeds=2, folds=3))[1]
    assert "30 min" in text
    assert "7.5 min a seed and fold" in text
    slow = [structs.replace(time, epoch_seconds=1000.0) for time in TIMES]
    assert "done at 2026-01-04 16:03" in of_plan(planned(times=slow))[1]


def test_cheaper_networks_take_time_too_also_of_trials_in_the_store():
    assert "cheaper networks (about 13 min), " in of_plan(planned(frontier=True))[1]
    assert ", and more if the store lacks others), " in of_plan(planned(1, frontier=True))[1]
    stored = of_plan(planned(2, frontier=True))[1]
    assert stored.endswith("in the store. Cheaper networks follow if it lacks some.")


def test_what_the_store_holds_takes_no_time():
    assert of_plan(planned(2))[1:] == ["Nothing to train: 2 trials in the store."]
    plan = planned(1)
    text = of_plan(plan, at_once=4)[1]
    assert "Training takes about 1 s (1 of 2 trials are in the store): vgg-relu 1 epoch" in text
    assert plan.seconds == {"vgg-relu, seed 0": 1.0}


def test_without_times_the_limit_is_said():
    plan = planned(times=(), budget=None)
    assert of_plan(plan)[1:] == ["2 trials to train, at most 100 epochs each."]
    assert plan.seconds == {"vgg-lif, seed 0": None, "vgg-relu, seed 0": None}


def test_tuning_is_announced_as_so_many_trainings():
    # 300 seconds and 1, four times: at most as many epochs as the experiment has.
    text = of_tuning(planned(), 4)
    assert "4 trials of each of 2 contenders, at most 20 min. It is done by 12:20;" in text
    assert "at most 100 epochs each" in of_tuning(planned(times=()), 4)
