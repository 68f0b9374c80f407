"""What so many trials find: the expected best against their number."""

from collections.abc import Sequence

import numpy as np

from spikeduel.results.tuning import ExpectedBest


def expected_best(accuracies: Sequence[float]) -> list[ExpectedBest]:
    """The best accuracy that 1, 2, … trials find: its mean and standard deviation, and `low` and `high`, which are one
    standard deviation away, as far as such accuracies were seen.

    The first of `accuracies` is always among the trials; the others are draws, and any of them might have come first.
    """
    first, drawn = accuracies[0], np.maximum(accuracies[1:], accuracies[0])
    curve = []
    for num_trials in range(1, len(accuracies) + 1):
        mean, spread = expected_maximum(drawn, num_trials - 1) if num_trials > 1 else (first, 0.0)
        low, high = max(mean - spread, first), min(mean + spread, max(accuracies))
        curve.append(ExpectedBest(trials=num_trials, mean=mean, standard_deviation=spread, low=low, high=high))
    return curve


def expected_maximum(values: Sequence[float] | np.ndarray, n: int) -> tuple[float, float]:
    """Mean and standard deviation of the largest of `n` independent draws from the empirical distribution of `values`.

    Dodge et al. 2019, equations 5 to 7: P(max ≤ v) = P̂(v)ⁿ. Draws repeat, so that for `n` near the number of values
    the mean is somewhat too low (Tang et al. 2020, "Showing your work doesn't always work").
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    share = np.arange(len(ordered) + 1) / len(ordered)
    probability = np.diff(share**n)
    mean = float(probability @ ordered)
    return mean, float(probability @ (ordered - mean) ** 2) ** 0.5
