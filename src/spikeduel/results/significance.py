"""Decide if one of two contenders is better, both are level, or the question stays open.

**Several seeds.** The p-value is the larger of two: the t test of the crossed model
(`uncertainty`), over other seeds and other images; and a permutation test, in which the 2S
trainings change sides, over other seeds on these images, without a normal distribution. It takes
four seeds to call one better. Holm adjusts the t tests alone: adjusting anything so coarse as the
permutation test would forbid all conclusions.

**Paired seeds.** If seed s of both is one training, asked in two ways, the t test is of the seeds'
differences, and the exact test flips their signs. Six seeds are the fewest.

**A single seed** tests these two models only: by McNemar's exact test; with groups of images, by
the larger p-value of the t test over groups and of sign flips of whole groups.
"""

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import numpy as np
from msgspec import Meta, structs
from numpy.typing import ArrayLike

from spikeduel.results import uncertainty
from spikeduel.results.uncertainty import ALPHA, FEWEST_PAIRED_SEEDS, FEWEST_SEEDS
from spikeduel.system.errors import InputError
from spikeduel.system.typed import Frozen

MARGIN = 0.005
FEWEST_GROUPS = 6
"""Fewest equal groups of test images whose flipped signs reach p < `ALPHA`: 2 of 2^6 ways."""

Probability = Annotated[float, Meta(ge=0, le=1)]


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
    COMPARISONS = "comparisons"
    EXACT_TEST = "exact_test"
    CONTROL_AT_CHANCE = "control_at_chance"


class Difference(Frozen):
    """Difference in accuracy of contenders a and b on the same `n` test images: fractions, a − b.

    The better one has `p_value` ≤ 0.05; else they are equivalent if `ci90` lies inside `±margin`
    (two one-sided tests at 5 %: Schuirmann 1987); else the comparison is inconclusive.
    `negligible`: `ci90` lies inside the margin, also if one is better. `reservation`: why neither
    is better though `ci95` excludes 0.

    `p_value`: after Holm, and at least `p_permutation`, that of exchanging seeds; `p_value_raw`:
    before Holm. `paired`: seed s of both is one training. `groups`: groups of images, None if all
    are independent; `effective_groups`: equal groups that would weigh the same, six at least to
    call one better.

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
    def few_groups(self) -> bool:
        """True with too few groups to call anybody better."""
        return self.groups is not None and (self.effective_groups or self.groups) < FEWEST_GROUPS

    def __str__(self) -> str:
        low, high = self.ci95
        numbers = (
            f"{100 * self.difference:+.2f} points, 95 % interval {100 * low:+.2f} to "
            f"{100 * high:+.2f}"
        )
        return (
            f"a − b: {numbers.replace('-', '−')}, p = {self.p_value:.3g}: "
            f"{self.conclusion.replace('_', ' ')}"
        )


def compare_predictions(
    labels: ArrayLike,
    predictions_a: ArrayLike,
    predictions_b: ArrayLike,
    groups: ArrayLike | None = None,
    margin: float = MARGIN,
    paired: bool = False,
) -> Difference:
    """Compare two contenders' predicted labels of the same test images: `[N]`, or `[S, N]` of S
    seeds.

    `labels` `[N]` is the truth. `groups` `[N]` names images that are not independent (one person's,
    say). Differences inside `±margin` (a fraction) count as none. `paired`: row s of both is one
    training, asked in two ways; a common seed is not enough. Raises `InputError`.
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
    return difference(right[0], right[1], groups, margin, paired)


