"""Pareto fronts of costs and accuracies, and of mixtures."""

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


def mixed_front(costs: Sequence[float], accuracies: Sequence[float]) -> list[int]:
    """Return the points of the `front` that no mixture of two others beats: images that are shared
    among two networks have the cost and the accuracy of the shares.
    """
    corners: list[int] = []
    for index in front(costs, accuracies):
        while len(corners) > 1 and _gain(corners[-2], index, costs, accuracies) >= _gain(
            corners[-2], corners[-1], costs, accuracies
        ):
            corners.pop()
        corners.append(index)
    return corners


def _gain(first: int, second: int, costs: Sequence[float], accuracies: Sequence[float]) -> float:
    """Return the accuracy gained per cost from one point of a front to a dearer one."""
    return (accuracies[second] - accuracies[first]) / (costs[second] - costs[first])
