"""Decide if one of two contenders is better, both are level, or the question stays open.

**Several seeds.** Two tests have to agree: the t test of the crossed model (`uncertainty`), over
other seeds and other images; and a permutation test, in which the 2S trainings change sides, over
other seeds on these images, without a normal distribution. It takes four seeds to call one better;
below, the t test stands alone. Holm adjusts the t tests alone: adjusting anything so coarse as the
permutation test would forbid all conclusions.

**Paired seeds.** If seed s of both is one training, asked in two ways, the t test is of the seeds'
differences, and the exact test flips their signs. Six seeds are the fewest.

**A single seed** tests these two models only: by the larger p-value of a normal test and McNemar's
exact one; with groups of images, by a t test over groups and sign flips of whole groups.

The interval is that of the same tests: it holds all differences that they leave possible, and so
excludes 0 just where p is at most 0.05. It grows with the number of comparisons as p does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, Self

import numpy as np
from msgspec import Meta, structs
from numpy.typing import ArrayLike

from spikeduel.results import uncertainty
from spikeduel.results.uncertainty import (
    ALPHA,
    FEWEST_PAIRED_SEEDS,
    FEWEST_SEEDS,
    Exchange,
    Uncertainty,
)
from spikeduel.system.errors import InputError
from spikeduel.system.typed import Frozen

MARGIN = 0.005
SHARE_OF_ERRORS = 0.25
"""Largest difference that does not matter, as a share of the better one's errors."""
IMBALANCE = 5
"""Ratio of the largest to the smallest class above which classes are unbalanced."""
FEWEST_IN_CLASS = 10
"""Fewest test images of each class with which unbalanced classes count alike."""
FEWEST_GROUPS = 6
"""Fewest equal groups of test images whose flipped signs reach p < `ALPHA`: 2 of 2^6 ways."""

Probability = Annotated[float, Meta(ge=0, le=1)]


Measure = Literal["accuracy", "balanced_accuracy"]
"""Share of right answers: of all images, or the mean of the shares of the classes (recalls)."""


class Conclusion(StrEnum):
    """Conclusion on two contenders: one better, level within the margin, or not shown."""

    A_BETTER = "a_better"
    B_BETTER = "b_better"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"

    @property
    def better(self) -> bool:
        return self in (Conclusion.A_BETTER, Conclusion.B_BETTER)


class Reservation(StrEnum):
    """Reason against calling a contender better though the interval excludes 0, or against a
    control's conclusion.
    """

    FEW_SEEDS = "few_seeds"
    FEW_GROUPS = "few_groups"
    FAILED_TRAININGS = "failed_trainings"
    CONTROL_AT_CHANCE = "control_at_chance"
    LONGER_TRAINING = "longer_training"
    AT_CHANCE = "at_chance"