def difference(
    right_a: np.ndarray,
    right_b: np.ndarray,
    groups: ArrayLike | None = None,
    margin: float = MARGIN,
    paired: bool = False,
) -> Difference:
    """Compare two contenders by the images that each seed gets right: bool `[S, N]`. Raises
    `InputError`.
    """
    if not 0 <= margin <= 1:
        raise InputError(
            f"margin must be a fraction from 0 to 1, such as 0.005 for half a point, not {margin}."
        )
    num_seeds, num_images = right_a.shape
    if groups is not None:
        groups = _of_images("groups", groups, num_images)
    cluster = uncertainty.numbered(groups)
    off = uncertainty.of_difference(right_a, right_b, cluster, paired)
    p_permutation = None
    if num_seeds > 1:
        p_value, units = off.p_value, "images" if cluster is None else "groups of images"
        counts = right_a.sum(1), right_b.sum(1)
        if paired:
            p_permutation = uncertainty.sign_flips(counts[0] - counts[1])
            test = (
                f"paired t test over seeds and {units}, and exact sign flips of the seeds' "
                f"differences"
            )
        else:
            p_permutation, how = uncertainty.exchanged(*counts)
            test = f"t test over seeds and {units}, and {how} permutation of the seeds"
    elif cluster is None:
        p_value, test = uncertainty.mcnemar(right_a[0], right_b[0]), "exact McNemar test"
    else:
        sums = np.bincount(cluster, weights=right_a[0].astype(float) - right_b[0]).astype(np.int64)
        # Groups may differ less than independent images would; the interval then takes their
        # variance.
        p_value = max(uncertainty.sign_flips(sums), off.p_value)
        test = (
            f"t test over groups of images, and exact sign flips of {len(sums):,} "
            f"group{'s' if len(sums) > 1 else ''}"
        )
    compared = Difference(
        difference=float(right_a.mean() - right_b.mean()),
        ci95=off.interval(0.95),
        ci90=off.interval(0.90),
        p_value=p_value,
        p_value_raw=p_value,
        p_permutation=p_permutation,
        test=test,
        n=num_images,
        seeds=num_seeds,
        margin=float(margin),
        conclusion=Conclusion.INCONCLUSIVE,
        detectable_at_best=off.detectable_at_best if num_seeds > 1 else None,
        seeds_needed=None,
        groups=None if cluster is None else int(cluster.max()) + 1,
        effective_groups=None if cluster is None else uncertainty.effective_groups(cluster),
        paired=paired,
    )
    if num_seeds > 1:
        fewest = compared.fewest_seeds
        compared = structs.replace(
            compared,
            seeds_needed=off.seeds_needed(margin, fewest),
            seeds_for_difference=off.seeds_needed(abs(compared.difference), fewest),
        )
    return adjusted([compared])[0]


def adjusted(differences: Sequence[Difference]) -> list[Difference]:
    """Return the comparisons of one experiment, adjusted by Holm."""
    results = []
    p_values = uncertainty.holm([difference.p_value_raw for difference in differences])
    for difference, p_value in zip(differences, p_values, strict=True):
        p_value = max(p_value, difference.p_permutation or 0.0)
        low, high = difference.ci90
        negligible = -difference.margin < low and high < difference.margin
        conclusion = Conclusion.EQUIVALENT if negligible else Conclusion.INCONCLUSIVE
        if p_value <= ALPHA and not difference.few_groups:
            ahead = difference.difference > 0
            conclusion = Conclusion.A_BETTER if ahead else Conclusion.B_BETTER
        concluded = structs.replace(
            difference, p_value=p_value, conclusion=conclusion, negligible=negligible
        )
        results.append(structs.replace(concluded, reservation=reservation(concluded)))
    return results


def reservation(difference: Difference) -> Reservation | None:
    """Return why neither is better though the interval excludes 0, if so."""
    if difference.conclusion is not Conclusion.INCONCLUSIVE or not difference.excludes_zero:
        return None
    if 1 < difference.seeds < difference.fewest_seeds:
        return Reservation.FEW_SEEDS
    if difference.few_groups:
        return Reservation.FEW_GROUPS
    tests = (difference.p_value_raw, difference.p_permutation)
    return (
        Reservation.COMPARISONS
        if all(p is None or p <= ALPHA for p in tests)
        else Reservation.EXACT_TEST
    )


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
