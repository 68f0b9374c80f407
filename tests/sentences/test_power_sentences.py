from dataclasses import replace

from msgspec import structs

from factories import pair, results, trial
from spikeduel.results.power import SEEDS, Case, ContenderTime, Forecast, Power
from spikeduel.sentences import power_sentences as power
from spikeduel.statistics import Variability, assumed_variability

VARIABILITY = Variability(seeds_a=0.0045, seeds_b=0.0057, images=0.002)
FOUND = Power(
    lead=0.01, seeds=6, comparisons=1, probability=0.657, seeds_needed=9, variability=VARIABILITY
)


def run(*powers):
    pairs = [
        pair(0.01, seeds=6, power=power_of, b=f"cnn{k or ''}") for k, power_of in enumerate(powers)
    ]
    return results([trial("snn", 0.9), trial("cnn", 0.9)], pairs)


def test_a_run_says_what_it_could_have_found(golden):
    never = structs.replace(FOUND, probability=0.1, seeds_needed=None)
    golden({"one pair": power.of_pairs(run(FOUND)), "two": power.of_pairs(run(FOUND, never))})
    assert power.of_pairs(run(None)) == ""


def plan(*cases, **changes):
    made = {
        "dataset": "made up",
        "test_images": 10_000,
        "lead": 0.005,
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


CHANCES = [min(1.0, k / 10) for k in range(len(SEEDS))]
OF_PAIR = Case(
    variability=VARIABILITY,
    probabilities=CHANCES,
    seeds_needed=12,
    a="snn",
    b="cnn",
)


def test_a_row_for_each_number_of_seeds():
    rows = power.rows(plan(OF_PAIR))
    assert [row["seeds"] for row in rows] == list(map(str, SEEDS))
    assert rows[1] == {"seeds": "2", "snn, cnn": "10 %", "training": "in the store"}
    # Two seeds are there; four more, of 94 seconds each.
    assert rows[5] == {"seeds": "6", "snn, cnn": "50 %", "training": "6 min"}


def test_the_sentences_of_a_plan(golden):
    assumed = [
        Case(
            variability=assumed_variability(spread, 10_000, 50.0),
            probabilities=CHANCES,
            seeds_needed=needed,
            deviation=spread,
        )
        for spread, needed in ((0.0055, 9), (0.003, 5))
    ]
    hopeless = structs.replace(OF_PAIR, seeds_needed=None, probabilities=[0.0] * len(SEEDS))
    few = structs.replace(hopeless, variability=replace(VARIABILITY, effective_groups=4.0))
    plans = {
        "known": plan(OF_PAIR),
        "assumed": plan(*assumed, source="assumed", comparisons=3, folds=5, lead=0.01),
        "cannot be found": plan(OF_PAIR, hopeless),
        "few groups": plan(few),
    }
    golden({name: power.sentences(of) for name, of in plans.items()})
    rows = power.rows(plans["assumed"])
    assert list(rows[0]) == ["seeds", "SD 0.30 points", "SD 0.55 points", "training"]
