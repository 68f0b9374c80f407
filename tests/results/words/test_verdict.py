import re

import pytest
from msgspec import structs

from made_findings import example
from made_trials import FOUR, dataset, pair, results, trial
from spikeduel.results.audit import Counts
from spikeduel.results.findings import finding
from spikeduel.results.run import Neither
from spikeduel.results.significance import Conclusion, Reservation
from spikeduel.results.words.verdict import (
    BRIEF,
    LEAKAGE,
    because,
    conclusion,
    epoch_times,
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


# ---- one pair


def test_a_better_contender():
    assert said(pair(0.02, seeds=6, p_value=0.0022, conclusion=Conclusion.A_BETTER)) == (
        "Accuracy on 2,000 test images: snn 90.00 % and cnn 88.00 % (6 seeds). snn leads by 2.00 "
        "points (95 % interval 1.00 to 3.00; p = 0.002). At these settings, snn is better."
    )


def test_one_seed_is_about_these_two_models():
    text = said(pair(0.02, p_value=0.004, conclusion=Conclusion.A_BETTER))
    assert "(these two trained models only)" in text
    assert "120 images only snn gets right, 80 only cnn." in text
    assert text.endswith("For these models, snn is better.")
    assert CLAIMS.search(text)


@pytest.mark.parametrize("given", ["equivalent", "inconclusive"])
@pytest.mark.parametrize("seeds", [1, 6])
@pytest.mark.parametrize("difference", [0.5, 0.02, 0.0, -0.02])
def test_nobody_is_called_better_without_a_conclusion(difference, seeds, given):
    one = pair(difference, seeds=seeds, accuracy_a=0.49, conclusion=Conclusion(given))
    for pairs in ([one], [one, structs.replace(one, b="other")]):
        assert not CLAIMS.search(said(*pairs))


def test_the_one_ahead_is_named_first_and_the_interval_is_its():
    behind = pair(-0.02, accuracy_a=0.88, half=0.03, only_a=50.0, only_b=150.0, p_value=0.0)
    text = said(behind)
    assert "cnn 90.00 % and snn 88.00 %" in text
    assert "cnn leads by 2.00 points (95 % interval −1.00 to 5.00; p < 0.001)" in text
    assert "150 images only cnn gets right, 50 only snn" in text


def test_equal_accuracies():
    assert "They are level (95 % interval −1.00 to 1.00)." in said(pair(0.0, only_a=80.0))


def test_folds_are_no_two_models():
    assert "(one seed in each of 5 folds)" in said(pair(0.02), about=FOLDS)
    assert "(6 seeds and 5 folds)" in said(pair(0.02, seeds=6), about=FOLDS)


def test_accuracies_are_those_of_the_seeds_that_both_finished():
    trials = [
        trial("snn", 0.9),
        trial("snn", 0.1, seed=1),
        trial("cnn", 0.88),
        trial("cnn", seed=1),
    ]
    assert "snn 90.00 %" in said(pair(0.02), trials=trials)


def test_the_number_of_parameters():
    def of(snn, cnn):
        return said(
            pair(0.02),
            trials=[trial("snn", 0.9, parameters=snn), trial("cnn", 0.88, parameters=cnn)],
        )

    assert "Parameters: snn 814,090, cnn 1,000." in of(814_090, 1_000)
    assert "Both have 1,000 parameters." in of(1_000, 1_000)


# ---- no pair


def test_nothing_finished():
    assert (
        said(trials=[trial("snn"), trial("cnn")])
        == "No trial was finished: there is nothing to compare."
    )


@pytest.mark.parametrize("others", [[], [trial("cnn")], [trial("snn", 0.85, seed=1)]])
def test_without_a_pair_each_trial_has_its_accuracy(others):
    trials = [trial("snn", 0.9), *others]
    expected = ["Accuracy 90.00 % on 2,000 test images: snn, seed 0."]
    expected += ["Accuracy 85.00 % on 2,000 test images: snn, seed 1."] * sum(
        t.test is not None for t in others
    )
    assert said(trials=trials) == " ".join(expected)


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
            accuracy[one] - accuracy[other],
            a=one,
            b=other,
            seeds=seeds,
            conclusion=Conclusion(found),
            accuracy_a=accuracy[one],
            accuracy_b=accuracy[other],
            half=0.06 if one + other == "cd" else 0.01,
        )
        for (one, other), found in concluded.items()
    ]


def test_many_contenders_are_told_by_the_best_and_each_pair_once():
    text = said(*many(6))
    first, *groups = text.split(". ")
    assert first.endswith("a has the highest, 90.00 %, of 4 contenders (6 seeds)")
    assert groups[0] == "a is better than b (+10.00; 9.00 to 11.00) and c (+5.00; 4.00 to 6.00)"
    assert text.count("(+") == 6
    assert "(these 4 trained models only)" in said(*many(1))


