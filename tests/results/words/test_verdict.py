import re

import pytest
from msgspec import structs

from factories import dataset, example, pair, results, trial
from spikeduel.results.audit import Counts
from spikeduel.results.controls import WithoutTime
from spikeduel.results.findings import finding
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.results.words.verdict import (
    LEAKAGE,
    because,
    conclusion,
    on_time,
    reserved,
    verdict,
)

DUEL = [trial("snn", 0.9), trial("cnn", 0.88)]
CLAIMS = re.compile(
    r"(snn|cnn|other|first|[xyz]) is (better|worse|superior)|better "
    r"than|proves|outperform|\bbeats\b"
)
FOLDS = dataset(folds=[Counts(train=1, val=1, test=400)] * 5)


def said(*pairs, trials=DUEL, about=None):
    return verdict(results(trials, pairs, about=about))


# ---- pairs


def test_a_better_contender():
    assert said(pair(0.02, seeds=6, p_value=0.0022, conclusion=Conclusion.A_BETTER)) == (
        "Accuracy on 2,000 test images: snn has the highest, 90.00 %, of 2 contenders (6 seeds). "
        "Against cnn (+2.00; +1.00 to +3.00; p = 0.002): snn is better. Brackets: points, 95 % "
        "interval."
    )


def test_equally_accurate_ones_share_the_highest():
    assert "snn and cnn have the highest, 90.00 %, of 2 contenders" in said(pair(0.0))


def test_one_seed_is_about_these_two_models():
    text = said(pair(0.02, p_value=0.004, conclusion=Conclusion.A_BETTER))
    assert "(these 2 trained models only)" in text
    assert "(one seed in each of 5 folds)" in said(pair(0.02), about=FOLDS)
    assert CLAIMS.search(text)


@pytest.mark.parametrize("concluded", ["equivalent", "inconclusive"])
@pytest.mark.parametrize("difference", [0.5, 0.0, -0.02])
def test_nobody_is_called_better_without_a_conclusion(difference, concluded):
    level = pair(difference, seeds=6, accuracy_a=0.49, conclusion=Conclusion(concluded))
    for pairs in ([level], [level, structs.replace(level, b="other")]):
        assert not CLAIMS.search(said(*pairs))


def test_the_one_ahead_is_named_first_and_the_interval_is_its():
    text = said(pair(-0.02, accuracy_a=0.88, half=0.03, p_value=0.0))
    assert "cnn has the highest, 90.00 %" in text
    assert "Against snn (+2.00; −1.00 to +5.00; p < 0.001)" in text


# ---- no pair


def test_nothing_finished():
    assert (
        said(trials=[trial("snn"), trial("cnn")])
        == "No trial was finished: there is nothing to compare."
    )


@pytest.mark.parametrize(
    ("others", "second"),
    [
        ([], ""),
        ([trial("cnn")], ""),
        (
            [trial("snn", 0.85, seed=1)],
            " Accuracy 85.00 % on 2,000 test images: snn, seed 1.",
        ),
    ],
)
def test_without_a_pair_each_trial_has_its_accuracy(others, second):
    expected = "Accuracy 90.00 % on 2,000 test images: snn, seed 0." + second
    assert said(trials=[trial("snn", 0.9), *others]) == expected


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


def test_many_contenders_are_told_by_the_best():
    text = said(*many(6))
    first, *groups = text.split(". ")
    assert first.endswith("a has the highest, 90.00 %, of 4 contenders (6 seeds)")
    assert groups[0].startswith("Against b (+10.00; +9.00 to +11.00; p = 0.200) and c (+5.00; ")
    assert groups[0].endswith("): a is better")
    assert groups[1].endswith("): equivalent")


@pytest.mark.parametrize("reservation", Reservation)
def test_every_reservation_is_worded(reservation):
    held_back = pair(0.1, reservation=reservation, groups=40, effective_groups=3.93)
    assert f": {reserved(held_back)}" in conclusion(held_back, "snn", "cnn", brief=True)
    assert because(held_back) in said(held_back)
    assert conclusion(held_back, "snn", "cnn") == f"inconclusive: {because(held_back)}"


@pytest.mark.parametrize(
    ("seeds", "scope", "what"),
    [
        (1, "On made up in these trainings 2.00 points are lost", "These are single trainings; "),
        (
            3,
            "On made up in these trainings 2.00 points are lost",
            "These are 3 trainings of each; ",
        ),
        (6, "On made up 2.00 points are lost", "best on validation images."),
    ],
)
def test_few_trainings_say_nothing_of_the_data_set(seeds, scope, what):
    found = pair(0.02, seeds=seeds)
    without = WithoutTime(
        contender="snn",
        accuracy=0.9,
        without="cnn",
        accuracy_without=0.88,
        trained_without=True,
        found=found,
        lost="some",
    )
    told = results(DUEL, [found])
    text = on_time(
        structs.replace(told, comparison=structs.replace(told.comparison, without_time=without))
    )
    assert text.startswith(scope)
    assert what in text


# ---- intervals that exclude 0, and nobody better


def test_few_seeds_say_what_p_they_can_reach():
    # With three seeds, 2 of 20 ways.
    assert "below 0.1 " in because(pair(0.1, seeds=3, reservation=Reservation.FEW_SEEDS))
    assert "below 0.062 " in because(
        pair(0.1, seeds=5, paired=True, reservation=Reservation.FEW_SEEDS)
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
