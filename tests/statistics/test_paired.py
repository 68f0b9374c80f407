import math

import numpy as np
import pytest

from spikeduel.statistics import (
    Conclusion,
    PermutationTest,
    adjusted,
    difference_uncertainty,
    paired_test,
    smallest_p,
)


def predictions(rng, accuracy, seeds=6, images=2000, deviation=0.003, difficulty=None):
    """Bool `[S, N]`, the seeds differing by `deviation`, the images in difficulty."""
    difficulty = rng.standard_normal(images) if difficulty is None else difficulty
    level = accuracy + deviation * rng.standard_normal((seeds, 1))
    easy = np.argsort(np.argsort(difficulty)) / images
    return easy + 0.03 * rng.standard_normal((seeds, images)) < level


def mistaken(num, wrong_a, wrong_b):
    """Correct predictions of one seed each: the first are wrong, of a and then of b."""
    place = np.arange(num)
    return place >= wrong_a, (place < wrong_a) | (place >= wrong_a + wrong_b)


def compared(correct_a, correct_b, groups=None, margin=0.005, paired=False):
    return paired_test(correct_a, correct_b, margin, groups, paired)


def excludes_zero(test):
    return not test.ci95[0] <= 0 <= test.ci95[1]


def test_one_seed_is_these_two_models():
    result = compared(*mistaken(100, 8, 1))
    assert result.test == "exact McNemar test, and normal test over images"
    assert (result.n, result.seeds) == (100, 1)
    assert (result.difference, result.conclusion) == (pytest.approx(-0.07), "b_better")
    assert result.p_value == result.p_value_raw == pytest.approx(20 / 512)
    assert result.p_permutation is result.seeds_needed is result.detectable_at_best is None


