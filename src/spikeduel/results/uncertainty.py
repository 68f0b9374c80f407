"""Statistical tests and intervals on arrays of right answers; `significance` chooses among them.

Seeds and images are crossed: a difference `right_a[s, i] − right_b[s, i]` has a part special to the
seeds, one to the image, and a remainder (two-way random effects: Searle, Casella and McCulloch,
*Variance Components*, 1992). The spreads of seeds and of images both hold the remainder, which is
taken out once. Unless paired, seeds are trainings of their own. Groups of dependent images take the
place of images, with the jackknife's variance.

Where K classes count alike (balanced accuracy), an image of a class of n images weighs N / (K · n).
Its score is the mean of the classes' means, plus its weight times its distance from the mean of its
class. Such scores have the mean and the variance of the balanced accuracy, so that all of the above
holds for them.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
import scipy

ALPHA = 0.05
POWER = 0.8
MOST_SEEDS = 100
SMALLEST_P = 1e-12
"""Smallest p-value of a t test: beyond, the tails of real data are not known."""
FEWEST_SEEDS = 4
"""Fewest seeds with which exchanging reaches p < `ALPHA`: 2 of 70 ways."""
FEWEST_PAIRED_SEEDS = 6
"""Fewest paired seeds with which sign flips reach p < `ALPHA`: 2 of 64 ways."""
ADVISED_SEEDS = FEWEST_PAIRED_SEEDS
"""Seeds advised if few leave a question open: enough for either test."""
MOST_WAYS = 200_000
"""Ways of exchanging seeds that are counted (up to ten seeds); beyond, so many are drawn."""
WEIGHT = 16
"""Whole weight of an image of the largest class, where exact sums of weights are wanted."""
MOST_SIGNS = 20_000_000
"""Signs that are drawn for all ways together, so that they fit the memory."""
DECIMALS = 12
"""Decimals of a difference; the rest is rounding."""


@dataclass(frozen=True)
class Uncertainty:
    """Variances of a difference over `images` and `seeds`, with degrees of freedom.

    The squared half-width of an interval is the sum of the squares that each would have alone (Howe
    1974; Zou and Donner 2008).
    """

    centre: float
    images: float
    image_freedom: float
    seeds: float = 0.0
    seed_freedom: float = math.inf
    num_seeds: int = 1

    def interval(self, level: float) -> tuple[float, float]:
        half = float(self._reach((1 - level) / 2))
        return max(-1.0, self.centre - half), min(1.0, self.centre + half)

    @property
    def p_value(self) -> float:
        """Two-sided p-value, the dual of the interval."""

        def excess(log_p: float) -> float:
            return float(self._reach(math.exp(log_p) / 2)) - abs(self.centre)

        smallest = math.log(SMALLEST_P)
        return (
            SMALLEST_P
            if excess(smallest) < 0
            else math.exp(scipy.optimize.brentq(excess, smallest, 0.0))
        )

    @property
    def detectable_at_best(self) -> float:
        """True difference found in 80 % of cases on these images, with any number of seeds."""
        by_images = replace(self, seeds=0.0)
        return min(1.0, float(by_images._reach(ALPHA / 2) + by_images._reach(1 - POWER)))

    def seeds_needed(self, margin: float, fewest: int = FEWEST_SEEDS) -> int | None:
        """Return the fewest seeds with which `margin` is detectable; None beyond `MOST_SEEDS`."""
        numbers = np.arange(fewest, MOST_SEEDS + 1)
        enough = np.flatnonzero(
            self._reach(ALPHA / 2, numbers) + self._reach(1 - POWER, numbers) <= margin
        )
        return int(numbers[enough[0]]) if len(enough) else None

    def _reach(self, tail: float, num_seeds: np.ndarray | None = None) -> np.ndarray:
        """Return the distance from `centre` with probability `tail` beyond it."""
        more = 1.0 if num_seeds is None else num_seeds / self.num_seeds
        freedom = (
            self.seed_freedom
            if num_seeds is None
            else (num_seeds - 1) * self.seed_freedom / (self.num_seeds - 1)
        )
        by_seeds = student(tail, freedom) ** 2 * self.seeds / more
        return np.sqrt(by_seeds + student(tail, self.image_freedom) ** 2 * self.images)


def student(tail: float, freedom: float | np.ndarray) -> np.ndarray:
    """Return the upper quantile of Student's t. (`scipy.stats` takes a second to import.)"""
    return -scipy.special.stdtrit(np.minimum(freedom, 1e9), tail)


def wilson(share: float, number: int, tail: float = 0.025) -> tuple[float, float]:
    """Return the interval of a share of `number`, with `tail` on either side (Wilson 1927,
    "Probable inference, the law of succession, and statistical inference").
    """
    square = float(student(tail, math.inf)) ** 2 / number
    half = math.sqrt(square * (share * (1 - share) + square / 4))
    centre = share + square / 2
    return (centre - half) / (1 + square), (centre + half) / (1 + square)


