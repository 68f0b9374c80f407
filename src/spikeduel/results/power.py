"""Power: the chance that a true lead is found, as a function of the lead, the seeds, and how much
luck there is.

A lead is found where `significance` would call its owner better: by the crossed t test (after Holm,
at worst) and by the exchange of seeds. `chance` computes it for normal luck; `benchmarks/power.py`
simulates the same from answers to single images, and has both beside each other.
"""

import math

import numpy as np

from spikeduel.results import uncertainty
from spikeduel.results.significance import FEWEST_GROUPS, Probability
from spikeduel.results.uncertainty import ALPHA, FEWEST_SEEDS, MOST_SEEDS, POWER
from spikeduel.system.typed import Amount, Count, Frozen, Positive

LEAD = 0.01
"""The true lead whose chance a report gives: one point."""
BETWEEN, WITHIN = 0.083, 0.046
"""Shares of test images on which trainings of two contenders, and two trainings of one, disagree:
Fashion-MNIST, direct encoding, the study's networks (`benchmarks/significance.py`). Assumed where
nothing is known of one's own.
"""
ASSUMED_SPREADS = (0.003, 0.0055)
"""Standard deviations over seeds that bracket what was measured there by the study's stopping rule:
0.42 to 0.58 points on 10,000 test images, 0.17 to 0.21 with a fixed number of epochs
(`benchmarks/results/precision-*.json`).
"""
IN_REACH = 2.80
"""So many standard deviations from 0, a true difference is found in 80 % of cases at 5 %: 1.96 and
0.84.
"""
LEVELS = 48
DRAWS = 20_000


class Luck(Frozen):
    """How much chance there is in a difference of contenders a and b: standard deviations,
    fractions.

    `seeds_a`, `seeds_b`: of one training's accuracy on these test images over seeds, and at least
    what single answers show of it where few seeds end level by luck. `images`: of the difference in
    means over other test images, however many seeds there are, with `image_freedom` degrees of
    freedom. The images weigh as much as `effective_groups` groups of one size. Both are None where
    each image stands for itself.
    """

    seeds_a: Amount
    seeds_b: Amount
    images: Amount
    image_freedom: Amount | None = None
    effective_groups: Amount | None = None


class Power(Frozen):
    """The `chance` that a true `lead` is found with so many `seeds`, among so many `comparisons`.

    `seeds_needed` is the smallest number with which it is found in 80 % of cases, None where 100
    are too few.
    """

    lead: Probability
    seeds: Positive
    comparisons: Positive
    chance: Probability
    seeds_needed: Count | None
    luck: Luck


def power(luck: Luck, lead: float, num_seeds: int, comparisons: int = 1) -> Power:
    """`chance` and `seeds_needed` together."""
    return Power(
        lead=lead,
        seeds=num_seeds,
        comparisons=comparisons,
        chance=chance(luck, lead, num_seeds, comparisons),
        seeds_needed=seeds_needed(luck, lead, comparisons),
        luck=luck,
    )


def luck_of(right_a: np.ndarray, right_b: np.ndarray, groups: np.ndarray | None = None) -> Luck:
    """What two contenders' answers show, bool `[S, N]` of two seeds or more; `groups` `[N]` as in
    `significance`.
    """
    cluster = None
    if groups is not None:
        names, numbers = np.unique(groups, return_inverse=True)
        cluster = None if len(names) == len(groups) else numbers
    off = uncertainty.of_difference(right_a, right_b, cluster)
    spreads = [float(right.mean(1).std(ddof=1)) for right in (right_a, right_b)]
    # The parts that seeds have, where these say less than the remainder does.
    least = math.sqrt(off.seeds * off.num_seeds / 2)
    if math.hypot(*spreads) < least * math.sqrt(2):
        spreads = [least, least]
    return Luck(
        seeds_a=spreads[0],
        seeds_b=spreads[1],
        images=math.sqrt(off.images),
        image_freedom=None if cluster is None else off.image_freedom,
        effective_groups=None if cluster is None else uncertainty.effective_groups(cluster),
    )


def assumed_luck(spread: float, num_images: int, effective_groups: float | None = None) -> Luck:
    """Where accuracy on an unlimited test set varies by `spread` over seeds, and answers disagree
    as in `BETWEEN`.
    """
    # Half of it is one training's, and adds to its spread on so many images.
    of_training = math.sqrt(spread**2 + WITHIN / 2 / num_images)
    return Luck(
        seeds_a=of_training,
        seeds_b=of_training,
        images=math.sqrt((BETWEEN - WITHIN) / num_images),
        image_freedom=effective_groups and effective_groups - 1,
        effective_groups=effective_groups,
    )