def test_one_seed_in_groups_flips_whole_groups():
    correct = mistaken(40, 0, 8)  # a is ahead on 8 images, all of two groups of four
    result = compared(*correct, np.arange(40) // 4)
    assert result.p_value == pytest.approx(0.5)
    assert result.test == "t test over groups of images, and exact sign flips of 10 groups"
    assert compared(*correct, np.arange(40)).p_value == pytest.approx(2 / 2**8)


def test_the_seeds_that_a_difference_takes():
    rng = np.random.default_rng(0)
    easy = rng.standard_normal(10_000)
    a, b = (
        predictions(rng, accuracy, 4, 10_000, deviation=0.015, difficulty=easy)
        for accuracy in (0.9, 0.88)
    )
    result = compared(a, b)
    assert result.detectable_at_best < abs(result.difference)
    assert result.seeds_for_difference > 4
    again = compared(a, b, margin=abs(result.difference))
    assert result.seeds_for_difference == again.seeds_needed
    assert compared(a[:1], b[:1]).seeds_for_difference is None


def test_in_groups_that_differ_little_p_is_that_of_the_interval():
    # Of each of 40 groups of 12 images a alone gets six, and b alone five: flipping groups takes
    # that for certain.
    groups, place = np.divmod(np.arange(480), 12)
    a, b = (place < 6), (place >= 6) & (place < 11)
    result = compared(a, b, groups)
    assert PermutationTest.of_pairs(np.ones(40)).p_value < 0.001
    assert result.p_value == pytest.approx(difference_uncertainty(a[None], b[None], groups).p_value)
    assert not excludes_zero(result)
    assert result.conclusion is Conclusion.INCONCLUSIVE


ONE_TEST = {
    "one seed": {"seeds": 1},
    "one seed in groups": {"seeds": 1, "groups": 12},
    "one seed in many groups": {"seeds": 1, "groups": 40},
    "four seeds": {"seeds": 4},
    "six paired seeds": {"seeds": 6, "paired": True},
    "eleven seeds in groups": {"seeds": 11, "groups": 40},
}


@pytest.mark.parametrize("case", ONE_TEST.values(), ids=ONE_TEST)
def test_interval_p_value_and_conclusion_agree(case):
    rng, seeds, paired = np.random.default_rng(0), case["seeds"], case.get("paired", False)
    groups = np.arange(480) // (480 // case["groups"]) if "groups" in case else None
    conclusions = set()
    for difference in (0.0, 0.02, 0.04, 0.06, 0.1):
        easy = rng.standard_normal(480)
        tests = [
            compared(
                predictions(rng, 0.8 + difference, seeds, 480, 0.02, easy),
                predictions(rng, 0.8, seeds, 480, 0.02, easy),
                groups,
                paired=paired,
            )
            for _ in range(3)
        ]
        for test in adjusted(tests):
            assert excludes_zero(test) == (test.p_value <= 0.05) == test.conclusion.better
            conclusions.add(test.conclusion.better)
    assert conclusions == {True, False}


def test_the_interval_of_a_permutation_contains_the_differences_that_it_leaves_possible():
    a, b = np.array([0.91, 0.90, 0.94, 0.92]), np.array([0.88, 0.89, 0.90, 0.87])
    # In groups of unlike sizes, a true difference counts once an image.
    sums, sizes = np.array([3.0, 1, 2, 5, 2, 1, 4]), np.array([9, 3, 4, 12, 5, 8, 7])
    for test_without in (
        lambda difference: PermutationTest.of_seeds(a - difference, b),
        lambda difference: PermutationTest.of_pairs(sums - difference * sizes, sizes),
    ):
        low, high = test_without(0.0).interval(0.95)
        for end, inwards in ((low, 1e-6), (high, -1e-6)):
            assert test_without(end + inwards).p_value > 0.05 >= test_without(end - inwards).p_value


@pytest.mark.parametrize(("seeds", "paired"), [(2, False), (3, False), (5, True)])
def test_with_few_seeds_the_t_test_stands_alone_and_neither_is_better(seeds, paired):
    rng = np.random.default_rng(0)
    a, b = predictions(rng, 0.9, seeds, 20_000), predictions(rng, 0.8, seeds, 20_000)
    few = compared(a, b, paired=paired)
    assert excludes_zero(few) == (few.p_value <= 0.05)
    assert (few.p_permutation, few.conclusion) == (None, Conclusion.INCONCLUSIVE)
    assert few.few_seeds


def test_the_floor_of_groups_is_that_of_flipping_all_of_them():
    for units in range(1, 8):
        values = np.arange(units) + 3.0
        assert smallest_p(units) == PermutationTest.of_pairs(values).p_value
        exchanged = PermutationTest.of_seeds(values, -values).p_value
        assert smallest_p(units, paired=False) == pytest.approx(exchanged)


def test_the_p_value_is_the_larger_of_two():
    rng = np.random.default_rng(0)
    a, b = predictions(rng, 0.9, images=20_000), predictions(rng, 0.8, images=20_000)
    result = compared(a, b)
    # Far apart: the t test is surer than exchanging six and six can be.
    assert result.p_value_raw < 0.0005
    assert result.p_value == result.p_permutation == pytest.approx(2 / 924)
    assert result.conclusion == "a_better"
    # Holm does not change the permutation.
    assert adjusted([result] * 6)[0].p_value == result.p_value


def one_training(rng, seeds=6, images=10_000, cost=60):
    """Trainings that vary a lot, and the same once more, each with exactly `cost` correct predictions
    fewer.
    """
    once = predictions(rng, 0.87, seeds, images, deviation=0.01)
    again = once.copy()
    for row, other in zip(once, again, strict=True):
        other[rng.choice(np.flatnonzero(row), 20 + cost, replace=False)] = False
        other[rng.choice(np.flatnonzero(~row), 20, replace=False)] = True
    return once, again


def test_what_a_training_loses_each_time_is_found():
    once, again = one_training(np.random.default_rng(0))
    result = compared(once, again, paired=True)
    assert result.difference == pytest.approx(0.006)
    assert result.p_value == result.p_permutation == pytest.approx(2 / 64)
    assert (result.paired, result.conclusion) == (True, Conclusion.A_BETTER)
    apart = compared(once, again)
    assert (apart.paired, apart.conclusion) == (False, Conclusion.INCONCLUSIVE)


def test_of_few_effective_groups_neither_is_better():
    # Forty groups, of which one has half of the images: as much as four.
    groups = np.concatenate([np.zeros(390, int), np.repeat(np.arange(1, 40), 10)])
    rng = np.random.default_rng(0)
    a, b = (rng.random((6, 780)) < share for share in (0.99, 0.5))
    result = compared(a, b, groups)
    assert (result.groups, result.effective_groups) == (40, pytest.approx(3.9, abs=0.01))
    assert result.p_value < 0.05
    assert (result.few_groups, result.conclusion) == (True, Conclusion.INCONCLUSIVE)
    equal = compared(a, b, np.arange(780) // 20)
    assert (equal.effective_groups, equal.conclusion) == (39, Conclusion.A_BETTER)


@pytest.mark.parametrize("seeds", [1, 6])
def test_names_of_groups_decide_nothing(seeds):
    rng = np.random.default_rng(0)
    groups = np.arange(480) // 12
    a, b = predictions(rng, 0.86, seeds, 480), predictions(rng, 0.83, seeds, 480)
    named = compared(a, b, groups)
    assert named.p_permutation != 1
    for other_names in (groups.max() - groups, rng.permutation(40)[groups]):
        again = compared(a, b, other_names)
        assert (again.p_value, again.p_permutation) == (named.p_value, named.p_permutation)
        assert again.ci95 == named.ci95


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"correct_b": np.ones((2, 6), bool)}, "a has 1 and b 2 seeds"),
        ({"correct_b": np.ones(5, bool)}, r"correct_b must have .*, \[6\] or \[seeds, 6\]"),
        ({"correct_a": np.zeros((0, 6))}, "correct_a must have one entry for each image"),
        ({"groups": [1, 2]}, r"groups must have one entry for each image, \[6\]"),
        ({"groups": [1, 1, 2, 2, 3, math.nan]}, "groups has missing values"),
        ({"margin": -0.1}, "margin must be a fraction"),
        ({"margin": math.nan}, "margin must be a fraction"),
    ],
)
def test_errors_name_what_cannot_be_compared(changes, problem):
    correct = np.ones(6, bool)
    arguments = {"correct_a": correct, "correct_b": correct, "margin": 0.005, **changes}
    with pytest.raises(ValueError, match=problem):
        paired_test(**arguments)