def weights_of(classes: np.ndarray | None, num_images: int) -> np.ndarray:
    """Return the weights of images `[N]` by which `classes` `[N]`, numbered from 0, count alike; 1
    without classes.
    """
    if classes is None:
        return np.ones(num_images)
    sizes = np.bincount(classes)
    return num_images / len(sizes) / sizes[classes]


def scores(right: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """Return right answers, bool `[S, N]`, as scores whose means are accuracies; balanced ones with
    `classes` `[N]`.
    """
    if classes is None:
        return right
    recalls = np.array([np.bincount(classes, weights=row) for row in right]) / np.bincount(classes)
    weighted = weights_of(classes, len(classes)) * (right - recalls[:, classes])
    return recalls.mean(1, keepdims=True) + weighted


def of_difference(
    right_a: np.ndarray,
    right_b: np.ndarray,
    cluster: np.ndarray | None,
    paired: bool = False,
    classes: np.ndarray | None = None,
) -> Uncertainty:
    """Return the uncertainty of a difference, bool `[S, N]`, over images and, from two seeds on,
    over seeds.

    `cluster` `[N]`: groups of images, numbered from 0; `paired`: seed s of both is one training;
    `classes` `[N]`: as in `scores`.
    """
    num_seeds, num_images = right_a.shape
    right_a, right_b = scores(right_a, classes), scores(right_b, classes)
    differences = right_a.mean(0) - right_b.mean(0)
    images, image_freedom = _of_images(differences, cluster, weights_of(classes, num_images))
    over_images = Uncertainty(float(differences.sum()) / (num_images + 2), images, image_freedom)
    if num_seeds == 1:
        return over_images
    tables = [right_a, right_b]
    if paired:
        tables = [np.subtract(right_a, right_b, dtype=np.result_type(right_a, np.int8))]
    parts = [float(table.mean(1).var(ddof=1)) / num_seeds for table in tables]
    remainder = sum(_remainder(table, cluster) for table in tables)
    # Welch's: from S − 1 (one contender alone varies, or both are one training) to 2(S − 1).
    ratio = sum(parts) ** 2 / sum(part**2 for part in parts) if any(parts) else 1.0
    return replace(
        over_images,
        images=max(images - remainder, 0.0),
        # A spread of seeds below the remainder is luck, such as two seeds that end level.
        seeds=max(sum(parts), remainder),
        seed_freedom=(num_seeds - 1) * ratio,
        num_seeds=num_seeds,
    )


def _of_images(
    differences: np.ndarray, cluster: np.ndarray | None, weights: np.ndarray
) -> tuple[float, float]:
    """Return the variance of the mean of `differences` `[N]` over other images, and its degrees of
    freedom.

    Two images are added, on which each contender alone is right by halves, so that few images do
    not make it zero (Agresti and Min 2005), shared by the classes (Price and Bonett 2004). Clusters
    count as their sums.
    """
    count, total = len(differences), float(differences.sum())
    squares = float(differences @ differences) + float((weights**3).mean())
    variance = (squares - total**2 / (count + 2)) / (count + 2) ** 2
    if cluster is None:
        return variance, math.inf
    if (effective := effective_groups(cluster, weights)) < 2:
        return 1.0, 1.0  # one group says nothing about another: any difference is possible
    clustered = _without_one(np.bincount(cluster, weights=differences - total / count), cluster)
    return max(variance, clustered), effective - 1


def numbered(groups: np.ndarray | None) -> np.ndarray | None:
    """Return groups `[N]` numbered from 0; None if no images belong together."""
    names, numbers = np.unique([] if groups is None else groups, return_inverse=True)
    return numbers if len(names) < len(numbers) else None


def effective_groups(cluster: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the number of equal groups that weigh as much: N² / Σ n²."""
    sizes = np.bincount(cluster, weights)
    return float(len(cluster) ** 2 / (sizes @ sizes))


def _without_one(sums: np.ndarray, cluster: np.ndarray) -> float:
    """Return the jackknife's variance of the mean, from groups' sums of residuals `[G]` or `[S,
    G]`.
    """
    sizes = np.bincount(cluster)
    return float(np.square(sums / (len(cluster) - sizes)).sum()) * (1 - 1 / len(sizes))


def _remainder(table: np.ndarray, cluster: np.ndarray | None) -> float:
    """Return the part of a seed on an image (or cluster) in the variance of the mean of `table`
    `[S, N]`.
    """
    num_seeds, num_images = table.shape
    left = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    if cluster is None:
        cluster = np.arange(num_images)
    else:
        left = np.array([np.bincount(cluster, weights=row) for row in left])
    return (
        0.0 if left.shape[1] == 1 else _without_one(left, cluster) / ((num_seeds - 1) * num_seeds)
    )


def mcnemar(right_a: np.ndarray, right_b: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Return the exact two-sided p-value of McNemar's test (1947), bool `[N]`; where images differ
    in `weights`, that of flipping the signs of their differences.
    """
    if weights is not None and weights.min() < weights.max():
        whole = np.rint(WEIGHT * weights / weights.min()).astype(np.int64)
        whole //= np.gcd.reduce(whole)
        return sign_flips(whole * (right_a.astype(np.int64) - right_b))
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return min(1.0, 2 * float(scipy.special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def sign_flips(sums: np.ndarray) -> float:
    """Return the share of the 2^G signs of the integers `sums` `[G]` with a total at least as far
    from 0 as `sums.sum()`.

    Exact for any G: the total's distribution is the Fourier transform of Π cos(sums · angle).
    """
    sizes, counts = np.unique(np.abs(sums), return_counts=True)
    totals = np.arange(2 * int(sizes @ counts) + 1)
    waves = np.ones(len(totals))
    for size, count in zip(sizes, counts, strict=True):
        waves *= np.cos(2 * np.pi / len(totals) * (size * totals % len(totals))) ** count
    chances = np.fft.fft(waves).real / len(totals)
    is_far = np.minimum(totals, len(totals) - totals) >= abs(int(sums.sum()))
    return float(np.clip(chances[is_far].sum(), 0.5 ** (len(sums) - 1), 1.0))


@dataclass(frozen=True, eq=False)
class Exchange:
    """A test in which seeds or groups change sides, in all ways or in drawn ones.

    `low`, `high` `[W]`: ends of the true differences by which a way is as far off as the data,
    sorted.
    """

    low: np.ndarray
    high: np.ndarray
    how: Literal["exact", "Monte Carlo"]

    @classmethod
    def of(cls, a: np.ndarray, b: np.ndarray) -> Self:
        """Exchange accuracies `[S]` between contenders a and b: Fisher's permutation test."""
        num_seeds = len(a)
        data = np.repeat([1.0, -1.0], num_seeds)
        is_exact = math.comb(2 * num_seeds, num_seeds) <= MOST_WAYS
        if is_exact:
            chosen = np.array(list(itertools.combinations(range(2 * num_seeds), num_seeds)))
            signs = np.full((len(chosen), 2 * num_seeds), -1.0)
            np.put_along_axis(signs, chosen, 1.0, axis=1)
        else:
            signs = np.tile(data, (MOST_WAYS, 1))
            signs[1:] = np.random.default_rng(0).permuted(signs[1:], axis=1)
        return cls._of_ways(signs, np.concatenate([a, b]), data > 0, is_exact)

    @classmethod
    def of_pairs(cls, differences: np.ndarray, sizes: np.ndarray | None = None) -> Self:
        """Flip the signs of differences `[U]`, which are sums over units of `sizes` (default 1)."""
        units = len(differences)
        is_exact = 2**units <= MOST_WAYS
        if is_exact:
            signs = np.array(list(itertools.product([1.0, -1.0], repeat=units)))
        else:
            rng, ways = np.random.default_rng(0), min(MOST_WAYS, MOST_SIGNS // units)
            signs = rng.choice(np.array([1.0, -1.0], np.float32), (ways, units))
            signs[0] = 1.0
        sizes = np.ones(units) if sizes is None else sizes
        return cls._of_ways(signs, differences, sizes, is_exact)

    @classmethod
    def _of_ways(
        cls, signs: np.ndarray, values: np.ndarray, sizes: np.ndarray, is_exact: bool
    ) -> Self:
        """Test by signs `[W, U]`, the data's own first; a true difference is `sizes` times in
        `values` `[U]`.
        """
        off, shares = np.stack([values, sizes]) @ signs.T / sizes.sum()
        # |off − d · shares| ≥ |off[0] − d| for the differences d between the following two.
        ends = np.full((2, len(signs)), np.inf)
        kept = np.abs(shares) < 1 - 0.1**DECIMALS
        ends[0, kept] = (off[0] + off[kept]) / (1 + shares[kept])
        ends[1, kept] = (off[0] - off[kept]) / (1 - shares[kept])
        low, high = np.round([np.where(kept, ends.min(0), -np.inf), ends.max(0)], DECIMALS)
        return cls(np.sort(low), np.sort(high), "exact" if is_exact else "Monte Carlo")

    @property
    def p_value(self) -> float:
        """Two-sided p-value of no difference."""
        return float(min((self.low <= 0).mean(), (self.high >= 0).mean()))

    def interval(self, level: float) -> tuple[float, float]:
        """Return the differences with a p-value above 1 − `level`."""
        beyond = int((1 - level) * len(self.low))
        return max(-1.0, float(self.low[beyond])), min(1.0, float(self.high[-1 - beyond]))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number (Holm 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
