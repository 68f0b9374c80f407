import re
from dataclasses import replace

import pytest

from spikeduel.settings import Experiment
from spikeduel.verdict import caveats, speed_ratio, verdict

CLAIMS = re.compile(r"better|worse|significant(?!ce has been made)|proves|superior|outperform|\bbeats\b|\bp\s*=")


def trial(contender, accuracy=None, *, seed=0, seconds=(), **changes):
    made = {
        "contender": contender,
        "family": "cnn" if "cnn" in contender else "snn",
        "seed": seed,
        "status": "failed" if accuracy is None else "done",
        "epochs": 2,
        "stopped": "early",
        "epoch_seconds": list(seconds),
        "test": None if accuracy is None else {"n": 2000, "accuracy": accuracy, "per_class": [{"support": 200}] * 10},
    }
    return {**made, **changes}


def pair(difference, *, seeds=1, a_ahead=0, b_ahead=0, accuracy_a=0.9, only_a=120.0, only_b=80.0):
    return {
        "a": "snn",
        "b": "cnn",
        "difference": difference,
        "accuracy_a": accuracy_a,
        "accuracy_b": None if difference is None else accuracy_a - difference,
        "only_a_right": only_a,
        "only_b_right": only_b,
        "seeds_a_ahead": a_ahead,
        "seeds_b_ahead": b_ahead,
        "n": 2000,
        "seeds": seeds,
    }


DUEL = [trial("snn", 0.9), trial("cnn", 0.88)]


def test_one_seed_speaks_of_these_two_models_only():
    said = verdict(DUEL, [pair(0.02, a_ahead=1)])
    assert said == (
        "Of these two trained models, snn is right on 90.0% of 2,000 test images and cnn on 88.0%: 2.0 points apart "
        "(120 images only snn gets right, 80 only cnn). One seed cannot tell whether another training would end the "
        "same way; the same command with --seeds 6 would."
    )


def test_the_one_ahead_is_named_first():
    said = verdict(DUEL, [pair(-0.05, b_ahead=1, accuracy_a=0.85, only_a=50.0, only_b=150.0)])
    assert said.startswith("Of these two trained models, cnn is right on 90.0% of 2,000 test images and snn on 85.0%")
    assert "5.0 points apart (150 images only cnn gets right, 50 only snn)" in said


def test_equal_accuracies():
    said = verdict(DUEL, [pair(0.0)])
    assert said == (
        "These two trained models, snn and cnn, are right on equally many of 2,000 test images (90.0%). One seed "
        "cannot tell whether that is luck."
    )


def test_several_seeds():
    said = verdict(DUEL, [pair(0.02, seeds=6, a_ahead=4, b_ahead=2)])
    assert said == (
        "Over 6 seeds, snn is right on 90.0% of 2,000 test images on average and cnn on 88.0%: 2.0 points apart; snn "
        "was ahead with 4 of the 6 seeds. No test of significance has been made."
    )


def test_seeds_that_end_level_are_nobodys():
    said = verdict(DUEL, [pair(-0.02, seeds=6, a_ahead=1, b_ahead=2)])
    assert "cnn was ahead with 2 of the 6 seeds" in said


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("difference", [0.5, 0.02, 0.0, -0.3])
def test_no_more_is_claimed_than_was_tested(difference, seeds):
    said = verdict(DUEL, [pair(difference, seeds=seeds, a_ahead=seeds if difference > 0 else 0)])
    assert not CLAIMS.search(said)


def test_accuracies_are_those_of_the_seeds_that_both_finished():
    trials = [trial("snn", 0.9), trial("snn", 0.1, seed=1), trial("cnn", 0.88), trial("cnn", seed=1)]
    assert "snn is right on 90.0%" in verdict(trials, [pair(0.02, a_ahead=1)])


def test_nothing_finished():
    assert verdict([trial("snn"), trial("cnn")], []) == "No trial was finished: there is nothing to compare."


def test_one_contender():
    trials = [trial("snn", 0.9), trial("snn", 0.85, seed=1)]
    assert verdict(trials, []) == (
        "snn, seed 0, is right on 90.0% of 2,000 test images. snn, seed 1, is right on 85.0% of 2,000 test images."
    )