def on_images(luck: Luck, num_images: int, now: int) -> Luck:
    """The luck on `now` test images, where that on `num_images` is known: of their part; seeds keep
    theirs.
    """
    scale = num_images / now
    return Luck(
        seeds_a=luck.seeds_a,
        seeds_b=luck.seeds_b,
        images=luck.images * math.sqrt(scale),
        image_freedom=luck.image_freedom and luck.image_freedom / scale,
        effective_groups=luck.effective_groups and luck.effective_groups / scale,
    )


def spread(luck: Luck, num_seeds: int) -> float:
    """The standard deviation of the difference that is measured, of means over so many seeds."""
    return math.sqrt((luck.seeds_a**2 + luck.seeds_b**2) / num_seeds + luck.images**2)


def chance(luck: Luck, lead: float, num_seeds: int, comparisons: int = 1) -> float:
    """The chance that the contender which truly leads by `lead` is called better.

    The difference is normal around `lead`. Of its two variances, that over images is taken as
    known; those of the seeds are estimated from S seeds a contender, so that the half-width of the
    interval varies: the chance is its mean over independent chi-squared variances (S − 1 degrees of
    freedom each; Welch's, as in `uncertainty`). Several comparisons are tested at 5 % by their
    number, which is Holm's first step, and so the worst case.
    """
    few_groups = luck.effective_groups is not None and luck.effective_groups < FEWEST_GROUPS
    if num_seeds < FEWEST_SEEDS or few_groups:
        return 0.0
    from scipy import special

    variances = np.square([luck.seeds_a, luck.seeds_b]) / num_seeds
    tail, freedom = ALPHA / 2 / comparisons, num_seeds - 1
    by_images = (
        float(uncertainty.student(tail, luck.image_freedom or math.inf)) ** 2 * luck.images**2
    )
    off = spread(luck, num_seeds)
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    # With four seeds, exchanging them is the harder test: drawn, since it asks for the order of all
    # seeds.
    if num_seeds == FEWEST_SEEDS:
        return _chance_of_few(luck, lead, num_seeds, tail, by_images)
    estimates = special.gammaincinv(freedom / 2, levels) * 2 / freedom
    half = _half_width(
        variances[0] * estimates[:, None], variances[1] * estimates, freedom, tail, by_images
    )
    return float(special.ndtr((lead - half) / max(off, 1e-12)).mean())


def seeds_needed(luck: Luck, lead: float, comparisons: int = 1) -> int | None:
    """The smallest number of seeds with which `lead` is found in 80 % of cases; None where
    `MOST_SEEDS` are too few.
    """
    low, high = FEWEST_SEEDS, MOST_SEEDS
    if chance(luck, lead, high, comparisons) < POWER:
        return None
    while low < high:
        middle = (low + high) // 2
        if chance(luck, lead, middle, comparisons) >= POWER:
            high = middle
        else:
            low = middle + 1
    return low


def smallest_lead(luck: Luck, num_seeds: int, comparisons: int = 1) -> float | None:
    """The smallest lead that is found in 80 % of cases, to 0.01 points; None where none would
    be.
    """
    return uncertainty.smallest_found(lambda lead: chance(luck, lead, num_seeds, comparisons))


def _half_width(
    a: np.ndarray, b: np.ndarray, freedom: int, tail: float, by_images: float
) -> np.ndarray:
    """Of the interval, for variances of the mean over seeds as they are estimated."""
    total = np.maximum(a + b, 1e-24)
    welch = freedom * total**2 / np.maximum(a**2 + b**2, 1e-48)
    return np.sqrt(uncertainty.student(tail, welch) ** 2 * total + by_images)


def _chance_of_few(luck: Luck, lead: float, num_seeds: int, tail: float, by_images: float) -> float:
    """`chance` from draws of the seeds' accuracies: all of one must be above all of the other."""
    random = np.random.default_rng(0)
    a, b = (
        spread * random.standard_normal((DRAWS, num_seeds))
        for spread in (luck.seeds_a, luck.seeds_b)
    )
    ahead = lead + luck.images * random.standard_normal(DRAWS)
    half = _half_width(
        a.var(1, ddof=1) / num_seeds, b.var(1, ddof=1) / num_seeds, num_seeds - 1, tail, by_images
    )
    found = (a.mean(1) - b.mean(1) + ahead > half) & (a.min(1) + ahead > b.max(1))
    return float(found.mean())
