"""Equal images, near duplicates, and groups that a split cuts: counts, and pairs to look at."""

from typing import Any

import numpy as np

from spikeduel.data import Split
from spikeduel.data.auditing.similarity import Neighbourhood

MOST_PAIRS = 200
SIDES = ("train", "val", "test")


def sides_of(split: Split, count: int) -> np.ndarray:
    """int64 `[N]`: 0 in training, 1 in validation, 2 in test, −1 for images that the split leaves out."""
    side = np.full(count, -1)
    for number, name in enumerate(SIDES):
        side[getattr(split, name)] = number
    return side


def earliest(same: np.ndarray, side: np.ndarray) -> np.ndarray:
    """int64 `[N]`: the first image (by side, then index) that has the same number in `same`; often itself."""
    order = np.lexsort((np.arange(len(same)), side, same))
    _, start, number = np.unique(same[order], return_index=True, return_inverse=True)
    first = np.empty(len(same), dtype=np.int64)
    first[order] = order[start[number]]
    return first


def exact(same: np.ndarray, labels: np.ndarray, side: np.ndarray, own_groups: np.ndarray | None) -> dict[str, Any]:
    """Counts of equal images; `same` numbers them (`grouping.duplicates`). Images outside the split do not count.

    `sets` of equal images; `within`: copies of an image on the same side; `across`: images equal to one on an earlier
    side; `conflicting`: sets with more than one label, of `conflicting_images` in all; `test_in_training`: test images
    equal to a training image; `across_groups`: sets under several of `own_groups`, null where there are none.
    """
    used = side >= 0
    same, labels, side = same[used], labels[used], side[used]
    size = np.bincount(same)
    first_side = np.full(len(size), len(SIDES))
    np.minimum.at(first_side, same, side)
    conflict = _values_of_each(same, labels, len(size)) > 1
    across_groups = None
    if own_groups is not None:
        across_groups = int((_values_of_each(same, own_groups[used], len(size)) > 1).sum())
    return {
        "within": int(len(same) - len(np.unique(np.stack([same, side]), axis=1).T)),
        "across": int((side > first_side[same]).sum()),
        "conflicting": int(conflict.sum()),
        "conflicting_images": int(size[conflict].sum()),
        "sets": int((size > 1).sum()),
        "images": int(size[size > 1].sum()),
        "test_in_training": int(((side == 2) & (first_side[same] == 0)).sum()),
        "across_groups": across_groups,
    }


def conflicting(same: np.ndarray, labels: np.ndarray, side: np.ndarray) -> np.ndarray:
    """The images of `exact`'s sets with more than one label, equal ones in a row: int64 `[M]`."""
    used = np.flatnonzero(side >= 0)
    several = _values_of_each(same[used], labels[used], int(same.max(initial=0)) + 1) > 1
    found = used[several[same[used]]]
    return found[np.argsort(same[found], kind="stable")]


def near_ones(found: Neighbourhood, same: np.ndarray, near: float) -> tuple[np.ndarray, np.ndarray]:
    """bool `[N]` twice: images with a near duplicate on their own side, and on an earlier one; equal ones left out."""

    def flagged(neighbour: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        index, distance = neighbour
        with np.errstate(invalid="ignore"):
            return (index >= 0) & (distance < near * found.usual) & (same[index] != same)

    return flagged(found.own), flagged(found.earlier)


def cut(groups: np.ndarray | None, same: np.ndarray, side: np.ndarray) -> tuple[int, int]:
    """(groups on several sides, test images whose group is also in training); groups of equal images do not count."""
    if groups is None:
        return 0, 0
    used = side >= 0
    _, groups = np.unique(groups[used], return_inverse=True)
    same, side = same[used], side[used]
    count = int(groups.max()) + 1
    several = _values_of_each(groups, same, count) > 1
    is_cut = several & (_values_of_each(groups, side, count) > 1)
    in_training = np.zeros(count, dtype=bool)
    in_training[groups[side == 0]] = True
    return int(is_cut.sum()), int((is_cut & in_training)[groups[side == 2]].sum())


def _values_of_each(numbers: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """How many different `values` occur with each number 0 … count−1."""
    pairs = np.unique(np.stack([numbers, values]), axis=1)
    return np.bincount(pairs[0], minlength=count)


def pairs(
    found: Neighbourhood, same: np.ndarray, labels: np.ndarray, side: np.ndarray, near: float
) -> list[dict[str, Any]]:
    """Pairs to look at, the gravest first: `kind`, indices `a` and `b`, `ratio` of their distance to the usual one.

    Conflicting labels, equal across sides, near across (nearest first), equal and near within a side; at most
    `MOST_PAIRS`.
    """
    first = earliest(np.where(side >= 0, same, -1 - np.arange(len(same))), side)
    copies = np.flatnonzero(first != np.arange(len(same)))
    within, across = near_ones(found, same, near)
    ranked: list[tuple[str, int, int, float]] = []
    for image in copies.tolist():
        other = int(first[image])
        if labels[image] != labels[other]:
            kind = "equal images, different labels"
        else:
            kind = "equal images on two sides" if side[image] != side[other] else "equal images on one side"
        ranked.append((kind, image, other, 0.0))
    ratios = {name: getattr(found, name)[1] / np.maximum(found.usual, 1e-9) for name in ("own", "earlier")}
    for name, flags, kind in (("earlier", across, "near on two sides"), ("own", within, "near on one side")):
        index = getattr(found, name)[0]
        for image in np.flatnonzero(flags).tolist():
            # Of two images that are each other's neighbour on one side, the pair is listed once.
            if name == "own" and index[index[image]] == image and index[image] < image:
                continue
            ranked.append((kind, image, int(index[image]), float(ratios[name][image])))
    ranked.sort(key=lambda pair: (KINDS.index(pair[0]), pair[3]))
    return [{"kind": kind, "a": a, "b": b, "ratio": round(ratio, 4)} for kind, a, b, ratio in ranked[:MOST_PAIRS]]


KINDS = (
    "equal images, different labels",
    "equal images on two sides",
    "near on two sides",
    "equal images on one side",
    "near on one side",
)
