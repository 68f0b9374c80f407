"""The leakage probe: what an untrained nearest neighbour scores, and what it scores without siblings."""

from typing import TYPE_CHECKING

import numpy as np

from spikeduel.data import Split
from spikeduel.data.auditing.neighbours import PORTION, Neighbourhood, closest
from spikeduel.results.audit import Probe

if TYPE_CHECKING:
    from torch import Tensor


def probe(
    small: "Tensor",
    labels: np.ndarray,
    groups: np.ndarray | None,
    same: np.ndarray,
    neighbours: Neighbourhood,
    split: Split,
    near: float,
    over_files: Split | None,
) -> Probe:
    """What the nearest neighbour on the small grey versions scores, with and without siblings.

    Siblings are images of one of `groups` `[N]`, equal images (equal numbers in `same` `[N]`) and near duplicates.
    `over_files` is a split that cuts groups, where there is one.
    """
    index, distance = neighbours.training
    test = split.test[index[split.test] >= 0]
    if not len(test):
        return Probe()
    right = labels[index[test]] == labels[test]
    has_sibling = distance[test] < near * neighbours.usual[test]
    has_sibling |= np.isin(same[test], same[split.train])
    if groups is not None:
        has_sibling |= np.isin(groups[test], groups[split.train])
    without = right.copy()
    radius = near * neighbours.usual[test[has_sibling]]
    without[has_sibling] = _right_without_siblings(small, labels, groups, same, radius, split, test[has_sibling])
    ungrouped = None
    if over_files is not None:
        nearest = closest(small[over_files.test], small[over_files.train], 1 + len(over_files.train) // PORTION).index
        ungrouped = float((labels[over_files.train[nearest]] == labels[over_files.test]).mean())
    most_frequent = np.bincount(labels[split.train]).argmax()
    return Probe(
        accuracy=float(right.mean()),
        accuracy_if_grouped=float(without.mean()),
        accuracy_if_ungrouped=ungrouped,
        chance=float((labels[test] == most_frequent).mean()),
        siblings_in_train=float(has_sibling.mean()),
        n=len(test),
    )


def _right_without_siblings(
    small: "Tensor",
    labels: np.ndarray,
    groups: np.ndarray | None,
    same: np.ndarray,
    radius: np.ndarray,
    split: Split,
    queries: np.ndarray,
) -> np.ndarray:
    """bool `[M]`: whether the nearest training image that is no sibling has the label; False where none is left.

    Near duplicates are nearer than `radius` `[M]`.
    """
    import torch

    references = small[split.train]
    squares = references.square().sum(1)
    right = np.zeros(len(queries), dtype=bool)
    for start in range(0, len(queries), 256):
        rows = queries[start : start + 256]
        distances = squares + small[rows].square().sum(1, keepdim=True) - 2 * small[rows] @ references.T
        sibling = distances < torch.from_numpy(radius[start : start + 256])[:, None].square()
        sibling |= torch.from_numpy(same[rows][:, None] == same[split.train])
        if groups is not None:
            sibling |= torch.from_numpy(groups[rows][:, None] == groups[split.train])
        nearest = distances.masked_fill(sibling, float("inf")).min(1)
        predicted = labels[split.train[nearest.indices.numpy()]]
        right[start : start + 256] = (predicted == labels[rows]) & torch.isfinite(nearest.values).numpy()
    return right
