from dataclasses import replace

from msgspec import structs

from spikeduel.features.planning import plan_sentences
from spikeduel.features.planning.forecasting import SEEDS, Case, Forecast
from spikeduel.statistics import Variability, assumed_variability
from spikeduel.training.plan import ContenderTime

VARIABILITY = Variability(seeds_a=0.0045, seeds_b=0.0057, images=0.002)


def plan(*cases, **changes):
    made = {
        "dataset": "made up",
        "test_images": 10_000,
        "difference": 0.005,
        "comparisons": 1,
        "source": "store",
        "cases": list(cases),
        "times": [
            ContenderTime(
                contender="snn", epochs=13.5, epoch_seconds=4.0, seed_seconds=54.0, from_store=True
            ),
            ContenderTime(
                contender="cnn", epochs=20.0, epoch_seconds=2.0, seed_seconds=40.0, from_store=False
            ),
        ],
        "trained": 2,
    }
    return Forecast(**{**made, **changes})


POWER = [min(1.0, k / 10) for k in range(len(SEEDS))]
OF_PAIR = Case(variability=VARIABILITY, probabilities=POWER, seeds_needed=12, a="snn", b="cnn")


def test_a_row_for_each_number_of_seeds():
    rows = plan_sentences.rows(plan(OF_PAIR))
    assert [row["seeds"] for row in rows] == list(map(str, SEEDS))
    assert rows[1] == {"seeds": "2", "snn, cnn": "10 %", "training": "in the store"}
    # Two seeds are there; four more, of 94 seconds each.
    assert rows[5] == {"seeds": "6", "snn, cnn": "50 %", "training": "6 min"}


def test_one_epoch_is_not_one_epochs():
    (time, _) = plan(OF_PAIR).times
    of_one = plan(OF_PAIR, times=[structs.replace(time, epochs=1.0)])
    assert any("4 s per epoch, 1 epoch (as" in text for text in plan_sentences.sentences(of_one))


def test_the_sentences_of_a_plan(golden):
    assumed = [
        Case(
            variability=assumed_variability(deviation, 10_000, 50.0),
            probabilities=POWER,
            seeds_needed=needed,
            deviation=deviation,
        )
        for deviation, needed in ((0.0055, 9), (0.003, 5))
    ]
    hopeless = structs.replace(OF_PAIR, seeds_needed=None, probabilities=[0.0] * len(SEEDS))
    few = structs.replace(hopeless, variability=replace(VARIABILITY, effective_groups=4.0))
    plans = {
        "known": plan(OF_PAIR),
        "assumed": plan(*assumed, source="assumed", comparisons=3, folds=5, difference=0.01),
        "cannot be found": plan(OF_PAIR, hopeless),
        "few groups": plan(few),
    }
    golden({name: plan_sentences.sentences(of) for name, of in plans.items()})
    rows = plan_sentences.rows(plans["assumed"])
    assert list(rows[0]) == ["seeds", "SD 0.30 points", "SD 0.55 points", "training"]
