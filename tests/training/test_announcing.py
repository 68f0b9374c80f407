from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest
from msgspec import structs

from factories import prepared
from spikeduel import data
from spikeduel.data import Split
from spikeduel.data.prepared import TRAIN, VALIDATION
from spikeduel.engine.networks.cards import CallConvention, ModelCard
from spikeduel.experiment.recipes import baseline, strong
from spikeduel.results.run import Budget
from spikeduel.training import plan as planning
from spikeduel.training.contenders import Contender, describe_all, trials_of
from spikeduel.training.plan import ContenderTime, Plan, of_data, of_plan

EXPERIMENT = baseline(
    "pets", contenders=("snn", "cnn"), seeds=2, epochs=1, encoding="rate", num_steps=4
)
PREPARED = prepared(np.zeros((2000, 3, 6, 8), np.uint8), name="pets", classes=("cat", "dog"))
SPLIT = Split(np.arange(1500), np.arange(1500, 1700), np.arange(1700, 2000), "stratified")
SNN = ModelCard("snn", "snn", (3, 6, 8), ("cat", "dog"), PREPARED.preprocessing, {}, "rate", 4)
CNN = replace(SNN, contender="cnn", kind="cnn", encoding=None, num_steps=None)
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
    first, *_ = of_plan(plan_of(EXPERIMENT, [Contender(card, None, None) for card in cards]))
    return first


def test_the_data_and_the_contenders(golden):
    official = np.repeat(np.array([TRAIN, VALIDATION], np.uint8), [1800, 200])
    called = {
        "spiking": {"foreign": CallConvention("step", False, "over_time")},
        "not spiking": {"foreign": CallConvention("once", False, "scores"), "kind": "cnn"},
    }
    golden(
        {
            "data": of_data(PREPARED, [SPLIT]),
            "folds": of_data(PREPARED, [SPLIT] * 5),
            "no test set": of_data(replace(PREPARED, official=official), [SPLIT]),
            "SNN and CNN": of_cards(SNN, CNN),
            "CNN": of_cards(CNN),
        },
        {
            f"of another library, {name}": of_plan(
                plan_of(EXPERIMENT, [Contender(replace(SNN, **changes), None, None)])
            )[1]
            for name, changes in called.items()
        },
    )


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


def test_the_plan_names_training_time_and_when_it_ends(golden):
    # 300 seconds and 1; six times as long with two seeds in three folds.
    slow = [structs.replace(time, epoch_seconds=1000.0) for time in TIMES]
    golden(
        {
            "four at once": of_plan(planned(), at_once=4)[1:],
            "two seeds in three folds": of_plan(planned(seeds=2, folds=3))[1:],
            "until the next day": of_plan(planned(times=slow))[1:],
            "all stored": of_plan(planned(2))[1:],
            "one of two stored": of_plan(planned(1), at_once=4)[1:],
            "unknown times": of_plan(planned(times=(), budget=None))[1:],
        }
    )


def test_variants_that_are_trained_then_are_announced(golden):
    golden(
        {
            "variants": of_plan(planned(), num_variants=20)[1:],
            "variants, all stored": of_plan(planned(2), num_variants=1)[1:],
            "variants, unknown times": of_plan(planned(times=(), budget=None), num_variants=20)[1:],
        }
    )


def test_what_the_store_holds_takes_no_time():
    assert planned(1).seconds == {"vgg-relu, seed 0": 1.0}
    without = planned(times=(), budget=None)
    assert without.seconds == {"vgg-lif, seed 0": None, "vgg-relu, seed 0": None}
