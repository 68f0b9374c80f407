"""Power: the probability that a true difference is found, and the seeds that are needed.

A difference is found if `paired` would call the better classifier better: by the crossed t test
(after Holm, at worst) and by the permutation of seeds. `benchmarks/statistics/power.py` simulates
the same from single predictions.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from spikeduel.statistics.exact_tests import MIN_GROUPS, MIN_SEEDS
from spikeduel.statistics.intervals import (
    ALPHA,
    MAX_SEEDS,
    POWER,
    difference_uncertainty,
    student,
)
from spikeduel.statistics.weighting import accuracies, clusters, effective_groups, weights_of

BETWEEN, WITHIN = 0.083, 0.046
"""Shares of test images on which trainings of two networks, and two of one, disagree, if unknown:
measured on Fashion-MNIST (`benchmarks/statistics/significance.py`).
"""
ASSUMED_DEVIATIONS = (0.003, 0.0055)
"""Standard deviations over seeds that bracket what was measured there
(`benchmarks/results/precision-*.json`).
"""
DETECTABLE = 2.80
"""Standard deviations from 0 at which a true difference is found in 80 % of cases: 1.96 + 0.84."""
LEVELS = 48
"""Quantiles of a variance that stand for its distribution."""
SAMPLES = 20_000
"""Experiments that are simulated where the power has no formula."""


@dataclass(frozen=True, kw_only=True)
class Variability:
    """Standard deviations of a difference of classifiers a and b, fractions.

    Attributes
    ----------
    seeds_a, seeds_b : float
        Of the accuracy of a training on these test images.
    images : float
        Of the difference in means over other test images.
    image_freedom : float or None
        Degrees of freedom of `images`; None without groups.
    effective_groups : float or None
        Equal groups that weigh as much; None without groups.
    """

    seeds_a: float
    seeds_b: float
    images: float
    image_freedom: float | None = None
    effective_groups: float | None = None

    def __post_init__(self) -> None:
        if min(self.seeds_a, self.seeds_b, self.images) < 0:
            raise ValueError("standard deviations cannot be negative")


def variability_of(
    correct_a: np.ndarray,
    correct_b: np.ndarray,
    groups: ArrayLike | None = None,
    classes: np.ndarray | None = None,
) -> Variability:
    """Return the variability of two classifiers.

    Parameters
    ----------
    correct_a, correct_b : ndarray of bool, shape [S, N]
        Which predictions of two seeds or more are correct.
    groups, classes : array_like, shape [N], optional
        As in `paired_test`.

    Examples
    --------
    >>> correct = np.array([[1, 0] * 50, [0, 1] * 50], bool)
    >>> round(variability_of(correct, correct).seeds_a, 3)
    0.071
    """
    cluster = clusters(groups)
    off = difference_uncertainty(correct_a, correct_b, cluster, classes=classes)
    seeds_a, seeds_b = (
        float(accuracies(correct, classes).std(ddof=1)) for correct in (correct_a, correct_b)
    )
    # The variance of the seeds' accuracies may be smaller than the remainder alone.
    least = math.sqrt(off.seeds * off.num_seeds / 2)
    if math.hypot(seeds_a, seeds_b) < least * math.sqrt(2):
        seeds_a = seeds_b = least
    variability = Variability(seeds_a=seeds_a, seeds_b=seeds_b, images=math.sqrt(off.images))
    if cluster is None:
        return variability
    groups = effective_groups(cluster, weights_of(classes, len(cluster)))
    return replace(variability, image_freedom=off.image_freedom, effective_groups=groups)


def assumed_variability(
    deviation: float, num_images: float, groups: float | None = None
) -> Variability:
    """Return the variability that is assumed before an experiment.

    Parameters
    ----------
    deviation : float
        Standard deviation over seeds of the accuracy on an unlimited test set, a fraction.
    num_images : float
        The number of test images.
    groups : float, optional
        The number of effective groups of test images.

    Returns
    -------
    Variability
        That of networks whose predictions disagree as in `BETWEEN` and `WITHIN`.

    Examples
    --------
    >>> round(assumed_variability(0.003, 10_000).images, 5)
    0.00192
    """
    # Half of the disagreement is one training's, and adds to its variance.
    of_training = math.sqrt(deviation**2 + WITHIN / 2 / num_images)
    return Variability(
        seeds_a=of_training,
        seeds_b=of_training,
        images=math.sqrt((BETWEEN - WITHIN) / num_images),
        image_freedom=groups and groups - 1,
        effective_groups=groups,
    )


def detectable(num_images: float) -> float:
    """Return the true difference that is found in 80 % of cases with any number of seeds.

    Parameters
    ----------
    num_images : float
        The number of test images, on which predictions disagree as in `BETWEEN` and `WITHIN`.

    Examples
    --------
    >>> round(detectable(10_000), 4), round(detectable(100), 3)
    (0.0054, 0.054)
    """
    return min(1.0, DETECTABLE * assumed_variability(0.0, num_images).images)


def detection_power(
    variability: Variability, difference: float, num_seeds: int, comparisons: int = 1
) -> float:
    """Return the probability that a classifier is called better.

    It is the mean over independent chi-squared variances of the seeds (S − 1 degrees of freedom
    each; Welch's), with the variance over images taken as known.

    Parameters
    ----------
    variability : Variability
        Standard deviations over seeds and images.
    difference : float
        The true difference, a fraction.
    num_seeds : int
        Seeds of each classifier.
    comparisons : int
        Comparisons of the experiment: each is tested at 5 % by their number, Holm's worst case.

    Examples
    --------
    >>> variability = assumed_variability(0.003, 10_000)
    >>> round(detection_power(variability, 0.01, 6), 2), detection_power(variability, 0.01, 3)
    (0.93, 0.0)
    """
    from scipy.special import gammaincinv, ndtr

    few_groups = (
        variability.effective_groups is not None and variability.effective_groups < MIN_GROUPS
    )
    if num_seeds < MIN_SEEDS or few_groups:
        return 0.0
    variances = np.square([variability.seeds_a, variability.seeds_b]) / num_seeds
    tail, freedom = ALPHA / 2 / comparisons, num_seeds - 1
    by_images = (
        float(student(tail, variability.image_freedom or math.inf)) ** 2 * variability.images**2
    )
    # With four seeds, the permutation test is the harder one. It is simulated.
    if num_seeds == MIN_SEEDS:
        return _power_of_few(variability, difference, num_seeds, tail, by_images)
    off = math.sqrt(variances.sum() + variability.images**2)
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    estimates = gammaincinv(freedom / 2, levels) * 2 / freedom
    half = _half_width(
        variances[0] * estimates[:, None], variances[1] * estimates, freedom, tail, by_images
    )
    return float(ndtr((difference - half) / max(off, 1e-12)).mean())


def seeds_needed(variability: Variability, difference: float, comparisons: int = 1) -> int | None:
    """Return the fewest seeds that find a true difference in 80 % of cases.

    Parameters
    ----------
    variability, difference, comparisons
        As in `detection_power`.

    Returns
    -------
    int or None
        None if `MAX_SEEDS` are too few.

    Examples
    --------
    >>> seeds_needed(assumed_variability(0.003, 10_000), 0.01)
    5
    """
    numbers = range(MIN_SEEDS, MAX_SEEDS + 1)
    place = bisect_left(
        numbers,
        POWER,
        key=lambda number: detection_power(variability, difference, number, comparisons),
    )
    return numbers[place] if place < len(numbers) else None


def _half_width(
    a: np.ndarray, b: np.ndarray, freedom: int, tail: float, by_images: float
) -> np.ndarray:
    """Return half-widths of intervals, from variances of means over seeds and the squared
    half-width `by_images` alone.
    """
    total = np.maximum(a + b, 1e-24)
    welch = freedom * total**2 / np.maximum(a**2 + b**2, 1e-48)
    return np.sqrt(student(tail, welch) ** 2 * total + by_images)


def _power_of_few(
    variability: Variability, difference: float, num_seeds: int, tail: float, by_images: float
) -> float:
    """Return the power from simulated accuracies: all seeds of one classifier must lie above all
    of the other.
    """
    random = np.random.default_rng(0)
    a, b = (
        deviation * random.standard_normal((SAMPLES, num_seeds))
        for deviation in (variability.seeds_a, variability.seeds_b)
    )
    ahead = difference + variability.images * random.standard_normal(SAMPLES)
    half = _half_width(
        a.var(1, ddof=1) / num_seeds, b.var(1, ddof=1) / num_seeds, num_seeds - 1, tail, by_images
    )
    is_found = (a.mean(1) - b.mean(1) + ahead > half) & (a.min(1) + ahead > b.max(1))
    return float(is_found.mean())
