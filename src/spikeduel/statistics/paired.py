"""Decide if one of two classifiers is better, if they are equivalent, or if it stays open.

**Several seeds.** Two tests have to agree: the t test of the crossed model (`intervals`), over
other seeds and other images; and a permutation test, which exchanges the 2S trainings, over other
seeds on these images, without a normal distribution. At least four seeds are needed to call one
better; with fewer, the t test stands alone. Holm adjusts the t tests alone: adjusting a permutation
test, which has few possible p-values, would forbid all conclusions.

**Paired seeds.** If seed s of both is one training, evaluated in two ways, the t test is of the
seeds' differences, and the exact test flips their signs. Six seeds are the fewest.

**A single seed** tests these two models only: by the larger p-value of a normal test and McNemar's
exact one; with groups of images, by a t test over groups and sign flips of whole groups.

The interval is that of the same tests: it contains all differences that the tests leave possible,
and excludes 0 exactly if p is at most 0.05. It grows with the number of comparisons as p does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from spikeduel.statistics.exact_tests import (
    MIN_GROUPS,
    PermutationTest,
    mcnemar,
    min_seeds,
)
from spikeduel.statistics.intervals import ALPHA, Uncertainty, difference_uncertainty
from spikeduel.statistics.multiple_tests import holm
from spikeduel.statistics.weighting import (
    accuracies,
    clusters,
    effective_groups,
    mean_accuracy,
    per_image,
    weights_of,
)

Measure = Literal["accuracy", "balanced_accuracy"]
"""Share of correct predictions: of all images, or the mean of the shares of the classes."""


class Conclusion(StrEnum):
    """Conclusion on two classifiers: one better, equivalent within the margin, or inconclusive."""

    A_BETTER = "a_better"
    B_BETTER = "b_better"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"

    @property
    def better(self) -> bool:
        """True if one of the two is better."""
        return self in (Conclusion.A_BETTER, Conclusion.B_BETTER)


@dataclass(frozen=True, kw_only=True)
class PairedTest:
    """Test of the difference of two classifiers a and b on the same images.

    Attributes
    ----------
    difference : float
        Accuracy of a minus accuracy of b, a fraction.
    margin : float
        Largest difference that counts as none, a fraction.
    n, seeds : int
        The numbers of images, and of seeds of each classifier.
    groups : int or None
        The number of groups of dependent images; None if all are independent.
    effective_groups : float or None
        The number of equal groups that would weigh the same.
    paired : bool
        Whether seed s of both is one training.
    measure : {"accuracy", "balanced_accuracy"}
        What is compared.
    test : str
        The names of the tests.
    uncertainty : Uncertainty
        Variances over images and seeds.
    permutation : PermutationTest or None
        The exact test of seeds or groups; None with too few to reach p < 0.05.
    p_permutation : float or None
        Its p-value.
    p_value_raw, p_value_holm : float
        p-value of all tests but the permutation, before and after Holm's adjustment.
    ci90 : tuple of float
        90 % confidence interval of the t test, for equivalence.
    negligible : bool
        Whether `ci90` lies inside the margin (two one-sided tests at 5 %: Schuirmann 1987), also if
        one is better.
    detectable_at_best : float or None
        True difference found in 80 % of cases on these images with any number of seeds; None with
        one seed.
    seeds_needed, seeds_for_difference : int or None
        Seeds that find a difference of `margin`, and one as large as this one; None with one seed,
        or if 100 are too few.
    """

    difference: float
    margin: float
    n: int
    seeds: int
    groups: int | None
    effective_groups: float | None
    paired: bool
    measure: Measure
    test: str
    uncertainty: Uncertainty
    permutation: PermutationTest | None
    p_permutation: float | None
    p_value_raw: float
    p_value_holm: float
    ci90: tuple[float, float]
    negligible: bool
    detectable_at_best: float | None = None
    seeds_needed: int | None = None
    seeds_for_difference: int | None = None

    @property
    def p_value(self) -> float:
        """Two-sided p-value: the larger of the adjusted and the permutation's."""
        return max(self.p_value_holm, self.p_permutation or 0.0)

    @property
    def ci95(self) -> tuple[float, float]:
        """95 % confidence interval, which excludes 0 exactly if `p_value` is at most 0.05."""
        raw = self.uncertainty.p_value
        low, high = self.uncertainty.interval(1 - ALPHA * raw / self.p_value_holm)
        if self.permutation:
            exchanged = self.permutation.interval(1 - ALPHA)
            low, high = min(low, exchanged[0]), max(high, exchanged[1])
        return low, high

    @property
    def few_seeds(self) -> bool:
        """True with several seeds, and too few to call one better."""
        return 1 < self.seeds < min_seeds(self.paired)

    @property
    def few_groups(self) -> bool:
        """True with too few groups of images to call one better."""
        return self.effective_groups is not None and self.effective_groups < MIN_GROUPS

    @property
    def conclusion(self) -> Conclusion:
        """The conclusion at a level of 5 %."""
        if self.p_value <= ALPHA and not (self.few_seeds or self.few_groups):
            return Conclusion.A_BETTER if self.difference > 0 else Conclusion.B_BETTER
        return Conclusion.EQUIVALENT if self.negligible else Conclusion.INCONCLUSIVE