class Difference(Frozen):
    """Difference of contenders a and b in a `measure`, on the same `n` test images: a fraction,
    a − b.

    The better one has `p_value` ≤ 0.05; else they are equivalent if `ci90` lies inside `±margin`
    (two one-sided tests at 5 %: Schuirmann 1987); else the comparison is inconclusive.
    `negligible`: `ci90` lies inside the margin, also if one is better. `reservation`: why neither
    is better though `ci95` excludes 0.

    `p_value`: after Holm, and at least `p_permutation`, that of exchanging seeds or groups, None
    with too few to reach 0.05; `p_value_raw`: before Holm. `paired`: seed s of both is one
    training. `groups`: groups of images, None if all are independent; `effective_groups`: equal
    groups that would weigh the same, six at least to call one better. `failed`: seeds that the
    leader alone failed; a better one must be better with these at chance, too.

    `detectable_at_best`: true difference found in 80 % of cases with these images and any number of
    seeds. `seeds_needed`: seeds that find `margin`; `seeds_for_difference`: a difference as large
    as this one; None if 100 are too few. With one seed all three are None.
    """

    difference: float
    ci95: tuple[float, float]
    ci90: tuple[float, float]
    p_value: Probability
    p_value_raw: Probability
    p_permutation: Probability | None
    test: str
    n: int
    seeds: int
    margin: Probability
    conclusion: Conclusion
    detectable_at_best: float | None
    seeds_needed: int | None
    seeds_for_difference: int | None = None
    groups: int | None = None
    effective_groups: float | None = None
    negligible: bool = False
    reservation: Reservation | None = None
    paired: bool = False
    failed: int = 0
    measure: Measure = "accuracy"

    @property
    def fewest_seeds(self) -> int:
        """Seeds from which the exact test can call one better."""
        return FEWEST_PAIRED_SEEDS if self.paired else FEWEST_SEEDS

    @property
    def smallest_p(self) -> float:
        """Smallest p-value that exchanging these seeds can reach."""
        return 2.0 ** (1 - self.seeds) if self.paired else 2 / math.comb(2 * self.seeds, self.seeds)

    @property
    def excludes_zero(self) -> bool:
        return not self.ci95[0] <= 0 <= self.ci95[1]

    @property
    def enough_seeds(self) -> bool:
        """True with enough seeds to call one better in other trainings, too."""
        return self.seeds >= self.fewest_seeds

    @property
    def few_seeds(self) -> bool:
        """True with several seeds, and too few to call anybody better."""
        return self.seeds > 1 and not self.enough_seeds

    @property
    def few_groups(self) -> bool:
        """True with too few groups to call anybody better."""
        return self.groups is not None and (self.effective_groups or self.groups) < FEWEST_GROUPS

    def withheld(self, reservation: Reservation) -> Self:
        """Return the difference, inconclusive for this reason."""
        return structs.replace(self, conclusion=Conclusion.INCONCLUSIVE, reservation=reservation)

    def __str__(self) -> str:
        low, high = self.ci95
        numbers = (
            f"{100 * self.difference:+.2f} points, 95 % interval {100 * low:+.2f} to "
            f"{100 * high:+.2f}"
        )
        of = "" if self.measure == "accuracy" else " (balanced accuracy)"
        return (
            f"a − b: {numbers.replace('-', '−')}{of}, p = {self.p_value:.3g}: "
            f"{self.conclusion.replace('_', ' ')}"
        )


def compare_predictions(
    labels: ArrayLike,
    predictions_a: ArrayLike,
    predictions_b: ArrayLike,
    groups: ArrayLike | None = None,
    margin: float | None = None,
    paired: bool = False,
) -> Difference:
    """Compare two contenders' predicted labels of the same test images: `[N]`, or `[S, N]` of S
    seeds.

    `labels` `[N]` is the truth. `groups` `[N]` names images that are not independent (one person's,
    say). Differences inside `±margin` (a fraction; unset: half a point, or a quarter of the better
    one's errors if that is less) count as none. `paired`: row s of both is one training, asked in
    two ways; a common seed is not enough. Balanced accuracies are compared if the largest class has
    more than five times the images of the smallest, and that has at least ten. Raises `InputError`.
    """
    return adjusted(
        [tested_predictions(labels, predictions_a, predictions_b, groups, margin, paired)]
    )[0]


@dataclass(frozen=True)
class Tested:
    """Tests of a difference before Holm's adjustment: `concluded` at `off.p_value`; `exchange` is
    None with too few seeds or groups.
    """

    concluded: Difference
    off: Uncertainty
    exchange: Exchange | None

    def adjusted(self, p_value: float) -> Difference:
        """Return the difference, concluded at the t test's adjusted `p_value`."""
        low, high = self.off.interval(1 - ALPHA * self.off.p_value / p_value)
        if self.exchange:
            by_exchange = self.exchange.interval(1 - ALPHA)
            low, high = min(low, by_exchange[0]), max(high, by_exchange[1])
            p_value = max(p_value, self.exchange.p_value)
        adjusted = structs.replace(self.concluded, p_value=p_value, ci95=(low, high))
        return structs.replace(
            adjusted, conclusion=_conclusion(adjusted), reservation=_reservation(adjusted)
        )


