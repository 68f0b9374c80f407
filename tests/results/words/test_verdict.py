import re

import pytest

from made_trials import FOUR, trial
from spikeduel.results.words.verdict import p_value, speed_ratio, twins, verdict

CLAIMS = re.compile(r"better|worse|proves|superior|outperform|\bbeats\b|equivalent")


def pair(difference, *, seeds=1, accuracy_a=0.9, only_a=120.0, only_b=80.0, half=0.01, **changes):
    made = {
        "a": "snn",
        "b": "cnn",
        "difference": difference,
        "accuracy_a": accuracy_a,
        "accuracy_b": None if difference is None else accuracy_a - difference,
        "only_a_right": only_a,
        "only_b_right": only_b,
        "n": 2000,
        "seeds": seeds,
        "ci95": None if difference is None else [difference - half, difference + half],
        "ci90": None if difference is None else [difference - 0.8 * half, difference + 0.8 * half],
        "p_value": 0.2,
        "margin": 0.005,
        "negligible": False,
        "conclusion": "inconclusive",
        "detectable_at_best": 0.004,
        "seeds_needed": 14,
    }
    return {**made, **changes}


DUEL = [trial("snn", 0.9), trial("cnn", 0.88)]
UNTUNED = "other settings, which were tuned for none of them."
ONE_SEED = (
    "What could overturn this: another training (one seed says nothing of its luck; the same command with --seeds 6 "
    "does); " + UNTUNED
)


def test_one_seed_speaks_of_these_two_models_only():
    said = verdict(DUEL, [pair(0.02, p_value=0.004, conclusion="a_better")])
    assert said == (
        "Of these two trained models, snn is right on 90.00% of 2,000 test images and cnn on 88.00%: 2.00 points apart "
        "(95 % interval 1.00 to 3.00; 120 images only snn gets right, 80 only cnn). That is more than the choice of "
        f"test images explains (p = 0.004). {ONE_SEED}"
    )


def test_the_one_ahead_is_named_first():
    said = verdict(DUEL, [pair(-0.05, accuracy_a=0.85, only_a=50.0, only_b=150.0, p_value=0.0, conclusion="b_better")])
    assert said.startswith("Of these two trained models, cnn is right on 90.00% of 2,000 test images and snn on 85.00%")
    assert "5.00 points apart (95 % interval 4.00 to 6.00; 150 images only cnn gets right, 50 only snn)" in said
    assert "(p < 0.001)" in said


def test_equal_accuracies_are_no_luck():
    said = verdict(DUEL, [pair(0.0, p_value=1.0, only_a=80.0)])
    assert said == (
        "These two trained models, snn and cnn, are right on equally many of 2,000 test images (90.00%; 95 % interval "
        "−1.00 to 1.00; 80 images only snn gets right, as many only cnn). Other test images could show a difference "
        f"beyond the 0.5 points that count as none. {ONE_SEED}"
    )


@pytest.mark.parametrize("conclusion", ["a_better", "equivalent", "inconclusive"])
@pytest.mark.parametrize("negligible", [True, False])
@pytest.mark.parametrize("difference", [0.5, 0.02, 0.0])
def test_one_seed_claims_nothing_of_contenders(difference, conclusion, negligible):
    two = pair(difference, conclusion=conclusion, negligible=negligible)
    for pairs in ([two], [two, {**two, "b": "other"}]):
        said = verdict(DUEL, pairs)
        assert "rained models" in said
        if len(pairs) == 1:
            assert not CLAIMS.search(said)
        assert not re.search(r"is better|better than|at these settings", said)


def test_better():
    said = verdict(DUEL, [pair(0.02, seeds=6, p_value=0.0022, conclusion="a_better")])
    assert said == (
        "snn is better than cnn at these settings: over 6 seeds, snn is right on 90.00% of 2,000 test images on "
        "average and cnn on 88.00%, a lead of 2.00 points (95 % interval 1.00 to 3.00; p = 0.002). What could overturn "
        "this: " + UNTUNED
    )


def test_folds_are_no_two_models():
    in_folds = [trial(name, 0.9, fold=fold) for fold in range(5) for name in ("snn", "cnn")]
    assert verdict(in_folds, [pair(0.02)]).startswith(
        "Trained once for each of 5 folds, snn is right on 90.00% of 2,000 test images and cnn on 88.00%"
    )
    assert verdict(in_folds, [pair(0.0)]).startswith("Trained once for each of 5 folds, snn and cnn are right on equal")
    assert "over 6 seeds and 5 folds, snn is right on" in verdict(in_folds, [pair(0.02, seeds=6)])


def test_the_interval_is_the_leaders():
    said = verdict(DUEL, [pair(-0.02, seeds=6, accuracy_a=0.88, half=0.03, p_value=0.1)])
    assert "cnn is right on 90.00% of 2,000 test images on average and snn on 88.00%" in said
    assert "2.00 points apart (95 % interval −1.00 to 5.00; p = 0.100)" in said


