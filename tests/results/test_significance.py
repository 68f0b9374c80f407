import math

import numpy as np
import pytest
from msgspec import structs

import spikeduel as sd
from spikeduel.results import significance, uncertainty
from spikeduel.results.significance import Conclusion, Reservation, reservation, smallest_p
from spikeduel.results.uncertainty import sign_flips
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
    assert (result.n, result.seeds, result.test) == (100, 1, "exact McNemar test")
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
    assert sign_flips(np.ones(40, int)) == pytest.approx(2 / 2**40)
    assert result.p_value == pytest.approx(
        uncertainty.of_difference(~a[None], ~b[None], groups).p_value
    )
    assert (result.excludes_zero, result.conclusion) == (False, Conclusion.INCONCLUSIVE)


@pytest.mark.parametrize("share", [0.02, 0.04, 0.06, 0.08, 0.1])
@pytest.mark.parametrize("size", [1, 12])
def test_p_and_interval_of_one_seed_do_not_contradict_each_other(size, share):
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.random((2, 480)) < np.array([[0.2], [0.2 + share]])
        result = sd.compare_predictions(np.zeros(480, int), a, b, np.arange(480) // size)
        assert result.excludes_zero or result.p_value > 0.05


HELD_BACK = significance.Difference(
    difference=0.02,
    ci95=(0.01, 0.03),
    ci90=(0.012, 0.028),
    p_value=0.06,
    p_value_raw=0.01,
    p_permutation=0.002,
    test="made up",
    n=2000,
    seeds=6,
    margin=0.005,
    conclusion=Conclusion.INCONCLUSIVE,
    detectable_at_best=0.004,
    seeds_needed=14,
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seeds": 3, "p_permutation": 0.1}, Reservation.FEW_SEEDS),
        ({"seeds": 4, "p_permutation": 0.06}, Reservation.EXACT_TEST),
        ({"seeds": 4, "p_permutation": 0.125, "paired": True}, Reservation.FEW_SEEDS),
        ({"seeds": 6, "p_permutation": 0.0625, "paired": True}, Reservation.EXACT_TEST),
        ({"ci95": (-0.03, -0.01), "seeds": 2, "p_permutation": 1 / 3}, Reservation.FEW_SEEDS),
        (
            {"seeds": 1, "p_permutation": None, "p_value_raw": 0.0625, "groups": 5},
            Reservation.FEW_GROUPS,
        ),
        (
            {"seeds": 1, "p_permutation": None, "p_value_raw": 0.0625, "groups": 6},
            Reservation.EXACT_TEST,
        ),
        ({"seeds": 1, "p_permutation": None, "p_value_raw": 0.051}, Reservation.EXACT_TEST),
        ({}, Reservation.COMPARISONS),
        ({"conclusion": Conclusion.A_BETTER}, None),
        ({"conclusion": Conclusion.EQUIVALENT}, None),
        ({"ci95": (-0.01, 0.03)}, None),
    ],
    ids=str,
)
def test_the_reservation(changes, reason):
    assert reservation(structs.replace(HELD_BACK, **changes)) is reason


def test_the_floor_of_groups_is_that_of_flipping_all_of_them():
    for groups in range(1, 8):
        assert smallest_p(groups) == pytest.approx(sign_flips(np.arange(groups) + 3))


def test_the_p_value_is_the_larger_of_two():
    rng = np.random.default_rng(0)
    a, b = answers(rng, 0.9, images=20_000), answers(rng, 0.8, images=20_000)
    result = significance.difference(a, b)
    # Far apart: the t test is surer than exchanging six and six can be.
    assert result.p_value_raw < 0.0005
    assert result.p_value == result.p_permutation == pytest.approx(2 / 924)
    assert result.conclusion == "a_better"
    few = significance.difference(a[:3], b[:3])
    assert few.p_value == pytest.approx(0.1)
    assert (few.conclusion, few.reservation) == ("inconclusive", Reservation.FEW_SEEDS)
    assert few.ci95[0] > 0


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


@pytest.mark.parametrize("seeds", [2, 3, 4, 5])
def test_paired_seeds_take_six_to_make_one_better(seeds):
    once, again = one_training(np.random.default_rng(0), seeds, cost=400)
    result = significance.difference(once, again, paired=True)
    assert (result.p_permutation, result.smallest_p) == pytest.approx((2 / 2**seeds, 2 / 2**seeds))
    assert (result.conclusion, result.reservation) == (
        Conclusion.INCONCLUSIVE,
        Reservation.FEW_SEEDS,
    )
    assert significance.difference(once, again).fewest_seeds == 4
    assert (result.fewest_seeds, result.seeds_needed) == (6, 6)


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
    right = np.ones((6, 5000), bool)
    result = significance.difference(right, right)
    assert (result.difference, result.p_value, result.conclusion) == (0.0, 1.0, "equivalent")
    assert significance.difference(right[:, :50], right[:, :50]).conclusion == "inconclusive"


def test_equivalence_is_two_one_sided_tests():
    answered = mistaken(10_000, 40, 30)  # −10 of 10,000, standard error sqrt(71)/10,002
    result = sd.compare_predictions(*answered)
    upper = (10 + 1.644854 * math.sqrt(71 - 100 / 10_002)) / 10_002
    assert -result.ci90[0] == pytest.approx(upper, rel=1e-6)
    assert result.conclusion == "equivalent"
    for more, conclusion in ((1e-6, "equivalent"), (-1e-6, "inconclusive")):
        again = sd.compare_predictions(*answered, margin=upper + more)
        assert again.conclusion == conclusion


def test_a_significant_lead_inside_the_margin_is_both():
    result = sd.compare_predictions(*mistaken(100_000, 0, 100))
    assert (result.conclusion, result.negligible) == ("a_better", True)


def test_holm_can_take_a_conclusion_back():
    result = sd.compare_predictions(*mistaken(100, 8, 1))
    (first, second) = significance.adjusted([result, structs.replace(result, p_value_raw=0.6)])
    assert first.p_value == pytest.approx(40 / 512)
    assert first.p_value_raw == pytest.approx(20 / 512)
    assert (first.conclusion, first.reservation) == (
        Conclusion.INCONCLUSIVE,
        Reservation.COMPARISONS,
    )
    assert second.p_value == pytest.approx(0.6)


def test_holm_leaves_the_floor_of_the_permutation():
    rng = np.random.default_rng(0)
    result = significance.difference(answers(rng, 0.9), answers(rng, 0.7))
    for adjusted in significance.adjusted([result] * 6):
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
