"""Exact tests of a difference: McNemar's, sign flips, and permutations of seeds or groups."""

import itertools
import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

MIN_SEEDS = 4
"""Fewest seeds of each with which exchanging all of them reaches p < 0.05: 2 of 70 ways."""
MIN_PAIRED_SEEDS = 6
"""Fewest paired seeds with which sign flips reach p < 0.05: 2 of 64 ways."""
MIN_GROUPS = 6
"""Fewest equal groups of images whose flipped signs reach p < 0.05: 2 of 64 ways."""
MAX_WAYS = 200_000
"""Ways of exchanging seeds that are counted (up to ten seeds); if there are more, so many are
drawn.
"""
MAX_SIGNS = 20_000_000
"""Most signs that are drawn for all ways together, which limits the memory."""
MIN_WEIGHT = 16
"""Whole weight of an image of the largest class, where exact sums of weights are needed."""
DECIMALS = 12
"""Decimals of a difference; the rest is rounding."""


def min_seeds(paired: bool = False) -> int:
    """Return the fewest seeds with which the exact test can reach p < 0.05.

    Examples
    --------
    >>> min_seeds(), min_seeds(paired=True)
    (4, 6)
    """
    return MIN_PAIRED_SEEDS if paired else MIN_SEEDS


def smallest_p(units: int, paired: bool = True) -> float:
    """Return the smallest two-sided p-value that an exact test can reach.

    Parameters
    ----------
    units : int
        The number of paired seeds, groups or data sets whose signs are flipped; of seeds of each of
        two classifiers that are exchanged, if not `paired`.
    paired : bool
        Whether signs are flipped.

    Examples
    --------
    >>> smallest_p(6), round(smallest_p(4, paired=False), 4)
    (0.03125, 0.0286)
    """
    return 2.0 ** (1 - units) if paired else 2 / math.comb(2 * units, units)


