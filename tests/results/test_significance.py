import math

import numpy as np
import pytest

import spikeduel as sd
from spikeduel.results import significance, uncertainty
from spikeduel.results.significance import Conclusion, Reservation, smallest_p
from spikeduel.results.uncertainty import Exchange
from spikeduel.system.errors import InputError

LABELS = [0, 1, 2, 0, 1, 2]


def answers(rng, accuracy, seeds=6, images=2000, spread=0.003, difficulty=None):
    """Bool `[S, N]`, the seeds differing by `spread`, the images in difficulty."""
    difficulty = rng.standard_normal(images) if difficulty is None else difficulty
    level = accuracy + spread * rng.standard_normal((seeds, 1))
    easy = np.argsort(np.argsort(difficulty)) / images
    return easy + 0.03 * rng.standard_normal((seeds, images)) < level


def mistaken(num, wrong_a, wrong_b):
    """Labels, and answers of one seed each of which the first are wrong, of a and then of b."""
    labels, place = np.zeros(num, int), np.arange(num)
    return labels, place < wrong_a, (place >= wrong_a) & (place < wrong_a + wrong_b)


def test_one_seed_is_these_two_models():
    result = sd.compare_predictions(*mistaken(100, 8, 1))
    assert (result.n, result.seeds, result.test) == (
        100,
        1,
        "exact McNemar test, and normal test over images",
    )
    assert (result.difference, result.conclusion) == (pytest.approx(-0.07), "b_better")
    assert result.p_value == result.p_value_raw == pytest.approx(20 / 512)
    assert (result.p_permutation, result.seeds_needed, result.detectable_at_best) == (
        None,
        None,
        None,
    )


def test_of_few_effective_groups_nobody_is_better():
    # Forty groups, of which one has half of the images: as much as four.
    groups = np.concatenate([np.zeros(390, int), np.repeat(np.arange(1, 40), 10)])
    rng = np.random.default_rng(0)
    labels = np.ones(780, int)
    a, b = (rng.random((6, 780)) < share for share in (0.99, 0.5))
    result = sd.compare_predictions(labels, a.astype(int), b.astype(int), groups)
    assert (result.groups, result.effective_groups) == (40, pytest.approx(3.9, abs=0.01))
    assert result.p_value < 0.05
    assert (result.conclusion, result.reservation) == (
        Conclusion.INCONCLUSIVE,
        Reservation.FEW_GROUPS,
    )
    equal = sd.compare_predictions(labels, a.astype(int), b.astype(int), np.arange(780) // 20)
    assert (equal.effective_groups, equal.conclusion) == (39, Conclusion.A_BETTER)


def test_unbalanced_classes_count_alike():
    # 120 negatives and 12 positives. a misses six negatives, b three positives.
    labels = np.repeat([0, 1], [120, 12])
    a, b = labels.copy(), labels.copy()
    a[:6], b[120:123] = 1, 0
    result = sd.compare_predictions(labels, a, b)
    assert (result.measure, result.difference) == ("balanced_accuracy", pytest.approx(0.1))
    # A positive weighs as much as ten negatives: of 2^9 signs, those of the three positives decide.
    flips = [
        abs(10 * positives - negatives) >= 24
        for positives in (3, 1, -1, -3)
        for negatives in (6, 4, 2, 0, -2, -4, -6)
    ]
    ways = [x * y for x in (1, 3, 3, 1) for y in (1, 6, 15, 20, 15, 6, 1)]
    assert result.p_value == pytest.approx(np.dot(flips, ways) / 2**9)
    # With five negatives for each positive, or fewer than ten positives, all images count alike.
    for chosen, difference in ((slice(60, None), 3 / 72), (slice(-3), -3 / 129)):
        fewer = sd.compare_predictions(labels[chosen], a[chosen], b[chosen])
        assert (fewer.measure, fewer.difference) == ("accuracy", pytest.approx(difference))


@pytest.mark.parametrize(("seeds", "groups"), [(1, None), (6, None), (1, 4), (6, 4)])
def test_a_rare_class_decides_no_less_than_a_frequent_one(seeds, groups):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [1900, 100])
    rng.shuffle(labels)
    # a finds nine in ten positives, b a third, with fewer false alarms.
    a, b = (
        np.where(
            rng.random((seeds, 2000)) < np.where(labels, recall, specificity), labels, 1 - labels
        )
        for recall, specificity in ((0.9, 0.95), (0.33, 0.99))
    )
    names = None if groups is None else np.arange(2000) // groups
    result = sd.compare_predictions(labels, a, b, names)
    assert (a == labels).mean() < (b == labels).mean()
    assert result.conclusion is Conclusion.A_BETTER
    assert result.ci95[0] < 0.265 < result.ci95[1]
    assert result.difference == pytest.approx(0.265, abs=0.05)


