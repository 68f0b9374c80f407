"""Confidence intervals of a share, and of a difference over other seeds and other images.

Seeds and images are crossed: a difference `correct_a[s, i] − correct_b[s, i]` has a part of the
seed, a part of the image, and a remainder (two-way random effects: Searle, Casella and McCulloch,
*Variance Components*, 1992). The variances of seeds and of images both contain the remainder, which
is subtracted once. Unless paired, seeds are separate trainings. Groups of dependent images take the
place of images, with the variance of the jackknife.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from spikeduel.statistics.weighting import effective_groups, scores, weights_of

ALPHA = 0.05
"""Level of all tests: the largest p-value at which a difference is significant."""
POWER = 0.8
"""Share of cases in which a detectable difference is found."""
MAX_SEEDS = 100
"""Seeds beyond which a search for the number that is needed ends."""
MIN_P = 1e-12
"""Smallest p-value of a t test: beyond, the tails of real data are not known."""


@dataclass(frozen=True)
class Uncertainty:
    """Variance of a difference over other images and other seeds.

    The squared half-width of an interval is the sum of the squares that images and seeds would have
    alone (Howe 1974; Zou and Donner 2008).

    Attributes
    ----------
    centre : float
        The centre of all intervals.
    images, image_freedom : float
        Variance over images, and its degrees of freedom.
    seeds, seed_freedom : float
        Variance of the mean over seeds, and its degrees of freedom.
    num_seeds : int
        The number of seeds.

    Examples
    --------
    >>> by_images = Uncertainty(centre=0.02, images=0.01**2, image_freedom=math.inf)
    >>> [round(end, 4) for end in by_images.interval(0.95)], round(by_images.p_value, 4)
    ([0.0004, 0.0396], 0.0455)
    """

    centre: float
    images: float
    image_freedom: float
    seeds: float = 0.0
    seed_freedom: float = math.inf
    num_seeds: int = 1

    def interval(self, level: float) -> tuple[float, float]:
        """Return the confidence interval at `level`, within −1 and 1."""
        half = float(self._reach((1 - level) / 2))
        return max(-1.0, self.centre - half), min(1.0, self.centre + half)

    @property
    def p_value(self) -> float:
        """Two-sided p-value: one minus the level of the interval that ends at 0."""
        from scipy.optimize import brentq

        def excess(log_p: float) -> float:
            return float(self._reach(math.exp(log_p) / 2)) - abs(self.centre)

        smallest = math.log(MIN_P)
        return MIN_P if excess(smallest) < 0 else math.exp(brentq(excess, smallest, 0.0))

    @property
    def detectable_at_best(self) -> float:
        """True difference found in 80 % of cases on these images, with any number of seeds."""
        by_images = replace(self, seeds=0.0)
        return min(1.0, float(by_images._reach(ALPHA / 2) + by_images._reach(1 - POWER)))

    def seeds_needed(self, difference: float, fewest: int) -> int | None:
        """Return the fewest seeds, from `fewest`, that find a true difference in 80 % of cases;
        None beyond `MAX_SEEDS`.
        """
        numbers = np.arange(fewest, MAX_SEEDS + 1)
        enough = np.flatnonzero(
            self._reach(ALPHA / 2, numbers) + self._reach(1 - POWER, numbers) <= difference
        )
        return int(numbers[enough[0]]) if len(enough) else None

    def _reach(self, tail: float, num_seeds: np.ndarray | None = None) -> np.ndarray:
        """Return the distance from `centre` with probability `tail` beyond it, for `num_seeds`
        seeds in place of those at hand.
        """
        more = 1.0 if num_seeds is None else num_seeds / self.num_seeds
        freedom = (
            self.seed_freedom
            if num_seeds is None
            else (num_seeds - 1) * self.seed_freedom / (self.num_seeds - 1)
        )
        by_seeds = student(tail, freedom) ** 2 * self.seeds / more
        return np.sqrt(by_seeds + student(tail, self.image_freedom) ** 2 * self.images)


def student(tail: float, freedom: float | np.ndarray) -> np.ndarray:
    """Return the upper quantile of Student's t distribution.

    Parameters
    ----------
    tail : float
        The probability beyond the quantile.
    freedom : float or ndarray
        Degrees of freedom; infinite for the normal distribution.

    Examples
    --------
    >>> round(float(student(0.025, math.inf)), 3), round(float(student(0.025, 5)), 3)
    (1.96, 2.571)
    """
    # `scipy.stats` takes a second to import; SciPy itself takes a tenth.
    from scipy.special import stdtrit

    return -stdtrit(np.minimum(freedom, 1e9), tail)


def wilson(share: float, number: int, tail: float = 0.025) -> tuple[float, float]:
    """Return the confidence interval of a share.

    Parameters
    ----------
    share : float
        The share that was observed.
    number : int
        The number of observations.
    tail : float
        The probability beyond each end: 0.025 for a 95 % interval.

    References
    ----------
    Wilson 1927, "Probable inference, the law of succession, and statistical inference".

    Examples
    --------
    >>> [round(end, 3) for end in wilson(0.9, 100)]
    [0.826, 0.945]
    """
    square = float(student(tail, math.inf)) ** 2 / number
    half = math.sqrt(square * (share * (1 - share) + square / 4))
    centre = share + square / 2
    return (centre - half) / (1 + square), (centre + half) / (1 + square)


def difference_uncertainty(
    correct_a: np.ndarray,
    correct_b: np.ndarray,
    cluster: np.ndarray | None = None,
    paired: bool = False,
    classes: np.ndarray | None = None,
) -> Uncertainty:
    """Return the uncertainty of a difference in accuracy.

    Parameters
    ----------
    correct_a, correct_b : ndarray of bool, shape [S, N]
        Which predictions of S seeds for the same N images are correct.
    cluster : ndarray of int, shape [N], optional
        Groups of dependent images, numbered from 0.
    paired : bool
        Whether seed s of both is one training.
    classes : ndarray of int, shape [N], optional
        The class of each image, numbered from 0, if classes count alike.

    Returns
    -------
    Uncertainty
        Over images, and from two seeds on over seeds.

    Examples
    --------
    >>> a, b = np.ones((1, 100), bool), np.arange(100)[None] >= 8
    >>> [round(end, 3) for end in difference_uncertainty(a, b).interval(0.95)]
    [0.023, 0.134]
    """
    num_seeds, num_images = correct_a.shape
    correct_a, correct_b = scores(correct_a, classes), scores(correct_b, classes)
    differences = correct_a.mean(0) - correct_b.mean(0)
    images, image_freedom = _over_images(differences, cluster, weights_of(classes, num_images))
    over_images = Uncertainty(float(differences.sum()) / (num_images + 2), images, image_freedom)
    if num_seeds == 1:
        return over_images
    tables = [correct_a, correct_b]
    if paired:
        tables = [np.subtract(correct_a, correct_b, dtype=np.result_type(correct_a, np.int8))]
    variances = [float(table.mean(1).var(ddof=1)) / num_seeds for table in tables]
    remainder = sum(_remainder(table, cluster) for table in tables)
    # Welch's: from S − 1 (one classifier alone varies, or both are one training) to 2(S − 1).
    squares = sum(variance**2 for variance in variances)
    ratio = sum(variances) ** 2 / squares if any(variances) else 1.0
    return replace(
        over_images,
        images=max(images - remainder, 0.0),
        # A variance of seeds below the remainder is luck, such as two seeds of equal accuracy.
        seeds=max(sum(variances), remainder),
        seed_freedom=(num_seeds - 1) * ratio,
        num_seeds=num_seeds,
    )


def _over_images(
    differences: np.ndarray, cluster: np.ndarray | None, weights: np.ndarray
) -> tuple[float, float]:
    """Return the variance of the mean of `differences` `[N]` over other images, and its degrees of
    freedom.

    Two images are added, on which each classifier alone is right by halves. They keep the variance
    of few images above zero (Agresti and Min 2005). The classes share them (Price and Bonett 2004).
    Clusters count as their sums.
    """
    count, total = len(differences), float(differences.sum())
    squares = float(differences @ differences) + float((weights**3).mean())
    variance = (squares - total**2 / (count + 2)) / (count + 2) ** 2
    if cluster is None:
        return variance, math.inf
    if (effective := effective_groups(cluster, weights)) < 2:
        return 1.0, 1.0  # one group says nothing about another: any difference is possible
    clustered = _jackknife(np.bincount(cluster, weights=differences - total / count), cluster)
    return max(variance, clustered), effective - 1


def _jackknife(sums: np.ndarray, cluster: np.ndarray) -> float:
    """Return the jackknife's variance of the mean, from the sums of the residuals of groups, `[G]`
    or `[S, G]`.
    """
    sizes = np.bincount(cluster)
    return float(np.square(sums / (len(cluster) - sizes)).sum()) * (1 - 1 / len(sizes))


def _remainder(table: np.ndarray, cluster: np.ndarray | None) -> float:
    """Return the part of a seed on an image (or cluster) in the variance of the mean of `table`
    `[S, N]`.
    """
    num_seeds, num_images = table.shape
    residuals = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    if cluster is None:
        cluster = np.arange(num_images)
    else:
        residuals = np.array([np.bincount(cluster, weights=row) for row in residuals])
    if residuals.shape[1] == 1:
        return 0.0
    return _jackknife(residuals, cluster) / ((num_seeds - 1) * num_seeds)