def test_a_difference_by_luck_of_the_images_is_not_significant():
    # The trainings of each contender agree: exchanging seeds alone would find the difference. On 60
    # images, a difference of 3 is luck.
    a, b = np.ones((6, 60), bool), np.ones((6, 60), bool)
    a[:, :4] = False
    b[:, 4:11] = False
    a[range(6), range(20, 26)] = False
    result = compared(a, b)
    assert result.p_permutation < 0.05
    assert result.p_value > 0.05
    assert result.conclusion == "inconclusive"


def test_the_same_predictions_are_equivalent_on_enough_images():
    right = np.tile(np.arange(5000) % 10 > 0, (6, 1))
    result = compared(right, right)
    assert (result.difference, result.p_value, result.conclusion) == (0.0, 1.0, "equivalent")
    assert compared(right[:, :50], right[:, :50]).conclusion == "inconclusive"


def test_equivalence_is_two_one_sided_tests():
    correct = mistaken(10_000, 40, 30)  # −10 of 10,000, standard error sqrt(71)/10,002
    result = compared(*correct)
    upper = (10 + 1.644854 * math.sqrt(71 - 100 / 10_002)) / 10_002
    assert -result.ci90[0] == pytest.approx(upper, rel=1e-6)
    assert result.conclusion == "equivalent"
    for more, conclusion in ((1e-6, "equivalent"), (-1e-6, "inconclusive")):
        again = compared(*correct, margin=upper + more)
        assert again.conclusion == conclusion


def test_a_significant_difference_inside_the_margin_is_both():
    result = compared(*mistaken(100_000, 0, 100))
    assert (result.conclusion, result.negligible) == ("a_better", True)


def test_holm_can_take_a_conclusion_back():
    a, b = mistaken(100, 8, 1)
    alone = compared(a, b)
    (first, second) = adjusted([alone, compared(a, a)])
    assert first.p_value == pytest.approx(40 / 512)
    assert first.p_value_raw == pytest.approx(20 / 512)
    assert (alone.conclusion, first.conclusion) == (Conclusion.B_BETTER, Conclusion.INCONCLUSIVE)
    assert first.ci95[1] > 0 > alone.ci95[1]
    assert second.p_value == 1.0


def simulated(rng, images=2000, seeds=6, deviation=0.007):
    """Two contenders by a probit model: difficulty common to all, a contender's own view of an
    image, seeds, noise.
    """
    common = rng.standard_normal(images) * 0.8
    for _ in range(2):
        level = 1.15 + deviation / 0.206 * rng.standard_normal((seeds, 1))
        view = rng.standard_normal(images) * 0.45
        yield common + view + 0.4 * rng.standard_normal((seeds, images)) + level > 0


def test_intervals_contain_the_true_difference_and_false_conclusions_are_rare():
    """A small relative of benchmarks/statistics/significance.py."""
    rng = np.random.default_rng(0)
    differences = [compared(*simulated(rng)) for _ in range(400)]
    covered = np.mean([d.ci95[0] <= 0 <= d.ci95[1] for d in differences])
    # 0.945; without the variance of seeds it would be 0.815, without that of images 0.865.
    assert 0.92 < covered < 0.99
    assert np.mean([d.conclusion.better for d in differences]) < 0.08
    # The permutation of seeds alone takes the luck of images for a difference.
    assert np.mean([d.p_permutation <= 0.05 for d in differences]) > 0.06
