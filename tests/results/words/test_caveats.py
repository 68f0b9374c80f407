from dataclasses import replace

import pytest

from made_trials import FOUR, trial
from spikeduel.results.words.caveats import caveats, more_groups
from spikeduel.settings.recipes import baseline


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ({"groups_tested": 5, "groups": 48}, "(5 of 48 are tested; --folds 5 tests them all)"),
        ({"groups_tested": 1, "groups": 48, "split": "official"}, "(1 of 48 is tested)"),
        ({"groups_tested": 8, "groups": 8}, "(8 are tested)"),
        ({"groups_tested": 10, "groups": 48}, None),
        ({"groups_tested": None, "groups": None}, None),
        ({}, None),
    ],
)
def test_few_groups_are_those_that_are_tested(dataset, said):
    found = more_groups({**DATASET, **dataset})
    assert found == (said and f"more groups of test images {said}")


# ---- caveats


EXPERIMENT = baseline(seeds=3)
DATASET = {"shared_groups": None, "split": "grouped", "notes": [], "counts": {"test": 2000}}
TUNED_FOR_NONE = "Learning rate and all other settings are the same for every contender and tuned for none."


def test_what_always_holds():
    assert caveats(EXPERIMENT, DATASET, [trial("snn", 0.9), trial("snn2", 0.9)]) == [TUNED_FOR_NONE]


