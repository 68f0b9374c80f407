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
    ablation's conclusion.
    """

    TOO_FEW_SEEDS = "few_seeds"
    TOO_FEW_GROUPS = "few_groups"
    FAILED_TRAININGS = "failed_trainings"
    ABLATION_AT_CHANCE = "ablation_at_chance"
    LONGER_TRAINING = "longer_training"
    AT_CHANCE = "at_chance"


class Difference(Frozen):
    """Difference in a `measure` between contenders a and b on the same test images.

    One is better if `p_value` ≤ 0.05. Otherwise they are equivalent if `ci90` lies inside `±margin`
    (two one-sided tests at 5 %: Schuirmann 1987). Otherwise the comparison is inconclusive.

    Parameters
    ----------
    difference : float
        Difference a − b, a fraction.
    ci95, ci90 : tuple of float
        Intervals of 95 % and 90 %.
    p_value : float
        p-value after Holm's correction, and at least `p_permutation`.
    p_value_raw : float
        p-value before Holm's correction.
    p_permutation : float, optional
        p-value by exchanging seeds or groups. None if these are too few to reach 0.05.
    n, seeds : int
        Numbers of test images and of common seeds.
    margin : float
        Largest negligible difference.
    conclusion : Conclusion
        Which one is better, equivalent, or inconclusive.
    detectable_at_best : float, optional
        True difference that these images reveal in 80 % of cases, with any number of seeds.
    seeds_needed, seeds_for_difference : int, optional
        Seeds that reveal `margin`, and a difference as large as this one. None if 100 are too few.
    groups, effective_groups : int, float, optional
        Groups of images, and the number of equal groups that would weigh the same. At least six are
        needed to call one better. None if all images are independent.
    negligible : bool
        Whether `ci90` lies inside the margin, also if one is better.
    reservation : str, optional
        Why neither is called better although `ci95` excludes 0.
    paired : bool
        Whether a seed of both is one training.
    failed : int
        Seeds that only the leader failed. To be better, it must be better with these at chance
        level.

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.compare_predictions([0, 1, 2], [0, 1, 2], [0, 1, 1]).conclusion.value
    'inconclusive'
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
    """Compare the predictions of two classifiers for the same test images.

    If the largest class has more than five times the images of the smallest, and that has at least
    ten, balanced accuracies are compared.

    Parameters
    ----------
    labels : array-like, shape [N]
        True classes.
    predictions_a, predictions_b : array-like, shape [N], or [S, N] with S seeds
        Predicted classes.
    groups : array-like, shape [N], optional
        Names of groups of images that are not independent, such as those of a person.
    margin : float, optional
        Largest negligible difference, a fraction. Default: 0.005, or a quarter of the errors of the
        better one if that is less.
    paired : bool
        Whether row s of both comes from the same training. A common seed is not enough.

    Returns
    -------
    Difference
        Difference a − b with its tests.

    Raises
    ------
    InputError
        If the shapes do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> import spikeduel as sd
    >>> labels = np.arange(100) % 10
    >>> wrong = (labels + 1) % 10
    >>> difference = sd.compare_predictions(labels, labels, np.where(labels < 3, wrong, labels))
    >>> round(difference.difference, 4), difference.conclusion.value
    (0.3, 'a_better')
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
