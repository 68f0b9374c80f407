from dataclasses import astuple

import numpy as np
import pytest
from scipy import stats

from spikeduel.statistics import (
    Uncertainty,
    difference_uncertainty,
    effective_groups,
    scores,
    wilson,
)
from spikeduel.statistics.intervals import MIN_P


def crossed(rng, seeds=6, images=400, by_seed=0.0, by_image=0.0, groups=1):
    """Return correct predictions of one contender: a level per seed, a difficulty per image or group of
    images.
    """
    difficulty = np.repeat(rng.standard_normal(images // groups), groups)
    latent = (
        1
        + by_seed * rng.standard_normal((seeds, 1))
        + by_image * difficulty
        + rng.standard_normal((seeds, images))
    )
    return latent > 0


@pytest.mark.parametrize(("right", "number"), [(0, 7), (21, 21), (9_213, 10_000)])
@pytest.mark.parametrize("tail", [0.025, 0.01])
def test_an_interval_of_a_share_is_scipys(right, number, tail):
    interval = stats.binomtest(right, number).proportion_ci(1 - 2 * tail, method="wilson")
    assert wilson(right / number, number, tail) == pytest.approx(tuple(interval), abs=1e-9)


def test_of_unequal_groups_the_variance_is_that_of_leaving_one_out():
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(12), rng.integers(1, 60, 12))
    # Each contender is better at groups of its own.
    correct_a, correct_b = (
        rng.random((1, len(cluster))) < rng.random(12)[cluster] for _ in range(2)
    )
    estimate = difference_uncertainty(correct_a, correct_b, cluster)
    off = correct_a[0].astype(float) - correct_b[0]
    left = np.array([off[cluster != group].mean() for group in range(12)])
    assert estimate.images == pytest.approx(11 / 12 * np.square(left - off.mean()).sum())
    assert estimate.image_freedom == pytest.approx(effective_groups(cluster) - 1)


@pytest.mark.parametrize("others", [0, 1])
def test_one_group_with_nearly_all_images_says_nothing(others):
    rng = np.random.default_rng(0)
    cluster = np.array([0] * (10_000 - others) + [1] * others)
    estimate = difference_uncertainty(
        rng.random((6, 10_000)) < 0.9, rng.random((6, 10_000)) < 0.5, cluster
    )
    assert estimate.interval(0.95) == (-1, 1)


def test_nothing_lies_beyond_what_accuracies_allow():
    wide = Uncertainty(centre=0.9, images=1.0, image_freedom=1.0)
    assert wide.interval(0.95) == (-1.0, 1.0)
    assert wide.detectable_at_best == 1.0


# Residuals of 2 seeds on 4 images. Alone, a's are 1/8 and 3/8, and b's 1/2 on two images. Paired:
# the differences 0 1 1 0 − 1/2 and 1 0 0 0 − 1/4, less the images' means 1/2 1/2 1/2 0, more 3/8.
APART = (6 + 2 * 9) / 64 + 1
PAIRED = np.square(np.array([[-5, 3, 3, -1], [5, -3, -3, 1]]) / 8).sum()


@pytest.mark.parametrize(("paired", "squares"), [(False, APART), (True, PAIRED)])
def test_the_two_way_table_by_hand(paired, squares):
    # a's accuracies are 3/4 and 2/4, b's 1/4 and 1/4.
    a, b = (
        np.array([[1, 1, 1, 0], [1, 1, 0, 0]], bool),
        np.array([[1, 0, 0, 0], [0, 1, 0, 0]], bool),
    )
    estimate = difference_uncertainty(a, b, paired=paired)
    remainder = 4 / 3 * squares / (1 * 2 * 16)
    by_seed = (1 / 32) / 2
    images = (3 / 4 + 1 - 1.5**2 / 6) / 36
    assert estimate.seeds == pytest.approx(max(by_seed, remainder))
    assert estimate.images == pytest.approx(max(images - remainder, 0))
    assert estimate.centre == pytest.approx(1.5 / 6)
    if paired:
        assert estimate.seed_freedom == 1


def test_the_variance_of_a_balanced_difference_by_hand():
    # a and b differ on one of two positives and two of eight negatives.
    classes = np.repeat([0, 1], [8, 2])
    correct_a = np.array([[1, 1, 1, 1, 1, 1, 0, 0, 1, 1]], bool)
    correct_b = np.array([[1, 1, 1, 1, 0, 0, 0, 0, 1, 0]], bool)
    estimate = difference_uncertainty(correct_a, correct_b, None, classes=classes)
    # Squares about the means of the classes, by weights 10/(2·8) and 10/(2·2).
    negatives, positives = 0.625**2 * (2 - 8 / 16), 2.5**2 * (1 - 2 / 4)
    centre = (0.25 + 0.5) / 2
    added = (0.625**2 + 2.5**2) / 2
    squares = negatives + positives + 10 * centre**2 + added
    assert estimate.centre == pytest.approx(10 * centre / 12)
    assert estimate.images == pytest.approx((squares - (10 * centre) ** 2 / 12) / 12**2)
    assert scores(correct_a, classes).mean() == pytest.approx((0.75 + 1) / 2)


def test_equal_classes_have_the_accuracies_of_all_images():
    rng = np.random.default_rng(0)
    correct_a, correct_b = crossed(rng, images=600), crossed(rng, images=600)
    balanced = difference_uncertainty(correct_a, correct_b, None, classes=np.arange(600) % 3)
    plain = difference_uncertainty(correct_a, correct_b, None)
    assert balanced.interval(0.95) == pytest.approx(plain.interval(0.95), abs=1e-4)


def test_the_luck_of_a_training_that_both_share_cancels():
    rng = np.random.default_rng(0)
    a = crossed(rng)
    b = a ^ (rng.random(a.shape) < 0.02)
    # Each seed of both forgets as many images as it likes, where they agreed.
    worse = (a & b) & (rng.random(a.shape) < np.linspace(0, 0.5, 6)[:, None])
    before, after = (
        difference_uncertainty(x, y, None, paired=True)
        for x, y in ((a, b), (a & ~worse, b & ~worse))
    )
    assert astuple(after) == pytest.approx(astuple(before))
    apart = difference_uncertainty(a & ~worse, b & ~worse, None)
    assert apart.seeds > 100 * after.seeds


@pytest.mark.parametrize("groups", [1, 20])
def test_the_estimate_is_the_variance_that_one_sees(groups):
    rng = np.random.default_rng(1)
    cluster = None if groups == 1 else np.arange(400) // groups
    estimates = [
        difference_uncertainty(
            crossed(rng, by_seed=0.1, by_image=0.7, groups=groups),
            crossed(rng, by_seed=0.1, by_image=0.7, groups=groups),
            cluster,
        )
        for _ in range(400)
    ]
    seen = np.var([u.centre for u in estimates])
    assert np.mean([u.seeds + u.images for u in estimates]) == pytest.approx(seen, rel=0.2)
    if groups > 1:
        unaware = np.mean([u.images for u in estimates]) / 2
        assert unaware > np.mean([u.images / groups for u in estimates])


def test_only_seeds_is_welchs_t_interval_and_only_images_a_normal_one():
    estimate = Uncertainty(
        centre=0.02, images=0.0, image_freedom=np.inf, seeds=0.01**2, seed_freedom=7.3, num_seeds=6
    )
    half = stats.t.isf(0.025, 7.3) * 0.01
    assert estimate.interval(0.95) == pytest.approx((0.02 - half, 0.02 + half))
    assert estimate.p_value == pytest.approx(2 * stats.t.sf(2, 7.3))
    normal = Uncertainty(centre=0.02, images=0.01**2, image_freedom=np.inf)
    half = 0.01 * 1.6448536
    assert normal.interval(0.9) == pytest.approx((0.02 - half, 0.02 + half), rel=1e-6)
    assert normal.p_value == pytest.approx(2 * stats.norm.sf(2), rel=1e-6)


def test_welchs_degrees_of_freedom():
    rng = np.random.default_rng(2)
    a = rng.random((6, 1)) * 0.5 + 0.4 > rng.random((6, 5000))
    b = rng.random((6, 1)) * 0.1 + 0.6 > rng.random((6, 5000))
    estimate = difference_uncertainty(a, b, None)
    assert estimate.seed_freedom == pytest.approx(
        stats.ttest_ind(a.mean(1), b.mean(1), equal_var=False).df
    )


def test_the_p_value_is_the_intervals_dual():
    estimate = Uncertainty(
        0.011, images=0.003**2, image_freedom=40, seeds=0.004**2, seed_freedom=8.0, num_seeds=6
    )
    low, high = estimate.interval(1 - estimate.p_value)
    assert low == pytest.approx(0, abs=1e-9)
    assert high == pytest.approx(0.022)
    assert Uncertainty(0.9, 1e-8, np.inf).p_value == MIN_P


def test_what_can_be_detected():
    by_images = Uncertainty(
        0.0, images=0.001**2, image_freedom=np.inf, seeds=0.002**2, seed_freedom=10.0, num_seeds=6
    )
    assert by_images.detectable_at_best == pytest.approx(0.001 * (1.959964 + 0.841621), rel=1e-5)
    needed = by_images.seeds_needed(0.005, fewest=4)
    # Seeds contribute 0.002²·6/S: with that many it is enough, with one fewer it is not.
    for number, enough in ((needed, True), (needed - 1, False)):
        part = 0.002**2 * 6 / number
        freedom = 2.0 * (number - 1)
        reach = [
            np.sqrt(stats.t.isf(tail, freedom) ** 2 * part + stats.norm.isf(tail) ** 2 * 0.001**2)
            for tail in (0.025, 0.2)
        ]
        assert (sum(reach) <= 0.005) == enough
    assert by_images.seeds_needed(0.0027, fewest=4) is None


@pytest.mark.parametrize(("only_a", "only_b", "both"), [(12, 4, 84), (0, 0, 50)])
def test_agresti_and_mins_interval_by_hand(only_a, only_b, both):
    # 100 images, 12 only a, 4 only b: (12 − 4)/102 ± 1.96·sqrt(17 − 64/102)/102. No image at all
    # that differs is not certainty.
    correct_a = np.repeat([True, False, True], [only_a, only_b, both])
    correct_b = np.repeat([False, True, True], [only_a, only_b, both])
    num, ahead = only_a + only_b + both + 2, only_a - only_b
    half = 1.959964 * np.sqrt(only_a + only_b + 1 - ahead**2 / num) / num
    interval = difference_uncertainty(correct_a[None], correct_b[None], None).interval(0.95)
    assert interval == pytest.approx((ahead / num - half, ahead / num + half), rel=1e-6)
