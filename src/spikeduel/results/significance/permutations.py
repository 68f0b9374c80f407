"""Exact tests by exchanging what would be exchangeable if there were no difference, and Holm's adjustment."""

import itertools
import math
from collections.abc import Sequence
from functools import cache

import numpy as np

MOST_WAYS = 200_000
"""All ways are counted up to ten seeds a contender (184,756); beyond, this many are drawn, always the same."""


def mcnemar(right_a: np.ndarray, right_b: np.ndarray) -> float:
    """The exact two-sided p-value of McNemar's test (1947) for bool `[N]`: a coin for each image that only one gets."""
    from scipy import stats

    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def sign_flips(sums: np.ndarray) -> float:
    """The share of the 2^G signs of the integers `sums` `[G]` whose total is at least as far from 0 as it is.

    Exact for any G: of c sums of one size a binomial number is positive, and the sizes' distributions are convolved.
    """
    from scipy import stats

    sizes, counts = np.unique(np.abs(sums[sums != 0]), return_counts=True)
    chances, farthest = np.ones(1), 0
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        steps = np.zeros(2 * size * count + 1)
        steps[:: 2 * size] = stats.binom.pmf(np.arange(count + 1), count, 0.5)
        chances, farthest = np.convolve(chances, steps), farthest + size * count
    totals = np.abs(np.arange(-farthest, farthest + 1))
    return min(1.0, float(chances[totals >= abs(int(sums.sum()))].sum()))


def is_exact(num_seeds: int) -> bool:
    """Whether `exchanged` counts all ways."""
    return math.comb(2 * num_seeds, num_seeds) <= MOST_WAYS


def exchanged(counts_a: np.ndarray, counts_b: np.ndarray) -> float:
    """The two-sided p-value of the difference in means of integers `[S]` and `[S]` if all 2S could change sides."""
    num_seeds = len(counts_a)
    both = np.concatenate([counts_a, counts_b]).astype(np.int64)
    if is_exact(num_seeds):
        sums = both[_ways(num_seeds)].sum(1)
    else:
        shuffled = np.random.default_rng(0).permuted(np.tile(both, (MOST_WAYS - 1, 1)), axis=1)
        sums = np.append(shuffled[:, :num_seeds].sum(1), counts_a.sum())
    distances = np.abs(2 * sums - both.sum())
    return float((distances >= abs(int(counts_a.sum() - counts_b.sum()))).mean())


@cache
def _ways(num_seeds: int) -> np.ndarray:
    ways = itertools.combinations(range(2 * num_seeds), num_seeds)
    flat = np.fromiter(itertools.chain.from_iterable(ways), np.intp)
    return flat.reshape(-1, num_seeds)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for their number, in their order (Holm 1979)."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