def mcnemar(
    correct_a: np.ndarray, correct_b: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """Return the exact two-sided p-value of McNemar's test for two classifiers.

    Parameters
    ----------
    correct_a, correct_b : ndarray of bool, shape [N]
        Which predictions for the same images are correct.
    weights : ndarray, shape [N], optional
        Weights of the images. If they differ, signs of the weighted differences are flipped.

    References
    ----------
    McNemar 1947, "Note on the sampling error of the difference between correlated proportions or
    percentages".

    Examples
    --------
    >>> a, b = np.arange(9) >= 8, np.arange(9) < 8
    >>> round(mcnemar(a, b), 4)  # one against eight: 2 · (1 + 9) / 2⁹
    0.0391
    """
    from scipy.special import bdtr

    if weights is not None and weights.min() < weights.max():
        whole = np.rint(MIN_WEIGHT * weights / weights.min()).astype(np.int64)
        whole //= np.gcd.reduce(whole)
        return sign_flips(whole * (correct_a.astype(np.int64) - correct_b))
    only_a, only_b = int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
    return min(1.0, 2 * float(bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def sign_flips(sums: np.ndarray) -> float:
    """Return the two-sided p-value of flipping the signs of integers in all ways.

    It is the share of the 2^G signs with a total at least as far from 0 as `sums.sum()`. It is
    exact for any G: the distribution of the total is the Fourier transform of Π cos(sums · angle).

    Parameters
    ----------
    sums : ndarray of int, shape [G]
        Differences of G units, such as ranks or sums over groups.

    Examples
    --------
    >>> round(sign_flips(np.array([1, 2, 3, 4, 5, 6])), 5)
    0.03125
    """
    sizes, counts = np.unique(np.abs(sums), return_counts=True)
    totals = np.arange(2 * int(sizes @ counts) + 1)
    waves = np.ones(len(totals))
    for size, count in zip(sizes, counts, strict=True):
        waves *= np.cos(2 * np.pi / len(totals) * (size * totals % len(totals))) ** count
    probabilities = np.fft.fft(waves).real / len(totals)
    is_far = np.minimum(totals, len(totals) - totals) >= abs(int(sums.sum()))
    return float(np.clip(probabilities[is_far].sum(), 0.5 ** (len(sums) - 1), 1.0))


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """A test that exchanges seeds, or flips the signs of pairs, in all ways or in drawn ones.

    Attributes
    ----------
    low, high : ndarray, shape [W]
        Ends of the true differences by which a way is as far off as the data, sorted.
    how : {"exact", "Monte Carlo"}
        Whether all ways were counted, or some drawn.

    Examples
    --------
    >>> test = PermutationTest.of_seeds(np.array([3, 4, 5, 6]), np.array([0, 0, 1, 1]))
    >>> test.how, round(test.p_value, 4)
    ('exact', 0.0286)
    """

    low: np.ndarray
    high: np.ndarray
    how: Literal["exact", "Monte Carlo"]

    @classmethod
    def of_seeds(cls, a: np.ndarray, b: np.ndarray) -> Self:
        """Exchange the accuracies of seeds between two classifiers (Fisher's permutation test).

        Parameters
        ----------
        a, b : ndarray, shape [S]
            Accuracies of S seeds each.
        """
        num_seeds = len(a)
        data = np.repeat([1.0, -1.0], num_seeds)
        is_exact = math.comb(2 * num_seeds, num_seeds) <= MAX_WAYS
        if is_exact:
            chosen = np.array(list(itertools.combinations(range(2 * num_seeds), num_seeds)))
            signs = np.full((len(chosen), 2 * num_seeds), -1.0)
            np.put_along_axis(signs, chosen, 1.0, axis=1)
        else:
            signs = np.tile(data, (MAX_WAYS, 1))
            signs[1:] = np.random.default_rng(0).permuted(signs[1:], axis=1)
        return cls._of_ways(signs, np.concatenate([a, b]), data > 0, is_exact)

    @classmethod
    def of_pairs(cls, differences: np.ndarray, sizes: np.ndarray | None = None) -> Self:
        """Flip the signs of differences.

        Parameters
        ----------
        differences : ndarray, shape [U]
            Differences of U units, or sums over units of several images.
        sizes : ndarray, shape [U], optional
            Images of each unit; one by default.
        """
        units = len(differences)
        is_exact = 2**units <= MAX_WAYS
        if is_exact:
            signs = np.array(list(itertools.product([1.0, -1.0], repeat=units)))
        else:
            rng, ways = np.random.default_rng(0), min(MAX_WAYS, MAX_SIGNS // units)
            signs = rng.choice(np.array([1.0, -1.0], np.float32), (ways, units))
            signs[0] = 1.0
        sizes = np.ones(units) if sizes is None else sizes
        return cls._of_ways(signs, differences, sizes, is_exact)

    @classmethod
    def _of_ways(
        cls, signs: np.ndarray, values: np.ndarray, sizes: np.ndarray, is_exact: bool
    ) -> Self:
        """Test by signs `[W, U]`, those of the data first. A true difference adds `sizes` times
        itself to `values` `[U]`.
        """
        off, shares = np.stack([values, sizes]) @ signs.T / sizes.sum()
        # |off − d · shares| ≥ |off[0] − d| for the differences d between the following two.
        ends = np.full((2, len(signs)), np.inf)
        is_bounded = np.abs(shares) < 1 - 0.1**DECIMALS
        ends[0, is_bounded] = (off[0] + off[is_bounded]) / (1 + shares[is_bounded])
        ends[1, is_bounded] = (off[0] - off[is_bounded]) / (1 - shares[is_bounded])
        low = np.where(is_bounded, ends.min(0), -np.inf)
        low, high = np.round([low, ends.max(0)], DECIMALS)
        return cls(np.sort(low), np.sort(high), "exact" if is_exact else "Monte Carlo")

    @property
    def p_value(self) -> float:
        """Two-sided p-value of no difference."""
        return float(min((self.low <= 0).mean(), (self.high >= 0).mean()))

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval of the differences with a p-value above 1 − `level`."""
        beyond = int((1 - level) * len(self.low))
        return max(-1.0, float(self.low[beyond])), min(1.0, float(self.high[-1 - beyond]))