def test_better_by_less_than_counts_is_said_as_such():
    said = verdict(DUEL, [pair(0.002, seeds=6, half=0.001, p_value=0.01, conclusion="a_better", negligible=True)])
    assert said.startswith("snn is better than cnn at these settings")
    assert "It is a real lead and a small one: inside the 0.5 points that count as no difference." in said


def test_equivalent_and_inconclusive_are_different_words():
    equal = verdict(DUEL, [pair(0.001, seeds=6, half=0.003, conclusion="equivalent", negligible=True)])
    assert equal.startswith("snn and cnn are equivalent at these settings: over 6 seeds, snn is right on 90.00%")
    assert "lies between −0.14 and 0.34 points (90 % interval), inside the ±0.5 points that count" in equal
    assert "nconclusive" not in equal
    unsure = verdict(DUEL, [pair(0.001, seeds=6)])
    assert unsure.startswith("Inconclusive at these settings: over 6 seeds")
    assert "neither shows one to be better nor shows them to be equivalent, that is, within 0.5 points" in unsure


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "more seeds (about 14 would show a difference of 0.5 points, if there is one); other settings"),
        ({"seeds": 3}, "more seeds (fewer than 4 cannot make a lead conclusive, however large; --seeds 6 can); other"),
        ({"seeds_needed": None}, "more than 100 seeds (so many it would take to show a difference of 0.5 points)"),
        (
            {"seeds_needed": None, "detectable_at_best": 0.0061},
            "more test images (on these, any number of seeds shows differences from about 0.61 points up)",
        ),
        ({"conclusion": "equivalent"}, "What could overturn this: other settings"),
    ],
)
def test_what_would_overturn_it(changes, said):
    assert said in verdict(DUEL, [pair(0.002, **{"seeds": 6, **changes})])


def test_a_leak_overturns_everything():
    said = verdict(DUEL, [pair(0.02, seeds=6, conclusion="a_better")], 0.87)
    assert (
        "overturn this: a split that keeps relatives together (87% of test images have some in training); oth" in said
    )


def test_the_cost_is_named():
    trials = [trial("snn", 0.9, parameters=814_090), trial("cnn", 0.88, parameters=1_000)]
    assert "snn has 814,090 parameters, cnn 1,000." in verdict(trials, [pair(0.02, seeds=6)])


def test_accuracies_are_those_of_the_seeds_that_both_finished():
    trials = [trial("snn", 0.9), trial("snn", 0.1, seed=1), trial("cnn", 0.88), trial("cnn", seed=1)]
    assert "snn is right on 90.00%" in verdict(trials, [pair(0.02)])


def test_nothing_finished():
    assert verdict([trial("snn"), trial("cnn")], []) == "No trial was finished: there is nothing to compare."


def test_one_contender():
    trials = [trial("snn", 0.9), trial("snn", 0.85, seed=1)]
    assert verdict(trials, []) == (
        "snn, seed 0, is right on 90.00% of 2,000 test images. snn, seed 1, is right on 85.00% of 2,000 test images."
    )


def test_only_one_of_two_finished():
    assert verdict([trial("snn", 0.9), trial("cnn")], []) == "snn, seed 0, is right on 90.00% of 2,000 test images."
    # Both finished, but no seed in common.
    trials = [trial("snn", 0.9), trial("cnn", 0.8, seed=1)]
    assert verdict(trials, [pair(None, seeds=0)]).startswith("snn, seed 0, is right on 90.00%")


def many(seeds):
    """Four contenders: a better than b and c, equivalent to d; the others in all ways."""
    accuracy = {"a": 0.9, "b": 0.8, "c": 0.85, "d": 0.899}
    concluded = {
        "ab": "a_better", "ac": "a_better", "ad": "equivalent", "bc": "b_better", "bd": "b_better",
        "cd": "inconclusive",
    }  # fmt: skip
    return [
        pair(
            accuracy[one] - accuracy[other], a=one, b=other, seeds=seeds, conclusion=concluded[one + other],
            accuracy_a=accuracy[one], accuracy_b=accuracy[other], half=0.06 if one + other == "cd" else 0.01,
        )
        for one, other in concluded
    ]  # fmt: skip


def test_many_contenders_are_told_by_the_best():
    assert verdict(DUEL, many(6)) == (
        "Of 4 contenders over 6 seeds, a is most often right: on 90.00% of 2,000 test images on average. It is better "
        "than b (by 10.00 points, 9.00 to 11.00) and c (by 5.00 points, 4.00 to 6.00); equivalent to d (0.10 points "
        "ahead, −0.90 to 1.10). Among the others: better: c than b and d than b; inconclusive: c and d. Leads come "
        "with their 95 % intervals, and conclusions are adjusted for 6 comparisons (Holm). All this is at these "
        "settings. "
        "What could overturn this: more seeds (about 14 would show a difference of 0.5 points, if there is one); "
        + UNTUNED
    )