def test_a_difference_prints_as_one_line():
    labels, right, wrong = np.arange(400) % 4, np.arange(400) % 4, (np.arange(400) + 1) % 4
    text = str(sd.compare_predictions(labels, np.where(labels == 0, wrong, right), right))
    assert text.startswith("a − b: −25.00 points, 95 % interval −")
    assert text.endswith(": b better")


def test_one_seed_in_groups_flips_whole_groups():
    answered = mistaken(40, 0, 8)  # a is ahead on 8 images, all of two groups of four
    result = sd.compare_predictions(*answered, np.arange(40) // 4)
    assert result.p_value == pytest.approx(0.5)
    assert result.test == "t test over groups of images, and exact sign flips of 10 groups"
    assert sd.compare_predictions(*answered, np.arange(40)).p_value == pytest.approx(2 / 2**8)


def test_the_seeds_that_a_difference_takes():
    rng = np.random.default_rng(0)
    easy = rng.standard_normal(10_000)
    a, b = (
        answers(rng, accuracy, 4, 10_000, spread=0.015, difficulty=easy) for accuracy in (0.9, 0.88)
    )
    result = significance.difference(a, b)
    assert result.detectable_at_best < abs(result.difference)
    assert result.seeds_for_difference > 4
    again = significance.difference(a, b, margin=abs(result.difference))
    assert result.seeds_for_difference == again.seeds_needed
    assert significance.difference(a[:1], b[:1]).seeds_for_difference is None


def test_in_groups_that_differ_little_p_is_that_of_the_interval():
    # Of each of 40 groups of 12 images a alone gets six, and b alone five: flipping groups takes
    # that for certain.
    groups, place = np.divmod(np.arange(480), 12)
    a, b = (place >= 6), (place < 6) | (place == 11)
    result = sd.compare_predictions(np.zeros(480, int), a.astype(int), b.astype(int), groups)
    assert Exchange.of_pairs(np.ones(40)).p_value < 0.001
    assert result.p_value == pytest.approx(
        uncertainty.of_difference(~a[None], ~b[None], groups).p_value
    )
    assert (result.excludes_zero, result.conclusion) == (False, Conclusion.INCONCLUSIVE)


ONE_TEST = {
    "one seed": {"seeds": 1},
    "one seed in groups": {"seeds": 1, "groups": 12},
    "one seed in many groups": {"seeds": 1, "groups": 40},
    "four seeds": {"seeds": 4},
    "six paired seeds": {"seeds": 6, "paired": True},
    "eleven seeds in groups": {"seeds": 11, "groups": 40},
}


@pytest.mark.parametrize("case", ONE_TEST.values(), ids=ONE_TEST)
def test_interval_p_and_verdict_are_of_one_test(case):
    rng, seeds, paired = np.random.default_rng(0), case["seeds"], case.get("paired", False)
    groups = np.arange(480) // (480 // case["groups"]) if "groups" in case else None
    verdicts = set()
    for lead in (0.0, 0.02, 0.04, 0.06, 0.1) * 4:
        easy = rng.standard_normal(480)
        tests = [
            significance.tested(
                answers(rng, 0.8 + lead, seeds, 480, 0.02, easy),
                answers(rng, 0.8, seeds, 480, 0.02, easy),
                groups,
                paired=paired,
            )
            for _ in range(3)
        ]
        for compared in significance.adjusted(tests):
            assert (
                compared.excludes_zero == (compared.p_value <= 0.05) == compared.conclusion.better
            )
            verdicts.add(compared.conclusion.better)
    assert verdicts == {True, False}


def test_the_interval_of_exchanging_seeds_holds_the_differences_that_it_leaves_possible():
    a, b = np.array([0.91, 0.90, 0.94, 0.92]), np.array([0.88, 0.89, 0.90, 0.87])
    low, high = Exchange.of(a, b).interval(0.95)
    assert Exchange.of(a - low - 1e-6, b).p_value > 0.05 >= Exchange.of(a - low + 1e-6, b).p_value
    assert Exchange.of(a - high + 1e-6, b).p_value > 0.05 >= Exchange.of(a - high - 1e-6, b).p_value
    # In groups of unlike sizes, a true difference counts once an image.
    sums, sizes = np.array([3.0, 1, 2, 5, 2, 1, 4]), np.array([9, 3, 4, 12, 5, 8, 7])
    low, high = Exchange.of_pairs(sums, sizes).interval(0.95)
    for bound, inwards in ((low, 1e-6), (high, -1e-6)):
        for at, inside in ((bound + inwards, True), (bound - inwards, False)):
            assert (Exchange.of_pairs(sums - at * sizes, sizes).p_value > 0.05) == inside


@pytest.mark.parametrize(("seeds", "paired"), [(2, False), (3, False), (5, True)])
def test_with_few_seeds_the_t_test_stands_alone_and_shows_nobody_better(seeds, paired):
    rng = np.random.default_rng(0)
    a, b = answers(rng, 0.9, seeds, 20_000), answers(rng, 0.8, seeds, 20_000)
    few = significance.difference(a, b, paired=paired)
    assert few.excludes_zero == (few.p_value <= 0.05)
    assert (few.p_permutation, few.conclusion) == (None, Conclusion.INCONCLUSIVE)
    assert few.reservation == (Reservation.FEW_SEEDS if few.excludes_zero else None)


@pytest.mark.parametrize(
    ("accuracy", "margin"), [(0.9, 0.005), (0.98, 0.005), (0.99, 0.0025), (0.998, 0.0005)]
)
def test_the_margin_is_at_most_a_quarter_of_the_errors(accuracy, margin):
    right = np.arange(1000)[None] < 1000 * accuracy
    assert significance.difference(right & False, right).margin == pytest.approx(margin)
    assert significance.difference(right, right, margin=0.01).margin == 0.01


def test_the_floor_of_groups_is_that_of_flipping_all_of_them():
    for groups in range(1, 8):
        assert smallest_p(groups) == Exchange.of_pairs(np.arange(groups) + 3.0).p_value


def test_the_p_value_is_the_larger_of_two():
    rng = np.random.default_rng(0)
    a, b = answers(rng, 0.9, images=20_000), answers(rng, 0.8, images=20_000)
    result = significance.difference(a, b)
    # Far apart: the t test is surer than exchanging six and six can be.
    assert result.p_value_raw < 0.0005
    assert result.p_value == result.p_permutation == pytest.approx(2 / 924)
    assert result.conclusion == "a_better"


def one_training(rng, seeds=6, images=10_000, cost=60):
    """Trainings that vary a lot, and the same once more, each with exactly `cost` right answers
    fewer.
    """
    once = answers(rng, 0.87, seeds, images, spread=0.01)
    again = once.copy()
    for row, other in zip(once, again, strict=True):
        other[rng.choice(np.flatnonzero(row), 20 + cost, replace=False)] = False
        other[rng.choice(np.flatnonzero(~row), 20, replace=False)] = True
    return once, again


def test_what_a_training_loses_each_time_is_found():
    once, again = one_training(np.random.default_rng(0))
    result = significance.difference(once, again, paired=True)
    assert result.difference == pytest.approx(0.006)
    assert result.p_value == result.p_permutation == pytest.approx(2 / 64)
    assert (result.paired, result.conclusion) == (True, Conclusion.A_BETTER)
    apart = significance.difference(once, again)
    assert (apart.paired, apart.conclusion) == (False, Conclusion.INCONCLUSIVE)
    labels = np.ones(10_000, int)
    assert (
        sd.compare_predictions(labels, once.astype(int), again.astype(int), paired=True) == result
    )


def test_one_seed_that_goes_the_other_way_is_one_too_many_of_six():
    once, again = one_training(np.random.default_rng(0))
    once[0], again[0] = again[0].copy(), once[0].copy()
    result = significance.difference(once, again, paired=True)
    # Of 64 signs, those of one seed or of none turned are as far from 0, and their opposites.
    assert result.p_permutation == pytest.approx(14 / 64)
    assert result.conclusion is not Conclusion.A_BETTER


def test_luck_of_the_images_is_no_lead():
    # Each contender's trainings agree with one another: seeds alone would be sure; on 60 images the
    # lead of 3 is luck.
    a, b = np.ones((6, 60), bool), np.ones((6, 60), bool)
    a[:, :4] = False
    b[:, 4:11] = False
    a[range(6), range(20, 26)] = False
    result = significance.difference(a, b)
    assert result.p_permutation < 0.05
    assert result.p_value > 0.05
    assert result.conclusion == "inconclusive"


def test_the_same_predictions_are_equivalent_on_enough_images():
    right = np.tile(np.arange(5000) % 10 > 0, (6, 1))
    result = significance.difference(right, right)
    assert (result.difference, result.p_value, result.conclusion) == (0.0, 1.0, "equivalent")
    assert significance.difference(right[:, :50], right[:, :50]).conclusion == "inconclusive"


def test_equivalence_is_two_one_sided_tests():
    answered = mistaken(10_000, 40, 30)  # −10 of 10,000, standard error sqrt(71)/10,002
    result = sd.compare_predictions(*answered, margin=0.005)
    upper = (10 + 1.644854 * math.sqrt(71 - 100 / 10_002)) / 10_002
    assert -result.ci90[0] == pytest.approx(upper, rel=1e-6)
    assert result.conclusion == "equivalent"
    for more, conclusion in ((1e-6, "equivalent"), (-1e-6, "inconclusive")):
        again = sd.compare_predictions(*answered, margin=upper + more)
        assert again.conclusion == conclusion


def test_a_significant_lead_inside_the_margin_is_both():
    result = sd.compare_predictions(*mistaken(100_000, 0, 100), margin=0.005)
    assert (result.conclusion, result.negligible) == ("a_better", True)


def test_holm_can_take_a_conclusion_back():
    _, a, b = mistaken(100, 8, 1)
    alone, level = significance.tested(~a[None], ~b[None]), significance.tested(a[None], a[None])
    (first, second) = significance.adjusted([alone, level])
    assert first.p_value == pytest.approx(40 / 512)
    assert first.p_value_raw == pytest.approx(20 / 512)
    assert (first.conclusion, first.reservation) == (Conclusion.INCONCLUSIVE, None)
    assert first.ci95[1] > 0 > alone.concluded.ci95[1]
    assert second.p_value == 1.0


def test_holm_leaves_the_floor_of_the_permutation():
    rng = np.random.default_rng(0)
    test = significance.tested(answers(rng, 0.9), answers(rng, 0.7))
    for adjusted in significance.adjusted([test] * 6):
        assert adjusted.p_value == pytest.approx(2 / 924)


def test_labels_may_be_text_and_seeds_rows():
    labels = ["cat", "dog", "dog"]
    result = sd.compare_predictions(
        labels, [labels, labels], [["cat", "cat", "dog"], ["cat", "cat", "dog"]]
    )
    assert (result.seeds, result.n) == (2, 3)
    assert result.difference == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"labels": []}, r"labels must have one entry for each image, \[N\], not the shape \[0\]"),
        ({"labels": 3}, "labels must have one entry for each image"),
        ({"labels": [LABELS]}, "labels must have one entry for each image"),
        ({"predictions_a": LABELS[:-1]}, "predictions_a must have one entry for each image"),
        (
            {"predictions_b": np.zeros((0, 6))},
            r"predictions_b must have .*, \[6\] or \[seeds, 6\]",
        ),
        ({"predictions_b": [LABELS, LABELS]}, "predictions_a is of 1 and predictions_b of 2 seeds"),
        (
            {"predictions_b": [LABELS, LABELS[:-1]]},
            "predictions_b: its rows have different lengths",
        ),
        ({"predictions_a": [0, 1, 2, 0, 1, math.nan]}, "predictions_a has missing values"),
        ({"predictions_a": [0, 1, 2, 0, 1, 0.3]}, "not scores or probabilities"),
        ({"predictions_a": [0, 1, 2, 0, 1, None]}, "predictions_a must be whole numbers or text"),
        ({"predictions_a": ["a"] * 6}, "must both be numbers, or both be text"),
        (
            {"groups": [1, 2]},
            r"groups must have one entry for each image, \[6\], not the shape \[2\]",
        ),
        ({"groups": [1, 1, 2, 2, 3, math.nan]}, "groups has missing values"),
        ({"margin": -0.1}, "margin must be a fraction"),
        ({"margin": math.nan}, "margin must be a fraction"),
    ],
)
def test_what_cannot_be_compared_is_named(changes, problem):
    arguments = {"labels": LABELS, "predictions_a": LABELS, "predictions_b": LABELS, **changes}
    with pytest.raises(InputError, match=problem):
        sd.compare_predictions(**arguments)


def drawn(rng, images=2000, seeds=6, spread=0.007):
    """Two contenders by a probit model: difficulty common to all, a contender's own view of an
    image, seeds, noise.
    """
    common = rng.standard_normal(images) * 0.8
    for _ in range(2):
        level = 1.15 + spread / 0.206 * rng.standard_normal((seeds, 1))
        view = rng.standard_normal(images) * 0.45
        yield common + view + 0.4 * rng.standard_normal((seeds, images)) + level > 0


def test_intervals_hold_the_truth_and_false_leads_are_rare():
    """A small relative of benchmarks/significance.py."""
    rng = np.random.default_rng(0)
    differences = [significance.difference(*drawn(rng)) for _ in range(400)]
    covered = np.mean([d.ci95[0] <= 0 <= d.ci95[1] for d in differences])
    # 0.945; without the variance of seeds it would be 0.815, without that of images 0.865.
    assert 0.92 < covered < 0.99
    assert np.mean([d.conclusion.better for d in differences]) < 0.08
    # The permutation of seeds alone takes the luck of images for a lead.
    assert np.mean([d.p_permutation <= 0.05 for d in differences]) > 0.06