def difference(
    right_a: np.ndarray,
    right_b: np.ndarray,
    groups: ArrayLike | None = None,
    margin: float | None = None,
    paired: bool = False,
    classes: np.ndarray | None = None,
) -> Difference:
    """Compare two contenders by the images that each seed gets right: bool `[S, N]`. `classes` are
    those of `balanced_classes`. Raises `InputError`.
    """
    return adjusted([tested(right_a, right_b, groups, margin, paired, classes)])[0]


def tested(
    right_a: np.ndarray,
    right_b: np.ndarray,
    groups: ArrayLike | None = None,
    margin: float | None = None,
    paired: bool = False,
    classes: np.ndarray | None = None,
) -> Tested:
    """Test one of several comparisons, which `adjusted` then takes together. As `difference`."""
    if margin is not None and not 0 <= margin <= 1:
        raise InputError(
            f"margin must be a fraction from 0 to 1, such as 0.005 for half a point, not {margin}."
        )
    num_seeds, num_images = right_a.shape
    weights = uncertainty.weights_of(classes, num_images)
    scores_a, scores_b = (uncertainty.scores(right, classes) for right in (right_a, right_b))
    accuracies = float(scores_a.mean()), float(scores_b.mean())
    if margin is None:
        margin = min(MARGIN, SHARE_OF_ERRORS * (1 - max(accuracies)))
    if groups is not None:
        groups = _of_images("groups", groups, num_images)
    cluster = uncertainty.numbered(groups)
    off = uncertainty.of_difference(right_a, right_b, cluster, paired, classes)
    p_value, exchange, units = off.p_value, None, "images" if cluster is None else "groups"
    fewest = FEWEST_PAIRED_SEEDS if paired else FEWEST_SEEDS
    test = f"t test over seeds and {units}"
    if num_seeds >= fewest:
        of_seeds = scores_a.mean(1), scores_b.mean(1)
        exchange = (
            Exchange.of_pairs(of_seeds[0] - of_seeds[1]) if paired else Exchange.of(*of_seeds)
        )
        test += f", and {exchange.how} " + ("sign flips" if paired else "permutation") + " of seeds"
    elif cluster is None and num_seeds == 1:
        p_value = max(p_value, uncertainty.mcnemar(right_a[0], right_b[0], weights))
        exact = "McNemar test" if classes is None else "sign flips of images"
        test = f"exact {exact}, and normal test over images"
    elif cluster is not None and num_seeds == 1:
        sums = np.bincount(cluster, weights * (right_a[0].astype(float) - right_b[0]))
        test = "t test over groups of images"
        if len(sums) >= FEWEST_GROUPS:
            exchange = Exchange.of_pairs(sums, np.bincount(cluster, weights))
            test += f", and {exchange.how} sign flips of {len(sums):,} groups"
    low, high = off.interval(0.90)
    compared = Difference(
        difference=accuracies[0] - accuracies[1],
        ci95=off.interval(0.95),
        ci90=(low, high),
        p_value=p_value,
        p_value_raw=p_value,
        p_permutation=exchange.p_value if exchange else None,
        test=test,
        n=num_images,
        seeds=num_seeds,
        margin=margin,
        conclusion=Conclusion.INCONCLUSIVE,
        detectable_at_best=off.detectable_at_best if num_seeds > 1 else None,
        seeds_needed=off.seeds_needed(margin, fewest) if num_seeds > 1 else None,
        seeds_for_difference=off.seeds_needed(abs(accuracies[0] - accuracies[1]), fewest)
        if num_seeds > 1
        else None,
        groups=None if cluster is None else int(cluster.max()) + 1,
        effective_groups=None
        if cluster is None
        else uncertainty.effective_groups(cluster, weights),
        negligible=-margin < low and high < margin,
        paired=paired,
        measure="accuracy" if classes is None else "balanced_accuracy",
    )
    return Tested(compared, off, exchange)


def confirmed(difference: Difference, with_failures: Difference) -> Difference:
    """Return `difference`, inconclusive unless `with_failures` (failed seeds at chance) agrees."""
    if difference.conclusion.better and with_failures.conclusion is not difference.conclusion:
        difference = difference.withheld(Reservation.FAILED_TRAININGS)
    return structs.replace(difference, failed=with_failures.seeds - difference.seeds)