def test_many_trained_models_stay_these_models():
    said = verdict(DUEL, many(1))
    assert said.startswith(
        "Of these 4 trained models, a is most often right: on 90.00% of 2,000 test images. It is ahead,"
    )
    assert "by more than the choice of test images explains, of b (by 10.00 points" in said
    assert "better" not in said


def test_long_lists_are_cut():
    pairs = [pair(0.1, seeds=6, a="best", b=f"c{k}", accuracy_b=0.8, conclusion="a_better") for k in range(10)]
    said = verdict(DUEL, pairs)
    assert "c5 (by 10.00 points, 9.00 to 11.00) and 4 more." in said
    assert "c6" not in said


def test_the_speed_ratio_is_one_of_medians():
    trials = [trial("snn", 0.9, seconds=[3.0, 90.0, 4.0]), trial("cnn", 0.8, seconds=[2.0, 2.0, 2.0])]
    assert speed_ratio(trials).startswith(
        "An SNN epoch took 4.0 s and a CNN epoch 2.0 s here (medians; other work on the machine distorts them): "
        "a ratio of 2.0."
    )
    assert "a ratio of 2.0" in verdict(trials, [])
    assert speed_ratio(trials[:1]) is None
    # Epochs of a few milliseconds say nothing, nor do two, of which one is the first.
    assert speed_ratio([trial("snn", 0.9, seconds=[0.5] * 3), trial("cnn", 0.9, seconds=[0.01] * 3)]) is None
    assert speed_ratio([trial("snn", 0.9, seconds=[50.0, 0.5]), trial("cnn", 0.9, seconds=[0.1] * 3)]) is None
    assert speed_ratio([trials[0], trial("cnn")]) is None


# ---- intervals that exclude 0, and nobody better


FEW_SEEDS = {"seeds": 2, "p_value": 1 / 3, "p_value_raw": 0.001, "p_permutation": 1 / 3}
FEW_GROUPS = {"p_value": 0.0625, "p_value_raw": 0.0625, "p_permutation": None, "groups": 5}


def test_two_seeds_with_an_interval_that_excludes_0():
    said = verdict(DUEL, [pair(0.1, **FEW_SEEDS)])
    assert (
        "10.00 points apart (95 % interval 9.00 to 11.00; p = 0.333). The interval excludes 0, yet with 2 seeds" in said
    )
    assert "nobody can be called better, however large the difference (exchanging them gives no p below 0.33" in said
    assert "neither shows" not in said
    assert "neither shows" in verdict(DUEL, [pair(0.005, **FEW_SEEDS)])


def test_one_pair_in_few_groups():
    groups = "more groups of test images (5 of 48 are tested; --folds 5 tests them all)"
    said = verdict(DUEL, [pair(0.1, **FEW_GROUPS)], few_groups=groups)
    assert "The interval excludes 0, yet 5 groups of test images can show no difference, however large" in said
    assert "no p below 0.062) (p = 0.062)" in said
    assert "could explain that" not in said
    # Seeds alone are no way out.
    assert f"What could overturn this: {groups}; another training" in said
    several = pair(0.1, seeds=6, seeds_needed=None, detectable_at_best=0.3)
    said = verdict(DUEL, [several], few_groups=groups)
    assert f"What could overturn this: {groups}; other settings" in said


def test_among_many_what_is_held_back_is_a_group_of_its_own():
    a, b, c = ({"a": one, "b": other, **FEW_SEEDS} for one, other in ("xy", "xz", "yz"))
    said = verdict(DUEL, [pair(0.1, **a), pair(0.2, **b), pair(0.1, **{**c, "accuracy_a": 0.8})])
    assert (
        "It is ahead of y (by 10.00 points, 9.00 to 11.00) and z (by 20.00 points, 19.00 to 21.00), where the" in said
    )
    assert "Among the others: y ahead of z, where the interval excludes 0, yet with 2 seeds nobody" in said
    assert "not clearly" not in said
    assert "inconclusive" not in said


@pytest.mark.parametrize(("p", "said"), [(1.0, "p = 1"), (0.9994, "p = 0.999"), (0.0004, "p < 0.001")])
def test_p_values_in_words(p, said):
    assert p_value(p) == said


def test_twins_are_known_by_their_weights():
    assert twins(FOUR) == [("dense-snn", "dense-cnn"), ("conv-snn", "conv-cnn")]
    assert twins([FOUR[0], FOUR[3]]) == []
    # Of the same family, nobody is a twin; without weights, nothing is known.
    assert twins([FOUR[0], {**FOUR[0], "contender": "other-snn"}]) == []
    assert twins([{**t, "weights": None} for t in FOUR]) == []
    other = {**FOUR[1], "weights": {"linear.weight": [10, 65]}}
    assert twins([FOUR[0], other]) == []


def test_the_speed_of_twins_is_told_pair_by_pair():
    said = speed_ratio(FOUR)
    assert said.count("a ratio of 2.0") == said.count("a ratio of 3.0") == 1
    assert "An epoch of conv-snn took 9.0 s and one of conv-cnn 3.0 s" in said
    assert "study" not in said