@pytest.mark.parametrize(
    ("changes", "dataset", "trials", "expected"),
    [
        ({}, {"shared_groups": 0.87}, [], "LEAKAGE: 87% of the test images come from a group"),
        ({}, {"shared_groups": 0.87}, [], "--split default keeps groups whole."),
        ({}, {"shared_groups": 0.01, "split": "official"}, [], "LEAKAGE: 1% of the test images come from a group"),
        ({}, {"shared_groups": 0.01, "split": "official"}, [], "divide the data anew"),
        ({}, {"shared_groups": 0.0012, "split": "official"}, [], "0.12% of the data's own test images"),
        ({}, {"folds": [{"test": 400}] * 5}, [], "means over 5 folds"),
        (
            {},
            {"audit": {"probe": {"accuracy": 0.91}, "problems": []}},
            [trial("snn2", 0.95)],
            "right on 91.0% of the test images: more than snn. So far none of what it has learned",
        ),
        ({}, {}, [trial("snn2", seed=4, fold=1)], "Failed and left out: snn2 with seed 4, fold 1."),
        ({"seeds": 1}, {}, [], "One seed: "),
        ({}, {}, [trial("cnn", 0.5)], "confounds spiking with"),
        ({}, {}, [trial("snn2", 0.5, epochs=3)], "different numbers of epochs"),
        (
            {"epochs": 7},
            {},
            [trial("snn2", 0.5, stopped="limit"), trial("snn2", 0.5, stopped="limit", seed=1)],
            "snn2 ran until the limit of epochs (2)",
        ),
        ({}, {"counts": {"test": 50}}, [], "Only 50 test images: a single image is worth 2.0 points."),
        # 10 classes alike: chance is 10 %, and two standard errors of 2,000 guesses are 1.3 points.
        ({}, {}, [trial("snn2", 0.112)], "snn2 did no better than always naming the most frequent class"),
        (
            {},
            {"groups_tested": 5, "groups": 48},
            [],
            "come from 5 groups alone (such as so many people), of 48: what is special to these groups weighs heavily, "
            "and more seeds do not help against that. --folds 5 tests all groups",
        ),
        ({}, {"groups_tested": 7, "groups": 7}, [], "come from 7 groups alone (such as so many people): what is"),
        ({"limit": 1234}, {}, [], "limited to 1,234 images"),
        ({}, {}, [trial("snn2", seed=4)], "Failed and left out: snn2 with seed 4."),
        (
            {},
            {},
            [trial("snn2", 0.9, failed_measures={"encoding_spread": "it broke."})],
            "encoding_spread of snn2 with seed 0 failed (it broke)",
        ),
        ({}, {"test_uses": 5}, [trial("snn2", 0.9)], "5 models have been asked about these test images"),
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


@pytest.mark.parametrize(("tested", "floor"), [(5, "no p-value is below 0.062"), (6, None)])
def test_few_groups_set_a_floor_to_the_p_value_of_one_seed(tested, floor):
    dataset = {**DATASET, "groups_tested": tested, "groups": 48}
    said = " ".join(caveats(replace(EXPERIMENT, seeds=1), dataset, [trial("snn", 0.9)]))
    assert (floor in said) if floor else ("no p-value is below" not in said)


def fold(accuracy, number, n=100, supports=(20,) * 5, **changes):
    test = {"n": n, "accuracy": accuracy, "per_class": [{"support": s} for s in supports]}
    return trial("snn", accuracy, fold=number, **{"test": test, **changes})


def test_chance_is_judged_by_all_trainings_together():
    # 0.27 of 100 images is within two standard errors (8 points) of 20 %; 0.29 of 500 (3.6 points) is not.
    said = caveats(EXPERIMENT, DATASET, [fold(a, k) for k, a in enumerate((0.27, 0.3, 0.29, 0.29, 0.3))])
    assert not any("no better than always" in line for line in said)
    assert any("In some trainings" in line and "(snn in 1 of 5)" in line for line in said)
    said = caveats(EXPERIMENT, DATASET, [fold(a, k) for k, a in enumerate((0.16, 0.28, 0.2, 0.2, 0.22))])
    assert sum("snn did no better than always" in line for line in said) == 1
    assert not any("In some trainings" in line for line in said)


def test_seeds_answer_the_same_images():
    # Six seeds at 0.27 are 600 answers to 100 images: still within two standard errors of 100.
    said = caveats(EXPERIMENT, DATASET, [fold(0.27, None, seed=seed) for seed in range(6)])
    assert any("no better than always" in line for line in said)


def test_the_audits_nearest_neighbour_is_set_against_the_fold_that_it_looks_at():
    dataset = {**DATASET, "folds": [{"test": 100}] * 2, "audit": {"probe": {"accuracy": 0.6}, "problems": []}}
    said = " ".join(caveats(EXPERIMENT, dataset, [fold(0.5, 0), fold(0.9, 1)]))
    assert "is right on 60.0% of the test images of the first fold: more than snn" in said
    assert "more than snn" not in " ".join(caveats(EXPERIMENT, dataset, [fold(0.7, 0), fold(0.3, 1)]))


@pytest.mark.parametrize(("stopped", "hint"), [("early", "--set patience=N"), ("limit", "long enough (--epochs)")])
def test_who_stopped_early_at_chance_gets_patience(stopped, hint):
    said = caveats(EXPERIMENT, DATASET, [fold(0.2, None, stopped=stopped)])
    assert any(hint in line for line in said if "no better than" in line)


def test_groups_that_are_whole_are_no_leakage():
    assert caveats(EXPERIMENT, {**DATASET, "shared_groups": 0.0}, [trial("snn", 0.9)]) == [TUNED_FOR_NONE]


# ---- twins


def test_of_twins_the_difference_is_the_activations():
    said = " ".join(caveats(EXPERIMENT, DATASET, FOUR[:2]))
    assert "dense-snn and dense-cnn have the same weights, shape for shape" in said
    assert "confounds" not in said
    said = " ".join(caveats(EXPERIMENT, DATASET, FOUR))
    assert "dense-snn and dense-cnn; conv-snn and conv-cnn. A difference within such a pair is the activation's" in said
    assert "any others differ in shape as well" in said
    assert "confounds" in " ".join(caveats(EXPERIMENT, DATASET, [FOUR[0], FOUR[3]]))


def test_test_uses_that_this_runs_trials_explain_need_no_words():
    for uses in (None, 0, 1):
        assert caveats(EXPERIMENT, {**DATASET, "test_uses": uses}, [trial("snn", 0.9)]) == [TUNED_FOR_NONE]


def test_what_the_audit_calls_a_problem_is_a_caveat_and_its_notes_are_not():
    audit = {"problems": ["Two labels are wrong."], "notes": ["Classes are unbalanced."]}
    said = caveats(EXPERIMENT, {**DATASET, "audit": audit}, [trial("snn", 0.9)])
    assert said == [TUNED_FOR_NONE, "The audit of the data: Two labels are wrong."]
