import re

import pytest
from msgspec import structs

from factories import dataset, example, pair, results, trial
from spikeduel.auditing.audit_results import Counts
from spikeduel.results.findings import finding
from spikeduel.results.power import Power
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.sentences.verdict import (
    LEAKAGE,
    because,
    conclusion,
    power_of_pairs,
    reserved,
    verdict,
)
from spikeduel.statistics import Variability

DUEL = [trial("snn", 0.9), trial("cnn", 0.88)]
CLAIMS = re.compile(
    r"(snn|cnn|other|first|[xyz]) is (better|worse|superior)|better "
    r"than|proves|outperform|\bbeats\b"
)
FOLDS = dataset(folds=[Counts(train=1, val=1, test=400)] * 5)


def verdict_of(*pairs, trials=DUEL, about=None):
    return verdict(results(trials, pairs, about=about))


# ---- pairs


def test_what_was_concluded_of_a_run(golden):
    failed = [trial("snn"), trial("cnn")]
    behind = {"accuracy_a": 0.88, "half": 0.03, "p_value": 0.0}
    shown = {"seeds": 6, "p_value": 0.0022, "conclusion": Conclusion.A_BETTER}
    golden(
        {
            "better": verdict_of(pair(0.02, **shown)),
            "equally accurate": verdict_of(pair(0.0)),
            "the second is ahead": verdict_of(pair(-0.02, **behind)),
            "one seed": verdict_of(pair(0.02, p_value=0.004, conclusion=Conclusion.A_BETTER)),
            "one seed, in folds": verdict_of(pair(0.02), about=FOLDS),
            "four contenders": verdict_of(*many(6)),
            "nothing finished": verdict_of(trials=failed),
            "one finished": verdict_of(trials=[trial("snn", 0.9), trial("cnn")]),
            "two seeds of one": verdict_of(trials=[trial("snn", 0.9), trial("snn", 0.85, seed=1)]),
        }
    )


@pytest.mark.parametrize("concluded", ["equivalent", "inconclusive"])
@pytest.mark.parametrize("difference", [0.5, 0.0, -0.02])
def test_nobody_is_called_better_without_a_conclusion(difference, concluded):
    assert CLAIMS.search(verdict_of(pair(0.02, conclusion=Conclusion.A_BETTER)))
    level = pair(difference, seeds=6, accuracy_a=0.49, conclusion=Conclusion(concluded))
    for pairs in ([level], [level, structs.replace(level, b="other")]):
        assert not CLAIMS.search(verdict_of(*pairs))


# ---- several


def many(seeds):
    """Four contenders: a better than b and c, equivalent to d; the others in all ways."""
    accuracy = {"a": 0.9, "b": 0.8, "c": 0.85, "d": 0.899}
    concluded = {
        "ab": "a_better",
        "ac": "a_better",
        "ad": "equivalent",
        "bc": "b_better",
        "bd": "b_better",
        "cd": "inconclusive",
    }
    return [
        pair(
            accuracy[a] - accuracy[b],
            a=a,
            b=b,
            seeds=seeds,
            conclusion=Conclusion(conclusion),
            accuracy_a=accuracy[a],
            accuracy_b=accuracy[b],
            half=0.06 if a + b == "cd" else 0.01,
        )
        for (a, b), conclusion in concluded.items()
    ]


@pytest.mark.parametrize("reservation", Reservation)
def test_every_reservation_is_worded(reservation):
    reserved_pair = pair(0.1, reservation=reservation, groups=40, effective_groups=3.93)
    assert f": {reserved(reserved_pair)}" in conclusion(reserved_pair, "snn", "cnn", brief=True)
    assert because(reserved_pair) in verdict_of(reserved_pair)
    assert conclusion(reserved_pair, "snn", "cnn") == f"inconclusive: {because(reserved_pair)}"


# ---- intervals that exclude 0, and nobody better


def test_few_seeds_say_what_p_they_can_reach():
    # With three seeds, 2 of 20 ways.
    assert "below 0.1 " in because(pair(0.1, seeds=3, reservation=Reservation.TOO_FEW_SEEDS))
    assert "below 0.062 " in because(
        pair(0.1, seeds=5, paired=True, reservation=Reservation.TOO_FEW_SEEDS)
    )


@pytest.mark.parametrize(
    "caveat",
    [
        finding("leakage", shared=0.9, official=False),
        example("near_test_in_training"),
    ],
    ids=str,
)
def test_leakage_is_named_before_any_score(caveat):
    text = verdict(results(DUEL, [pair(0.02)], caveats=[finding("one_seed"), caveat]))
    assert text.startswith(LEAKAGE)
    assert not re.search(r"[0-9]", LEAKAGE)


VARIABILITY = Variability(seeds_a=0.0045, seeds_b=0.0057, images=0.002)
FOUND = Power(
    difference=0.01,
    seeds=6,
    comparisons=1,
    probability=0.657,
    seeds_needed=9,
    variability=VARIABILITY,
)


def run(*powers):
    pairs = [
        pair(0.01, seeds=6, power=power_of, b=f"cnn{k or ''}") for k, power_of in enumerate(powers)
    ]
    return results([trial("snn", 0.9), trial("cnn", 0.9)], pairs)


def test_a_run_says_what_it_could_have_found(golden):
    never = structs.replace(FOUND, probability=0.1, seeds_needed=None)
    golden({"one pair": power_of_pairs(run(FOUND)), "two": power_of_pairs(run(FOUND, never))})
    assert power_of_pairs(run(None)) == ""