def paired_test(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    margin: float,
    groups: ArrayLike | None = None,
    paired: bool = False,
    classes: np.ndarray | None = None,
) -> PairedTest:
    """Compare two classifiers on the same images.

    Parameters
    ----------
    correct_a, correct_b : array_like of bool, shape [N] or [S, N]
        Which predictions for the same N images are correct, a row for each of S seeds.
    margin : float
        Largest difference that does not matter, a fraction: 0.005 is half a point.
    groups : array_like, shape [N], optional
        The group of each image, such as its person, if images are not independent.
    paired : bool
        Whether row s of both is one training, evaluated in two ways. A common seed is not enough.
    classes : ndarray of int, shape [N], optional
        The class of each image, numbered from 0, to compare balanced accuracies (see
        `balanced_classes`).

    Returns
    -------
    PairedTest
        The test, as if it were the only one of the experiment; see `adjusted`.

    Raises
    ------
    ValueError
        If the arrays do not match, or the margin is not a fraction.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> a, b = (random.random((5, 2000)) < accuracy for accuracy in (0.92, 0.88))
    >>> test = paired_test(a, b, margin=0.005)
    >>> test.conclusion.value, [round(end, 3) for end in test.ci95]
    ('a_better', [0.031, 0.051])
    """
    correct_a = np.atleast_2d(per_image("correct_a", correct_a, seeds=True)).astype(bool)
    num_seeds, num_images = correct_a.shape
    correct_b = np.atleast_2d(per_image("correct_b", correct_b, num_images, True)).astype(bool)
    if len(correct_b) != num_seeds:
        raise ValueError(f"a has {num_seeds} and b {len(correct_b)} seeds: give as many of each.")
    if not 0 <= margin <= 1:
        raise ValueError(
            f"margin must be a fraction from 0 to 1, such as 0.005 for half a point, not {margin}."
        )
    cluster = clusters(None if groups is None else per_image("groups", groups, num_images))
    weights = weights_of(classes, num_images)
    uncertainty = difference_uncertainty(correct_a, correct_b, cluster, paired, classes)
    p_value, permutation = uncertainty.p_value, None
    test = f"t test over seeds and {'images' if cluster is None else 'groups'}"
    if num_seeds >= min_seeds(paired):
        a, b = accuracies(correct_a, classes), accuracies(correct_b, classes)
        permutation = PermutationTest.of_pairs(a - b) if paired else PermutationTest.of_seeds(a, b)
        flips = "sign flips" if paired else "permutation"
        test += f", and {permutation.how} {flips} of seeds"
    elif num_seeds == 1 and cluster is not None:
        sums = np.bincount(cluster, weights * (correct_a[0].astype(float) - correct_b[0]))
        test = "t test over groups of images"
        if len(sums) >= MIN_GROUPS:
            permutation = PermutationTest.of_pairs(sums, np.bincount(cluster, weights))
            test += f", and {permutation.how} sign flips of {len(sums):,} groups"
    elif num_seeds == 1:
        p_value = max(p_value, mcnemar(correct_a[0], correct_b[0], weights))
        exact = "McNemar test" if classes is None else "sign flips of images"
        test = f"exact {exact}, and normal test over images"
    difference = mean_accuracy(correct_a, classes) - mean_accuracy(correct_b, classes)
    ci90 = uncertainty.interval(0.90)
    by_seeds: dict[str, Any] = {}
    if num_seeds > 1:
        by_seeds = {
            "detectable_at_best": uncertainty.detectable_at_best,
            "seeds_needed": uncertainty.seeds_needed(margin, min_seeds(paired)),
            "seeds_for_difference": uncertainty.seeds_needed(abs(difference), min_seeds(paired)),
        }
    return PairedTest(
        difference=difference,
        margin=float(margin),
        n=num_images,
        seeds=num_seeds,
        groups=None if cluster is None else int(cluster.max()) + 1,
        effective_groups=None if cluster is None else effective_groups(cluster, weights),
        paired=paired,
        measure="accuracy" if classes is None else "balanced_accuracy",
        test=test,
        uncertainty=uncertainty,
        permutation=permutation,
        p_permutation=permutation.p_value if permutation else None,
        p_value_raw=p_value,
        p_value_holm=p_value,
        ci90=ci90,
        negligible=-margin < ci90[0] and ci90[1] < margin,
        **by_seeds,
    )


def adjusted(tests: Sequence[PairedTest]) -> list[PairedTest]:
    """Return the tests of one experiment, adjusted for their number by Holm.

    Parameters
    ----------
    tests : sequence of PairedTest
        All comparisons that are reported together.

    Returns
    -------
    list of PairedTest
        The same tests with `p_value_holm`, from which p-value, interval and conclusion follow.

    Examples
    --------
    >>> a, b = np.arange(100) >= 8, (np.arange(100) < 8) | (np.arange(100) >= 9)
    >>> tests = [paired_test(a, b, margin=0.005), paired_test(a, a, margin=0.005)]
    >>> [round(test.p_value, 3) for test in tests], [round(t.p_value, 3) for t in adjusted(tests)]
    ([0.039, 1.0], [0.078, 1.0])
    """
    p_values = holm([test.p_value_raw for test in tests])
    return [
        replace(test, p_value_holm=p_value) for test, p_value in zip(tests, p_values, strict=True)
    ]
