"""Power: the chance that a true lead is found, and a forecast of the seeds it takes.

A lead is found if `significance` would call its owner better: by the crossed t test (after Holm, at
worst) and by the exchange of seeds. `benchmarks/power.py` simulates the same from single answers.
"""

import math
from bisect import bisect_left
from typing import Literal

import numpy as np

from spikeduel.results import uncertainty
from spikeduel.results.significance import FEWEST_GROUPS, Probability
from spikeduel.results.uncertainty import ALPHA, FEWEST_SEEDS, MOST_SEEDS, POWER
from spikeduel.system.typed import Amount, Count, Frozen, Positive

LEAD = 0.01
"""The true lead whose chance a report gives."""
TOO_COARSE = 0.05
"""Test images that show no difference below this (about 117 images) cannot choose a network."""
BETWEEN, WITHIN = 0.083, 0.046
"""Shares of test images on which trainings of two contenders, and two of one, disagree, if unknown:
Fashion-MNIST, the study's networks (`benchmarks/significance.py`).
"""
ASSUMED_SPREADS = (0.003, 0.0055)
"""Standard deviations over seeds that bracket what was measured there
(`benchmarks/results/precision-*.json`).
"""
IN_REACH = 2.80
"""Standard deviations from 0 at which a true difference is found in 80 % of cases: 1.96 + 0.84."""
LEVELS = 48
DRAWS = 20_000


class Variability(Frozen):
    """Standard deviations of a difference of contenders a and b, fractions.

    `seeds_a`, `seeds_b`: of a training's accuracy on these test images. `images`: of the difference
    in means over other test images, with `image_freedom` degrees of freedom; `effective_groups`:
    equal groups that weigh as much; both None without groups.
    """

    seeds_a: Amount
    seeds_b: Amount
    images: Amount
    image_freedom: Amount | None = None
    effective_groups: Amount | None = None


class Power(Frozen):
    """The `chance` to find a true `lead`; `seeds_needed`: for 80 %, None if 100 are too few."""

    lead: Probability
    seeds: Positive
    comparisons: Positive
    chance: Probability
    seeds_needed: Count | None
    variability: Variability


def power(variability: Variability, lead: float, num_seeds: int, comparisons: int = 1) -> Power:
    return Power(
        lead=lead,
        seeds=num_seeds,
        comparisons=comparisons,
        chance=chance(variability, lead, num_seeds, comparisons),
        seeds_needed=seeds_needed(variability, lead, comparisons),
        variability=variability,
    )


def variability_of(
    right_a: np.ndarray,
    right_b: np.ndarray,
    groups: np.ndarray | None = None,
    classes: np.ndarray | None = None,
) -> Variability:
    """Return the variability of two contenders' answers, bool `[S, N]` of two seeds or more;
    `groups` and `classes` `[N]` as in `significance`.
    """
    cluster = uncertainty.numbered(groups)
    off = uncertainty.of_difference(right_a, right_b, cluster, classes=classes)
    scored = [uncertainty.scores(right, classes) for right in (right_a, right_b)]
    spreads = [float(right.mean(1).std(ddof=1)) for right in scored]
    # The seeds' parts, if these say less than the remainder.
    least = math.sqrt(off.seeds * off.num_seeds / 2)
    if math.hypot(*spreads) < least * math.sqrt(2):
        spreads = [least, least]
    return Variability(
        seeds_a=spreads[0],
        seeds_b=spreads[1],
        images=math.sqrt(off.images),
        image_freedom=None if cluster is None else off.image_freedom,
        effective_groups=None
        if cluster is None
        else uncertainty.effective_groups(cluster, uncertainty.weights_of(classes, len(cluster))),
    )


def assumed_variability(
    spread: float, num_images: float, effective_groups: float | None = None
) -> Variability:
    """Return the variability if accuracy on an unlimited test set varies by `spread` over seeds,
    and answers disagree as in `BETWEEN`.
    """
    # Half of the disagreement is one training's, and adds to its spread.
    of_training = math.sqrt(spread**2 + WITHIN / 2 / num_images)
    return Variability(
        seeds_a=of_training,
        seeds_b=of_training,
        images=math.sqrt((BETWEEN - WITHIN) / num_images),
        image_freedom=effective_groups and effective_groups - 1,
        effective_groups=effective_groups,
    )


def detectable(num_images: float) -> float:
    """Return the true difference found in 80 % of cases on so many images, with any number of
    seeds, if answers disagree as in `BETWEEN`.
    """
    return min(1.0, IN_REACH * assumed_variability(0.0, num_images).images)