def tested_predictions(
    labels: ArrayLike,
    predictions_a: ArrayLike,
    predictions_b: ArrayLike,
    groups: ArrayLike | None = None,
    margin: float | None = None,
    paired: bool = False,
) -> Tested:
    """Test one of several comparisons, which `adjusted` then takes together. As
    `compare_predictions`.
    """
    truth = _of_images("labels", labels)
    right: list[np.ndarray] = []
    for name, labelled in (("predictions_a", predictions_a), ("predictions_b", predictions_b)):
        predicted = _of_images(name, labelled, len(truth), seeds=True)
        if (predicted.dtype.kind in "US") != (truth.dtype.kind in "US"):
            raise InputError(f"{name} and labels must both be numbers, or both be text.")
        right.append(np.atleast_2d(predicted == truth))
    seeds_a, seeds_b = map(len, right)
    if seeds_a != seeds_b:
        raise InputError(
            f"predictions_a is of {seeds_a} and predictions_b of {seeds_b} seeds: give as many of "
            f"each."
        )
    return tested(right[0], right[1], groups, margin, paired, balanced_classes(truth))


def are_unbalanced(counts: Sequence[int] | np.ndarray) -> bool:
    """Return True if a class has far more images than another; classes without any are left out."""
    present = [count for count in counts if count]
    return max(present, default=0) > IMBALANCE * min(present, default=0)


def count_alike(counts: Sequence[int] | np.ndarray) -> bool:
    """Return True if balanced accuracy decides: classes are unbalanced, and none with images has
    fewer than `FEWEST_IN_CLASS`, of which each would weigh too much.
    """
    return are_unbalanced(counts) and min(filter(None, counts)) >= FEWEST_IN_CLASS


def balanced_classes(labels: np.ndarray) -> np.ndarray | None:
    """Return the classes of images `[N]`, numbered from 0, if they count alike; else None."""
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return classes if count_alike(counts) else None


def adjusted(tests: Sequence[Tested]) -> list[Difference]:
    """Return the comparisons of one experiment, adjusted by Holm."""
    p_values = uncertainty.holm([test.concluded.p_value_raw for test in tests])
    return [test.adjusted(p_value) for test, p_value in zip(tests, p_values, strict=True)]


def _conclusion(difference: Difference) -> Conclusion:
    if difference.p_value <= ALPHA and not (difference.few_seeds or difference.few_groups):
        return Conclusion.A_BETTER if difference.difference > 0 else Conclusion.B_BETTER
    return Conclusion.EQUIVALENT if difference.negligible else Conclusion.INCONCLUSIVE


def _reservation(difference: Difference) -> Reservation | None:
    """Return why neither is better though the interval excludes 0, if so."""
    if difference.negligible or not difference.excludes_zero:
        return None
    if difference.few_seeds:
        return Reservation.FEW_SEEDS
    return Reservation.FEW_GROUPS if difference.few_groups else None


def smallest_p(groups: int) -> float:
    """Return the smallest p-value that flipping the signs of `groups` can reach."""
    return 2.0 ** (1 - groups)


def _of_images(
    name: str, values: ArrayLike, num_images: int | None = None, seeds: bool = False
) -> np.ndarray:
    """Return numbers or text `[N]`, with `seeds` also `[S, N]`. Raises `InputError`."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{name}: its rows have different lengths.") from None
    kind, shape = array.dtype.kind, list(array.shape)
    if not array.size or array.ndim not in (1, 1 + seeds) or num_images not in (None, shape[-1]):
        size = "N" if num_images is None else num_images
        form = f"[{size}] or [seeds, {size}]" if seeds else f"[{size}]"
        raise InputError(
            f"{name} must have one entry for each image, {form}, not the shape {shape}."
        )
    if kind == "f" and not np.isfinite(array).all():
        raise InputError(f"{name} has missing values (NaN or infinity): every image needs one.")
    if kind not in "iufbUS" or (kind == "f" and (array != np.round(array)).any()):
        what = "scores or probabilities" if kind == "f" else array.dtype
        raise InputError(f"{name} must be whole numbers or text, not {what}.")
    return array
