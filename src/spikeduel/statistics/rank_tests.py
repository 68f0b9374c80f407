"""Compare two classifiers over data sets: Wilcoxon's signed-rank test, adjusted for all pairs.

The data set is the unit: a classifier has one number on each, its mean accuracy over seeds (Demšar
2006, section 3.1.3). Related data sets count once, by their mean. The test flips the signs of the
ranks in all ways: it is exact also with ties and zeros. It is about the typical difference, which
says little of single data sets: `Outcome` says how both go together.
"""

import itertools
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from spikeduel.statistics.exact_tests import DECIMALS, sign_flips, smallest_p
from spikeduel.statistics.intervals import ALPHA
from spikeduel.statistics.multiple_tests import holm
from spikeduel.statistics.weighting import numbered

MIN_SHARE_INSIDE = 0.75
"""Share of data sets inside the margin from which two classifiers can be equivalent."""


class Outcome(StrEnum):
    """Conclusion on two classifiers over data sets, by two tests of the typical difference.

    `BETTER`: one is better (p ≤ 5 %). `BETTER_TYPICALLY`: it is, but not in the mean. Else, if the
    difference is within the margin (two one-sided tests), `EQUIVALENT` if `MIN_SHARE_INSIDE` of the
    data sets and the mean lie inside, too, or else `BALANCED`: neither is better, but they differ.
    """

    BETTER = "better"
    BETTER_TYPICALLY = "better_typically"
    EQUIVALENT = "equivalent"
    BALANCED = "balanced"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, kw_only=True)
class DatasetsTest:
    """Test of the difference of classifiers a and b over data sets.

    Attributes
    ----------
    families : int
        The number of families of related data sets, which are the units of the test.
    difference, mean : float
        The typical difference a − b (`centre`), and the mean one.
    ci95, ci90 : tuple of float, or None
        Intervals of the typical difference that the test does not reject; None with too few
        families.
    p_value : float
        Two-sided p-value after Holm.
    conclusion : Outcome
        The conclusion at a level of 5 %.
    margin : float
        Largest difference that counts as none.
    """

    families: int
    difference: float
    mean: float
    ci95: tuple[float, float] | None
    ci90: tuple[float, float] | None
    p_value: float
    conclusion: Outcome
    margin: float


def compare_over_datasets(
    pairs: Sequence[tuple[np.ndarray, np.ndarray]], margin: float
) -> list[DatasetsTest]:
    """Test pairs of classifiers, adjusted for their number.

    Parameters
    ----------
    pairs : sequence of (ndarray of shape [N], ndarray of shape [F])
        Of each pair, its differences on N data sets, and the means of these in F families
        (`family_means`); the same array twice if no data sets are related.
    margin : float
        Largest difference that does not matter, in the unit of the differences.

    Returns
    -------
    list of DatasetsTest
        In the order of the pairs.

    Examples
    --------
    >>> differences = np.array([0.01, 0.012, 0.02, 0.009, 0.03, 0.011])
    >>> (test,) = compare_over_datasets([(differences, differences)], margin=0.005)
    >>> test.conclusion.value, round(test.p_value, 5), test.ci95
    ('better', 0.03125, (0.009, 0.03))
    """
    p_values = holm([wilcoxon(by_family) for _, by_family in pairs])
    within = holm([not_within(by_family, margin) for _, by_family in pairs])
    return [
        DatasetsTest(
            families=len(by_family),
            difference=centre(by_family),
            mean=float(by_family.mean()),
            ci95=interval(by_family, 0.95),
            ci90=interval(by_family, 0.90),
            p_value=p_value,
            conclusion=_outcome(differences, by_family, p_value, p_within, margin),
            margin=margin,
        )
        for (differences, by_family), p_value, p_within in zip(pairs, p_values, within, strict=True)
    ]


def family_means(differences: np.ndarray, families: Sequence[Hashable]) -> np.ndarray:
    """Return the mean difference of each family of related data sets.

    Parameters
    ----------
    differences : ndarray, shape [N]
        Differences on N data sets.
    families : sequence of hashable, length N
        The name of the family of each data set.

    Returns
    -------
    ndarray, shape [F]
        Means in the order in which families first appear.

    Examples
    --------
    >>> family_means(np.array([0.1, 0.3, 0.5]), ["mnist", "mnist", "cifar"]).tolist()
    [0.2, 0.5]
    """
    family = numbered(families)
    return np.round(np.bincount(family, differences) / np.bincount(family), DECIMALS)