def chance(variability: Variability, lead: float, num_seeds: int, comparisons: int = 1) -> float:
    """Return the chance that a contender with a true `lead` is called better.

    Mean over independent chi-squared variances of the seeds (S − 1 degrees of freedom each;
    Welch's), with the variance over images taken as known. Several comparisons are tested at 5 % by
    their number, Holm's worst case.
    """
    few_groups = (
        variability.effective_groups is not None and variability.effective_groups < FEWEST_GROUPS
    )
    if num_seeds < FEWEST_SEEDS or few_groups:
        return 0.0
    from scipy import special

    variances = np.square([variability.seeds_a, variability.seeds_b]) / num_seeds
    tail, freedom = ALPHA / 2 / comparisons, num_seeds - 1
    by_images = (
        float(uncertainty.student(tail, variability.image_freedom or math.inf)) ** 2
        * variability.images**2
    )
    off = math.sqrt(variances.sum() + variability.images**2)
    levels = (np.arange(LEVELS) + 0.5) / LEVELS
    # With four seeds, exchanging them is the harder test: drawn, since the order of all decides.
    if num_seeds == FEWEST_SEEDS:
        return _chance_of_few(variability, lead, num_seeds, tail, by_images)
    estimates = special.gammaincinv(freedom / 2, levels) * 2 / freedom
    half = _half_width(
        variances[0] * estimates[:, None], variances[1] * estimates, freedom, tail, by_images
    )
    return float(special.ndtr((lead - half) / max(off, 1e-12)).mean())


def seeds_needed(variability: Variability, lead: float, comparisons: int = 1) -> int | None:
    """Return the fewest seeds that find `lead` in 80 % of cases; None beyond `MOST_SEEDS`."""
    numbers = range(FEWEST_SEEDS, MOST_SEEDS + 1)
    place = bisect_left(
        numbers, POWER, key=lambda number: chance(variability, lead, number, comparisons)
    )
    return numbers[place] if place < len(numbers) else None


def _half_width(
    a: np.ndarray, b: np.ndarray, freedom: int, tail: float, by_images: float
) -> np.ndarray:
    total = np.maximum(a + b, 1e-24)
    welch = freedom * total**2 / np.maximum(a**2 + b**2, 1e-48)
    return np.sqrt(uncertainty.student(tail, welch) ** 2 * total + by_images)


def _chance_of_few(
    variability: Variability, lead: float, num_seeds: int, tail: float, by_images: float
) -> float:
    """Return `chance` from drawn accuracies: all seeds of one contender above all of the other."""
    random = np.random.default_rng(0)
    a, b = (
        spread * random.standard_normal((DRAWS, num_seeds))
        for spread in (variability.seeds_a, variability.seeds_b)
    )
    ahead = lead + variability.images * random.standard_normal(DRAWS)
    half = _half_width(
        a.var(1, ddof=1) / num_seeds, b.var(1, ddof=1) / num_seeds, num_seeds - 1, tail, by_images
    )
    is_found = (a.mean(1) - b.mean(1) + ahead > half) & (a.min(1) + ahead > b.max(1))
    return float(is_found.mean())


SEEDS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)
Source = Literal["given", "store", "assumed"]
"""Source of the spread of accuracy over seeds."""


class Case(Frozen):
    """The chance with each of `SEEDS`: for `a` and `b`, or for any two contenders whose accuracy on
    an unlimited test set varies by `spread` over seeds.
    """

    variability: Variability
    chances: list[Probability]
    seeds_needed: Count | None
    a: str | None = None
    b: str | None = None
    spread: Amount | None = None


class ContenderTime(Frozen):
    """Training time of a contender, by its stored trials or some training steps: mean epochs (at
    most, unless `from_store`), seconds of an epoch, and of a seed in all folds.
    """

    contender: str
    epochs: Amount
    epoch_seconds: Amount
    seed_seconds: Amount
    from_store: bool


class Forecast(Frozen):
    """Seeds that a true `lead` takes, and their training time; `trained` ones are whole in the
    store.
    """

    dataset: str
    test_images: Positive
    lead: Probability
    comparisons: Positive
    source: Source
    cases: list[Case]
    times: list[ContenderTime]
    trained: Count
    folds: Count | None = None
    seeds: tuple[int, ...] = SEEDS

    @property
    def seed_seconds(self) -> float:
        return sum(time.seed_seconds for time in self.times)

    def seconds(self, seeds: int) -> float:
        """Return the training time of `seeds`, without those in the store."""
        return max(0, seeds - self.trained) * self.seed_seconds

    @property
    def seeds_needed(self) -> int | None:
        """Seeds that find the lead with a chance of at least 80 %, in the hardest case; None if
        `MOST_SEEDS` are too few for one.
        """
        needed = [case.seeds_needed or math.inf for case in self.cases]
        return None if math.inf in needed else int(max(needed))
