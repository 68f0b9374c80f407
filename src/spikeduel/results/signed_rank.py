"""Wilcoxon's signed-rank test and what follows from it, for differences `[N]` of which N things
have one each.

Exact at any number, also where some of them are equal or zero: it flips the signs of the ranks.
`posterior` is the Bayesian signed-rank test (Benavoli and others 2014), with which of three answers
is the most probable counted as in "Time for a change" (Benavoli, Corani, Demšar and Zaffalon 2017).
"""

import itertools
import math

import numpy as np

from spikeduel.results.significance import Probability, smallest_p
from spikeduel.results.uncertainty import ALPHA, POWER, sign_flips, smallest_found
from spikeduel.system.typed import Frozen

DRAWS = 10_000
MOST_DATASETS = 200
"""The number of data sets needed is looked for up to here."""
PRIOR = 0.5
"""The weight of a data set without a difference that the Bayesian test assumes beforehand."""


class Posterior(Frozen):
    """How probable each answer is: that data sets like these speak mostly for `a`, mostly for no
    difference beyond the margin (`equivalent`), or mostly for `b`.
    """

    a: Probability
    equivalent: Probability
    b: Probability


def signed_ranks(differences: np.ndarray) -> np.ndarray:
    """Twice the ranks of the sizes of `differences` `[N]`, with their signs: whole numbers, also
    where some tie.

    Zeros are ranked, too, and then count for nobody (Pratt 1959).
    """
    from scipy import stats

    return np.rint(2 * stats.rankdata(np.abs(differences)) * np.sign(differences)).astype(np.int64)


def wilcoxon(differences: np.ndarray) -> float:
    """The exact two-sided p-value of the signed-rank test that `differences` `[N]` are symmetric
    around 0.
    """
    return sign_flips(signed_ranks(differences))


def one_sided(differences: np.ndarray) -> float:
    """The exact p-value against `differences` `[N]` being centred at 0 or below; 1 where they
    are.
    """
    ranks = signed_ranks(differences)
    return sign_flips(ranks) / 2 if ranks.sum() > 0 else 1.0


def not_within(differences: np.ndarray, margin: float) -> float:
    """The p-value against a difference as large as `margin`: the larger of the two one-sided
    tests.
    """
    return max(
        one_sided(np.round(margin - differences, 12)), one_sided(np.round(margin + differences, 12))
    )


def averages(differences: np.ndarray) -> np.ndarray:
    """The means of any two of `differences` `[N]`, each with itself, too: `[N (N + 1) / 2]`, the
    smallest first.
    """
    first, second = np.triu_indices(len(differences))
    return np.sort((differences[first] + differences[second]) / 2)


def centre(differences: np.ndarray) -> float:
    """Their typical value: the median of `averages` (Hodges and Lehmann 1963)."""
    return float(np.median(averages(differences)))


def interval(differences: np.ndarray, level: float) -> tuple[float, float] | None:
    """What the signed-rank test does not reject as the centre of `differences` `[N]`; None where it
    rejects nothing.
    """
    outside, means = _outside(len(differences), (1 - level) / 2), averages(differences)
    return (float(means[outside - 1]), float(means[-outside])) if outside else None


def _outside(number: int, tail: float) -> int:
    """How many sums of the ranks of so many differences' rarer sign, from 0 on, have a chance of
    `tail` together.
    """
    chances = np.ones(1)
    for rank in range(1, number + 1):
        chances = np.convolve(chances, [0.5, *[0.0] * (rank - 1), 0.5])
    return int((np.cumsum(chances) <= tail + 1e-12).sum())


def smallest_lead(spreads: np.ndarray, pairs: int = 1) -> float | None:
    """The smallest difference that is found in 80 % of cases, to 0.01 points, where what is
    measured on the data sets lies around it by the normal law with these standard deviations `[N]`;
    None where none would be.
    """
    outside = _outside(len(spreads), ALPHA / 2 / pairs)
    if not outside:
        return None
    off = np.random.default_rng(0).standard_normal((DRAWS, len(spreads))) * spreads

    def chance(lead: float) -> float:
        ranks = np.abs(off + lead).argsort(1).argsort(1) + 1
        return float((((off + lead < 0) * ranks).sum(1) < outside).mean())

    return smallest_found(chance)


def posterior(differences: np.ndarray, margin: float) -> Posterior:
    """The Bayesian signed-rank test: which of the three is the most probable in how many draws of
    the data sets' weights, among them a data set without a difference that weighs `PRIOR`.
    """
    values = np.array([0.0, *differences])
    sums = np.add.outer(values, values)
    parts = [np.heaviside(np.round(sign * sums - 2 * margin, 12), 0.5) for sign in (1, -1)]
    weights = np.random.default_rng(0).dirichlet([PRIOR, *np.ones(len(differences))], DRAWS)
    for_a, for_b = (((weights @ part) * weights).sum(1) for part in parts)
    most = np.argmax([for_a, 1 - for_a - for_b, for_b], axis=0)
    shares = np.bincount(most, minlength=3) / DRAWS
    return Posterior(**dict(zip(("a", "equivalent", "b"), shares.tolist(), strict=True)))


def fewest(pairs: int = 1) -> int:
    """With how many data sets the smallest p-value there can be, times so many pairs, is at most 5
    %.
    """
    return next(number for number in itertools.count(1) if pairs * smallest_p(number) <= ALPHA)


def needed(differences: np.ndarray, pairs: int = 1) -> int | None:
    """As many as show a true difference like that of `differences` in 80 % of cases, by the normal
    law.
    """
    from scipy import special

    middle = abs(centre(differences))
    reach = float(special.ndtri(1 - ALPHA / 2 / pairs) + special.ndtri(POWER))
    spread = float(np.std(differences, ddof=1)) if len(differences) > 1 else math.inf
    # For normal differences the signed-rank test needs π/3 times what the t test does.
    number = math.pi / 3 * (reach * spread / middle) ** 2 if middle else math.inf
    return max(fewest(pairs), math.ceil(number)) if number <= MOST_DATASETS else None
