"""Pareto front of costs and accuracies."""

from collections.abc import Sequence


def front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Return the Pareto front by rising cost: indices of points that no other beats in accuracy for
    at most the same cost.
    """
    best, indices = -float("inf"), []
    for index in sorted(range(len(costs)), key=lambda index: (costs[index], -accuracies[index])):
        if accuracies[index] > best:
            best = accuracies[index]
            indices.append(index)
    return indices