def test_only_one_of_two_finished():
    assert verdict([trial("snn", 0.9), trial("cnn")], []) == "snn, seed 0, is right on 90.0% of 2,000 test images."
    # Both finished, but no seed in common.
    trials = [trial("snn", 0.9), trial("cnn", 0.8, seed=1)]
    assert verdict(trials, [pair(None, seeds=0)]).startswith("snn, seed 0, is right on 90.0%")


def test_three_contenders_get_a_sentence_a_pair():
    pairs = [pair(0.02), {**pair(0.05), "b": "other"}]
    assert verdict(DUEL, pairs).count("Of these two trained models") == 2


def test_the_speed_ratio_is_one_of_medians():
    trials = [trial("snn", 0.9, seconds=[3.0, 90.0, 4.0]), trial("cnn", 0.8, seconds=[2.0, 2.0])]
    assert speed_ratio(trials).startswith(
        "An SNN epoch took 4.0 s and a CNN epoch 2.0 s here (medians; other work on the machine distorts them): "
        "a ratio of 2.0."
    )
    assert "a ratio of 2.0" in verdict(trials, [])
    assert speed_ratio(trials[:1]) is None
    # Epochs of a few milliseconds say nothing.
    assert speed_ratio([trial("snn", 0.9, seconds=[0.5]), trial("cnn", 0.9, seconds=[0.01])]) is None
    assert speed_ratio([trials[0], trial("cnn")]) is None


# ---- caveats


EXPERIMENT = Experiment(seeds=3)
DATASET = {"shared_groups": None, "notes": [], "counts": {"test": 2000}}
TUNED_FOR_NONE = "Learning rate and all other settings are the same for every contender and tuned for none."


def test_what_always_holds():
    assert caveats(EXPERIMENT, DATASET, [trial("snn", 0.9), trial("snn2", 0.9)]) == [TUNED_FOR_NONE]


@pytest.mark.parametrize(
    ("changes", "dataset", "trials", "expected"),
    [
        ({}, {"shared_groups": 0.87}, [], "LEAKAGE: 87% of the test images come from a group"),
        ({"seeds": 1}, {}, [], "One seed: "),
        ({}, {}, [trial("cnn", 0.5)], "confounds spiking with"),
        ({}, {}, [trial("snn2", 0.5, epochs=3)], "different numbers of epochs"),
        (
            {"epochs": 7},
            {},
            [trial("snn2", 0.5, stopped="limit"), trial("snn2", 0.5, stopped="limit", seed=1)],
            "snn2 ran until the limit of epochs (7)",
        ),
        ({}, {"counts": {"test": 50}}, [], "Only 50 test images: a single image is worth 2.0 points."),
        # 10 classes alike: chance is 10 %, and two standard errors of 2,000 guesses are 1.3 points.
        ({}, {}, [trial("snn2", 0.112)], "snn2 did no better than always naming the most frequent class"),
        ({"limit": 1234}, {}, [], "limited to 1,234 images"),
        ({}, {}, [trial("snn2", seed=4)], "Failed and left out: snn2 with seed 4."),
        ({}, {"notes": ["The raw images are transposed."]}, [], "The raw images are transposed."),
    ],
)
def test_each_condition_adds_its_own_caveat(changes, dataset, trials, expected):
    said = caveats(replace(EXPERIMENT, **changes), {**DATASET, **dataset}, [trial("snn", 0.9), *trials])
    new = [line for line in said if line != TUNED_FOR_NONE]
    assert len(new) == 1
    assert expected in new[0]


def test_a_little_better_than_chance_is_better():
    assert caveats(EXPERIMENT, DATASET, [trial("snn", 0.115)]) == [TUNED_FOR_NONE]


def test_groups_that_are_whole_are_no_leakage():
    assert caveats(EXPERIMENT, {**DATASET, "shared_groups": 0.0}, [trial("snn", 0.9)]) == [TUNED_FOR_NONE]


def test_what_the_audit_calls_a_problem_is_a_caveat_and_its_notes_are_not():
    audit = {"problems": ["Two labels are wrong."], "notes": ["Classes are unbalanced."]}
    said = caveats(EXPERIMENT, {**DATASET, "audit": audit}, [trial("snn", 0.9)])
    assert said == [TUNED_FOR_NONE, "The audit of the data: Two labels are wrong."]
