import itertools
import math

import numpy as np
import pytest

from spikeduel.statistics import (
    ALPHA,
    Uncertainty,
    Variability,
    assumed_variability,
    detection_power,
    difference_uncertainty,
    seeds_needed,
    variability_of,
)


@pytest.mark.parametrize(
    ("seeds", "difference", "deviation", "images", "simulated"),
    [
        # As `benchmarks/statistics/significance.py` found them, from predictions for single images.
        (6, 0.01, 0.003, 10_000, 0.9365),
        (6, 0.01, 0.005, 10_000, 0.723),
        (10, 0.01, 0.003, 10_000, 0.982),
        (6, 0.005, 0.001, 20_000, 0.8585),
        (3, 0.01, 0.003, 10_000, 0.0),
    ],
)
def test_the_power_is_what_simulations_find(seeds, difference, deviation, images, simulated):
    power = detection_power(assumed_variability(deviation, images), difference, seeds)
    assert power == pytest.approx(simulated, abs=0.015)


def simulated(variability, difference, seeds, num=3000):
    """Return the share of `num` simulated experiments in which both tests find the difference."""
    random, num_found = np.random.default_rng(1), 0
    ways = np.zeros((math.comb(2 * seeds, seeds), 2 * seeds))
    for row, chosen in enumerate(itertools.combinations(range(2 * seeds), seeds)):
        ways[row, list(chosen)] = 1
    for _ in range(num):
        a = (
            difference
            + variability.images * random.standard_normal()
            + variability.seeds_a * random.standard_normal(seeds)
        )
        b = variability.seeds_b * random.standard_normal(seeds)
        parts = [accuracies.var(ddof=1) / seeds for accuracies in (a, b)]
        off = Uncertainty(
            a.mean() - b.mean(),
            variability.images**2,
            math.inf,
            sum(parts),
            (seeds - 1) * sum(parts) ** 2 / sum(part**2 for part in parts),
            seeds,
        )
        both = np.concatenate([a, b])
        exchanged = np.abs(2 * ways @ both - both.sum()) >= abs(a.sum() - b.sum()) - 1e-12
        num_found += exchanged.mean() <= ALPHA and off.interval(0.95)[0] > 0
    return num_found / num


@pytest.mark.parametrize(
    ("seeds", "deviation_a", "deviation_b"),
    [(4, 0.004, 0.004), (4, 0.002, 0.006), (5, 0.005, 0.005), (6, 0.001, 0.007)],
)
def test_unequal_deviations_and_few_seeds(seeds, deviation_a, deviation_b):
    variability = Variability(seeds_a=deviation_a, seeds_b=deviation_b, images=0.002)
    assert detection_power(variability, 0.01, seeds) == pytest.approx(
        simulated(variability, 0.01, seeds), abs=0.03
    )


def test_the_power_grows_with_difference_and_seeds_and_shrinks_with_deviation_and_comparisons():
    variability = assumed_variability(0.004, 5_000)

    def rising(values):
        return all(a < b for a, b in itertools.pairwise(values))

    assert rising([detection_power(variability, size, 6) for size in (0.0, 0.004, 0.008, 0.012)])
    assert rising([detection_power(variability, 0.01, seeds) for seeds in (3, 4, 5, 6, 8, 12, 20)])
    assert rising(
        [
            detection_power(assumed_variability(deviation, 5_000), 0.01, 6)
            for deviation in (0.008, 0.005, 0.002, 0.0)
        ]
    )
    assert rising(
        [detection_power(variability, 0.01, 6, comparisons) for comparisons in (15, 3, 1)]
    )
    # Without a difference, one tail of the level of the test, or less where variances are few seeds'
    # guesses.
    assert 0.005 < detection_power(variability, 0.0, 20) < 0.03
    assert detection_power(variability, 0.5, 6) == pytest.approx(1.0)


def test_the_number_of_seeds_that_is_needed_is_the_first_that_is_enough():
    variability = assumed_variability(0.005, 10_000)
    needed = seeds_needed(variability, 0.01)
    assert (
        detection_power(variability, 0.01, needed)
        >= 0.8
        > detection_power(variability, 0.01, needed - 1)
    )
    assert seeds_needed(variability, 0.2) == 4
    # These images do not show so small a difference, with any number of seeds.
    assert seeds_needed(variability, 0.001) is None
    assert seeds_needed(variability, 0.01, comparisons=3) > needed


def test_too_few_groups_find_nothing_and_few_find_less():
    many, few = assumed_variability(0.003, 10_000), assumed_variability(0.003, 10_000, 7.0)
    assert detection_power(few, 0.01, 6) < detection_power(many, 0.01, 6)
    assert detection_power(assumed_variability(0.003, 10_000, 5.9), 0.01, 6) == 0.0


def test_the_variability_of_predictions_is_that_of_the_interval():
    random = np.random.default_rng(0)
    a, b = (random.random((5, 400)) < rate for rate in (0.8, 0.7))
    variability, off = variability_of(a, b), difference_uncertainty(a, b)
    assert variability.seeds_a**2 / 5 + variability.seeds_b**2 / 5 == pytest.approx(off.seeds)
    assert variability.images**2 == pytest.approx(off.images)
    assert off.image_freedom == math.inf
    assert variability.image_freedom is variability.effective_groups is None
    # Groups of one image each are none.
    assert variability_of(a, b, np.arange(400)) == variability
    grouped = variability_of(a, b, np.arange(400) // 40)
    assert (grouped.effective_groups, grouped.image_freedom) == (10, 9)


def test_the_deviation_of_equally_accurate_seeds_comes_from_their_predictions():
    a = np.array([[1, 0] * 50, [0, 1] * 50], bool)  # as accurate, and right on other images
    variability = variability_of(a, a)
    off = difference_uncertainty(a, a)
    assert off.seeds > 0
    assert variability.seeds_a == variability.seeds_b
    assert variability.seeds_a**2 / 2 + variability.seeds_b**2 / 2 == pytest.approx(off.seeds)


def test_no_standard_deviation_is_negative():
    with pytest.raises(ValueError, match="cannot be negative"):
        Variability(seeds_a=0.1, seeds_b=-0.1, images=0.0)
