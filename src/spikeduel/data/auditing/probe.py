"""The leakage probe: what an untrained nearest neighbour scores, and what it scores without siblings."""

from typing import TYPE_CHECKING, Any

import numpy as np

from spikeduel.data import Split
from spikeduel.data.auditing.neighbours import PORTION, closest
from spikeduel.data.auditing.similarity import Neighbourhood

if TYPE_CHECKING:
    from torch import Tensor


def probe(
    small: "Tensor",
    labels: np.ndarray,
    groups: np.ndarray | None,
    same: np.ndarray,
    found: Neighbourhood,
    split: Split,
    near: float,
    over_files: Split | None,
) -> dict[str, Any]:
    """Accuracies of the nearest neighbour on the small grey versions, as fractions of the `n` test images searched.

    accuracy              on this split
    accuracy_if_grouped   the same test images, when the siblings of each are taken out of training
    accuracy_if_ungrouped on `over_files`, a split that cuts groups; null where none is given
    chance                of always naming training's most frequent class
    siblings_in_train     share of the test images with a sibling in training

    Siblings are images of one group, equal images and near duplicates.
    """
    index = found.training[0]
    test = split.test[index[split.test] >= 0]
    if not len(test):
        return {
            **dict.fromkeys(("accuracy", "accuracy_if_grouped", "accuracy_if_ungrouped", "chance")),
            "siblings_in_train": None,
            "n": 0,
        }
    right = labels[index[test]] == labels[test]
    has_sibling = found.training[1][test] < near * found.usual[test]
    has_sibling |= np.isin(same[test], same[split.train])
    if groups is not None:
        has_sibling |= np.isin(groups[test], groups[split.train])
    without = right.copy()
    without[has_sibling] = _right_without_siblings(small, labels, groups, same, found, split, test[has_sibling], near)
    ungrouped = None
    if over_files is not None:
        nearest = closest(small[over_files.test], small[over_files.train], 1 + len(over_files.train) // PORTION).index
        ungrouped = float((labels[over_files.train[nearest]] == labels[over_files.test]).mean())
    most_frequent = np.bincount(labels[split.train]).argmax()
    return {
        "accuracy": float(right.mean()),
        "accuracy_if_grouped": float(without.mean()),
        "accuracy_if_ungrouped": ungrouped,
        "chance": float((labels[test] == most_frequent).mean()),
        "siblings_in_train": float(has_sibling.mean()),
        "n": len(test),
    }


def _right_without_siblings(
    small: "Tensor",
    labels: np.ndarray,
    groups: np.ndarray | None,
    same: np.ndarray,
    found: Neighbourhood,
    split: Split,
    queries: np.ndarray,
    near: float,
) -> np.ndarray:
    """bool `[M]`: whether the nearest training image that is no sibling has the label; False where none is left."""
    import torch

    references = small[split.train]
    squares = references.square().sum(1)
    right = np.zeros(len(queries), dtype=bool)
    for start in range(0, len(queries), 256):
        rows = queries[start : start + 256]
        distances = squares + small[rows].square().sum(1, keepdim=True) - 2 * small[rows] @ references.T
        radius = torch.from_numpy(near * found.usual[rows])[:, None]
        sibling = distances < radius.square()
        sibling |= torch.from_numpy(same[rows][:, None] == same[split.train])
        if groups is not None:
            sibling |= torch.from_numpy(groups[rows][:, None] == groups[split.train])
        nearest = distances.masked_fill(sibling, float("inf")).min(1)
        predicted = labels[split.train[nearest.indices.numpy()]]
        right[start : start + 256] = (predicted == labels[rows]) & torch.isfinite(nearest.values).numpy()
    return right