@pytest.mark.parametrize("reservation", Reservation)
def test_every_reservation_is_worded(reservation):
    held_back = pair(0.1, reservation=reservation, groups=40, effective_groups=3.93)
    assert BRIEF[reservation]
    assert because(held_back) in said(held_back)
    assert conclusion(held_back, "snn", "cnn") == f"inconclusive: {because(held_back)}"


@pytest.mark.parametrize("reservation", Reservation)
def test_among_many_a_lead_without_a_conclusion_is_a_group_of_its_own(reservation):
    given = {"seeds": 2, "reservation": reservation}
    xy, xz = pair(0.1, a="x", b="y", **given), pair(0.2, a="x", b="z", **given)
    yz = pair(0.1, a="y", b="z", accuracy_a=0.8, **given)
    text = said(xy, xz, yz)
    with_best, rest = (line for line in text.split(". ") if "lead" in line.lower())
    assert with_best.startswith("x leads (")
    assert with_best.endswith("over y (+10.00; 9.00 to 11.00) and z (+20.00; 19.00 to 21.00)")
    assert rest.endswith("y over z (+10.00; 9.00 to 11.00)")
    assert "nconclusive" not in text
    assert not CLAIMS.search(text)


# ---- intervals that exclude 0, and nobody better


def test_every_reservation_has_words_for_a_table():
    assert set(BRIEF) == set(Reservation)
    # With three seeds, 2 of 20 ways.
    assert "below 0.1 " in because(pair(0.1, seeds=3, reservation=Reservation.FEW_SEEDS))
    assert "below 0.062 " in because(
        pair(0.1, seeds=5, paired=True, reservation=Reservation.FEW_SEEDS)
    )


# ---- one line


# ---- times


def test_the_ratio_of_epoch_times_is_one_of_medians():
    trials = [
        trial("snn", 0.9, seconds=[3.0, 90.0, 4.0]),
        trial("cnn", 0.8, seconds=[2.0, 2.0, 2.0]),
    ]
    (text,) = epoch_times(results(trials))
    assert text == "Epoch time (median on this machine): snn 4.0 s, cnn 2.0 s, a ratio of 2.0."
    assert text in said(trials=trials)


@pytest.mark.parametrize(
    "trials",
    [
        [trial("snn", 0.9, seconds=[3.0, 90.0, 4.0])],
        [trial("snn", 0.9, seconds=[3.0, 90.0, 4.0]), trial("cnn")],
        # Epochs of a few milliseconds say nothing, nor do two, of which one is the first.
        [trial("snn", 0.9, seconds=[0.5] * 3), trial("cnn", 0.9, seconds=[0.01] * 3)],
        [trial("snn", 0.9, seconds=[50.0, 0.5]), trial("cnn", 0.9, seconds=[0.1] * 3)],
    ],
)
def test_times_that_say_nothing(trials):
    assert epoch_times(results(trials)) == []


def test_a_ratio_that_a_caveat_takes_back_is_not_told():
    trials = [trial("snn", 0.9, seconds=[4.0] * 3), trial("cnn", 0.8, seconds=[2.0] * 3)]
    for caveat in (
        finding("busy_machine", load=5.0, cores=2),
        finding("in_float32", contenders=["snn"]),
    ):
        assert epoch_times(results(trials, caveats=[caveat])) == []
    # Both of another precision than a third are comparable with one another.
    assert (
        len(
            epoch_times(results(trials, caveats=[finding("in_float32", contenders=["snn", "cnn"])]))
        )
        == 1
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


def test_other_problems_of_the_data_are_no_leakage():
    wrong = example("conflicting_labels")
    assert LEAKAGE not in verdict(results(DUEL, [pair(0.02)], caveats=[finding("one_seed"), wrong]))


def test_the_times_of_twins_are_told_pair_by_pair():
    dense, conv = epoch_times(results(FOUR))
    assert "dense-snn 2.0 s, dense-cnn 1.0 s, a ratio of 2.0" in dense
    assert "conv-snn 9.0 s, conv-cnn 3.0 s, a ratio of 3.0" in conv


@pytest.mark.parametrize("seeds", [1, 6])
@pytest.mark.parametrize("pretrained", [None, "W"])
def test_neither_of_the_twins(pretrained, seeds):
    tuned = trial("tuned-cnn", 0.95, pretrained=pretrained)
    made = results([*FOUR, tuned], [pair(0.02, seeds=seeds)])
    answer = Neither(
        contender="tuned-cnn", twins=[("dense-snn", "dense-cnn"), ("conv-snn", "conv-cnn")]
    )
    with_answer = structs.replace(made, comparison=structs.replace(made.comparison, neither=answer))
    what = ", fine-tuned from pretrained weights," if pretrained else ""
    assert (
        "If accuracy decides, take neither of the twins (dense-snn and dense-cnn; conv-snn and "
        "conv-cnn): "
        # One seed is about these models, and says no more.
        f"{'of these trained models, ' if seeds == 1 else ''}tuned-cnn{what} is better than all of "
        f"them."
    ) in verdict(with_answer)
    assert "neither of the twins" not in verdict(made)