def _outcome(
    differences: np.ndarray,
    by_family: np.ndarray,
    p_value: float,
    p_within: float,
    margin: float,
) -> Outcome:
    """Return the conclusion from the adjusted p-values of no difference, and of a difference
    outside the margin.
    """
    mean = float(by_family.mean())
    if p_value <= ALPHA:
        return Outcome.BETTER if centre(by_family) * mean > 0 else Outcome.BETTER_TYPICALLY
    if p_within > ALPHA:
        return Outcome.INCONCLUSIVE
    share_inside = np.mean(np.abs(differences) < margin)
    is_equivalent = share_inside >= MIN_SHARE_INSIDE and abs(mean) < margin
    return Outcome.EQUIVALENT if is_equivalent else Outcome.BALANCED


def signed_ranks(differences: np.ndarray) -> np.ndarray:
    """Return twice the signed ranks: integers, also with ties.

    Zeros are ranked, but have no sign (Pratt 1959).

    Parameters
    ----------
    differences : ndarray, shape [N]
        Differences on N data sets.

    Examples
    --------
    >>> signed_ranks(np.array([0.0, -0.2, 0.3, 0.3])).tolist()
    [0, -4, 7, 7]
    """
    place, counts = np.unique(np.abs(differences), return_inverse=True, return_counts=True)[1:]
    return (2 * np.cumsum(counts) - counts + 1)[place] * np.sign(differences).astype(np.int64)


def wilcoxon(differences: np.ndarray) -> float:
    """Return the exact two-sided p-value of differences `[N]` that are symmetric around 0.

    Examples
    --------
    >>> round(wilcoxon(np.arange(1.0, 7.0)), 5)
    0.03125
    """
    return sign_flips(signed_ranks(differences))


def one_sided(differences: np.ndarray) -> float:
    """Return the exact p-value of differences `[N]` that are centred at 0 or below."""
    ranks = signed_ranks(differences)
    return sign_flips(ranks) / 2 if ranks.sum() > 0 else 1.0


def not_within(differences: np.ndarray, margin: float) -> float:
    """Return the p-value of a centre outside `±margin`: the larger of two one-sided tests.

    Examples
    --------
    >>> round(not_within(np.array([0.001, -0.001, 0.002, 0.0, -0.002, 0.001]), 0.01), 4)
    0.0156
    """
    below, above = (np.round(margin + sign * differences, DECIMALS) for sign in (-1, 1))
    return max(one_sided(below), one_sided(above))


def walsh_averages(differences: np.ndarray) -> np.ndarray:
    """Return the sorted means of any two of the differences `[N]`, each also with itself."""
    first, second = np.triu_indices(len(differences))
    return np.sort((differences[first] + differences[second]) / 2)


def centre(differences: np.ndarray) -> float:
    """Return the typical difference: the median of the Walsh averages (Hodges and Lehmann 1963).

    Examples
    --------
    >>> centre(np.array([6.0, 1.0, 2.0]))
    2.75
    """
    return float(np.median(walsh_averages(differences)))


def interval(differences: np.ndarray, level: float) -> tuple[float, float] | None:
    """Return the interval of the centres that the test does not reject.

    Parameters
    ----------
    differences : ndarray, shape [N]
        Differences on N data sets.
    level : float
        The level, such as 0.95.

    Returns
    -------
    tuple of float, or None
        None if the test can reject no centre at this level.

    Examples
    --------
    >>> interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 9.0]), 0.90)
    (2.0, 6.5)
    """
    outside, means = _outside(len(differences), (1 - level) / 2), walsh_averages(differences)
    return (float(means[outside - 1]), float(means[-outside])) if outside else None


def _outside(number: int, tail: float) -> int:
    """Return how many of the lowest rank sums of `number` differences have at most the probability
    `tail` together.
    """
    probabilities = np.ones(1)
    for rank in range(1, number + 1):
        probabilities = np.convolve(probabilities, [0.5, *[0.0] * (rank - 1), 0.5])
    return int((np.cumsum(probabilities) <= tail + 1e-12).sum())


def min_datasets(pairs: int = 1) -> int:
    """Return the fewest data sets with which one of `pairs` can be significant.

    Examples
    --------
    >>> min_datasets(), min_datasets(pairs=3)
    (6, 7)
    """
    return next(number for number in itertools.count(1) if pairs * smallest_p(number) <= ALPHA)
