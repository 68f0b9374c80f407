"""Comparisons of two contenders, as results.json has them; `statistics` computes them."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Self

import numpy as np
from msgspec import Meta, structs
from numpy.typing import ArrayLike

from spikeduel import statistics
from spikeduel.statistics import Conclusion, Measure, PairedTest, mean_accuracy
from spikeduel.statistics.weighting import per_image
from spikeduel.system.errors import InputError
from spikeduel.system.negligible import max_margin
from spikeduel.system.typed import Frozen

Probability = Annotated[float, Meta(ge=0, le=1)]


class Reservation(StrEnum):
    """Reason against calling a contender better though the interval excludes 0, or against a
    control's conclusion.
    """

    TOO_FEW_SEEDS = "few_seeds"
    TOO_FEW_GROUPS = "few_groups"
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
        return statistics.min_seeds(self.paired)

    @property
    def smallest_p(self) -> float:
        """Smallest p-value that exchanging these seeds can reach."""
        return statistics.smallest_p(self.seeds, self.paired)

    @property
    def excludes_zero(self) -> bool:
        return not self.ci95[0] <= 0 <= self.ci95[1]

    @property
    def enough_seeds(self) -> bool:
        """True with enough seeds to call one better in other trainings, too."""
        return self.seeds >= self.fewest_seeds

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


def difference(
    right_a: np.ndarray,
    right_b: np.ndarray,
    groups: ArrayLike | None = None,
    margin: float | None = None,
    paired: bool = False,
    classes: np.ndarray | None = None,
) -> Difference:
    """Compare two contenders by the images that each seed gets right: bool `[S, N]`. `classes` are
    those of `balanced_classes`.
    """
    return adjusted([tested(right_a, right_b, groups, margin, paired, classes)])[0]


def tested(
    right_a: np.ndarray,
    right_b: np.ndarray,
    groups: ArrayLike | None = None,
    margin: float | None = None,
    paired: bool = False,
    classes: np.ndarray | None = None,
) -> PairedTest:
    """Test one of several comparisons, which `adjusted` then takes together. As `difference`."""
    if margin is None:
        margin = max_margin(*(mean_accuracy(right, classes) for right in (right_a, right_b)))
    return statistics.paired_test(right_a, right_b, margin, groups, paired, classes)


def tested_predictions(
    labels: ArrayLike,
    predictions_a: ArrayLike,
    predictions_b: ArrayLike,
    groups: ArrayLike | None = None,
    margin: float | None = None,
    paired: bool = False,
) -> PairedTest:
    """Test one of several comparisons, which `adjusted` then takes together. As
    `compare_predictions`.
    """
    try:
        truth = per_image("labels", labels)
        right: list[np.ndarray] = []
        for name, values in (("predictions_a", predictions_a), ("predictions_b", predictions_b)):
            predicted = np.atleast_2d(per_image(name, values, len(truth), seeds=True))
            if (predicted.dtype.kind in "US") != (truth.dtype.kind in "US"):
                raise ValueError(f"{name} and labels must both be numbers, or both be text.")
            right.append(predicted == truth)
        classes = statistics.balanced_classes(truth)
        return tested(right[0], right[1], groups, margin, paired, classes)
    except ValueError as error:
        raise InputError(str(error)) from None


def adjusted(tests: Sequence[PairedTest]) -> list[Difference]:
    """Return the comparisons of one experiment, adjusted by Holm."""
    return [_difference(test) for test in statistics.adjusted(tests)]


def _difference(test: PairedTest) -> Difference:
    computed = set(Difference.__struct_fields__) - {"reservation", "failed"}
    difference = Difference(**{name: getattr(test, name) for name in computed})
    if difference.negligible or not difference.excludes_zero:
        return difference
    few_groups = Reservation.TOO_FEW_GROUPS if test.few_groups else None
    reservation = Reservation.TOO_FEW_SEEDS if test.few_seeds else few_groups
    return structs.replace(difference, reservation=reservation)


def confirmed(difference: Difference, with_failures: Difference) -> Difference:
    """Return `difference`, inconclusive unless `with_failures` (failed seeds at chance) agrees."""
    if difference.conclusion.better and with_failures.conclusion is not difference.conclusion:
        difference = difference.withheld(Reservation.FAILED_TRAININGS)
    return structs.replace(difference, failed=with_failures.seeds - difference.seeds)
