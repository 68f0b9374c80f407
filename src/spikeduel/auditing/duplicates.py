"""Equal images, near duplicates, and groups that a split cuts: counts, and pairs to look at."""

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from spikeduel.auditing.moved import Moved, move_of
from spikeduel.auditing.neighbours import Neighbourhood
from spikeduel.auditing.stretches import Stretches
from spikeduel.data import Split
from spikeduel.results.audit import AuditedImage, ExactDuplicates, Move, Pair, PairKind, Side
from spikeduel.system import files

MOST_PAIRS = 200
SIDES: tuple[Side, ...] = ("train", "val", "test")


def sides_of(split: Split, count: int) -> np.ndarray:
    """int64 `[N]`: 0 in training, 1 in validation, 2 in test, −1 for images that the split leaves
    out.
    """
    side = np.full(count, -1)
    for number, name in enumerate(SIDES):
        side[getattr(split, name)] = number
    return side


def earliest(same: np.ndarray, side: np.ndarray) -> np.ndarray:
    """int64 `[N]`: the first image (by side, then index) that has the same number in `same`; often
    itself.
    """
    order = np.argsort(side, kind="stable")
    _, first = np.unique(same[order], return_index=True)
    _, number = np.unique(same, return_inverse=True)
    return order[first][number]


def exact(
    same: np.ndarray,
    labels: np.ndarray,
    side: np.ndarray,
    named_groups: np.ndarray | None,
    files: tuple[str, ...] | None = None,
) -> ExactDuplicates:
    """The counts of equal images, int64 `[N]` each: `same` numbers them, `side` is that of
    `sides_of`.

    `named_groups` `[N]` are the groups that the files' names give, `files` the files' names.
    """
    used = np.flatnonzero(side >= 0)
    same, labels, side = same[used], labels[used], side[used]
    size = np.bincount(same)
    first_side = np.full(len(size), len(SIDES))
    np.minimum.at(first_side, same, side)
    is_conflicting = _several(same, labels)
    # Images that equal one with another label, equal ones in a row.
    conflicts = np.flatnonzero(is_conflicting[same])
    conflicts = used[conflicts[np.argsort(same[conflicts], kind="stable")]]
    return ExactDuplicates(
        within=len(same) - len(np.unique(np.stack([same, side]), axis=1).T),
        across=int((side > first_side[same]).sum()),
        conflicting=int(is_conflicting.sum()),
        conflicting_images=len(conflicts),
        sets=int((size > 1).sum()),
        images=int(size[size > 1].sum()),
        test_in_training=int(((side == 2) & (first_side[same] == 0)).sum()),
        across_groups=None
        if named_groups is None
        else int(_several(same, named_groups[used]).sum()),
        conflicting_files=None if files is None else tuple(files[image] for image in conflicts),
    )


def near_ones(
    neighbours: Neighbourhood, same: np.ndarray, near: float, stretches: Stretches | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """bool `[N]` twice: images with a near duplicate on their own side, and on an earlier one.

    Equal ones are left out, and recordings that share a stretch of events.
    """

    def flagged(neighbour: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        index, distance = neighbour
        with np.errstate(invalid="ignore"):
            return (index >= 0) & (distance < near * neighbours.usual) & (same[index] != same)

    within, across = flagged(neighbours.same_side), flagged(neighbours.earlier)
    return (
        (within, across)
        if stretches is None
        else (within & ~stretches.within, across & ~stretches.across)
    )


def moved_ones(
    moved: Moved,
    neighbours: Neighbourhood,
    same: np.ndarray,
    near: float,
    stretches: Stretches | None = None,
) -> np.ndarray:
    """bool `[N]`: moved copies of an image on an earlier side; what is near, or shares a stretch,
    is left out.
    """
    found = (moved.ratio < near) & ~near_ones(neighbours, same, near)[1]
    return found if stretches is None else found & ~stretches.across


def cut(groups: np.ndarray, same: np.ndarray, side: np.ndarray) -> tuple[int, int]:
    """(groups on several sides, test images whose group is also in training); groups of equal
    images do not count.
    """
    used = side >= 0
    _, groups = np.unique(groups[used], return_inverse=True)
    side = side[used]
    is_cut = _several(groups, same[used]) & _several(groups, side)
    in_training = np.isin(groups, groups[side == 0])
    return int(is_cut.sum()), int((is_cut[groups] & in_training & (side == 2)).sum())


def _several(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """bool: whether several `values` occur with each number 0, 1, …"""
    return np.bincount(np.unique(np.stack([numbers, values]), axis=1)[0]) > 1


def write_groups(path: Path, names: Sequence[str], groups: Sequence[int]) -> Path:
    """Writes which images belong together, a row each, as `group_by` reads it; returns `path`."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerows([("path", "group"), *zip(names, groups, strict=True)])
    files.write_text(path, text.getvalue())
    return path


def pairs(
    neighbours: Neighbourhood,
    moved: Moved,
    same: np.ndarray,
    labels: np.ndarray,
    side: np.ndarray,
    near: float,
    described: Callable[[int], AuditedImage],
    stretches: Stretches | None = None,
) -> tuple[Pair, ...]:
    """Pairs to look at, the gravest first, the nearest first within a kind; at most `MOST_PAIRS`.

    `described` says of an image's index what it is.
    """
    first = earliest(np.where(side >= 0, same, -1 - np.arange(len(same))), side)
    within, across = near_ones(neighbours, same, near, stretches)
    ranked: list[tuple[PairKind, int, int, float]] = []
    for image in np.flatnonzero(first != np.arange(len(same))).tolist():
        other = int(first[image])
        kind: PairKind = "equal images on one side"
        if labels[image] != labels[other]:
            kind = "equal images, different labels"
        elif side[image] != side[other]:
            kind = "equal images on two sides"
        ranked.append((kind, image, other, 0.0))
    ratios = [
        found[1] / np.maximum(neighbours.usual, 1e-9)
        for found in (neighbours.earlier, neighbours.same_side)
    ]
    moves: dict[tuple[PairKind, int], Move] = {}
    kinds: list[tuple[PairKind, np.ndarray, np.ndarray, np.ndarray]] = [
        ("near on two sides", neighbours.earlier[0], ratios[0], across),
        (
            "moved on two sides",
            moved.index,
            moved.ratio,
            moved_ones(moved, neighbours, same, near, stretches),
        ),
        ("near on one side", neighbours.same_side[0], ratios[1], within),
    ]
    if stretches is not None:
        kinds += [
            (
                "a stretch on two sides",
                stretches.earlier[0],
                1 - stretches.earlier[1],
                stretches.across,
            ),
            (
                "a stretch on one side",
                stretches.same_side[0],
                1 - stretches.same_side[1],
                stretches.within,
            ),
        ]
    for kind, index, ratio, flagged in kinds:
        for image in np.flatnonzero(flagged).tolist():
            other = int(index[image])
            # Of two images that are each other's neighbour, the pair is listed once.
            if index[other] != image or image < other or not flagged[other]:
                ranked.append((kind, image, other, float(ratio[image])))
                if kind == "moved on two sides":
                    moves[kind, image] = move_of(moved.placement[image])
    ranked.sort(key=lambda pair: (get_args(PairKind).index(pair[0]), pair[3]))
    return tuple(
        Pair(
            kind=kind,
            a=described(a),
            b=described(b),
            ratio=round(ratio, 4),
            move=moves.get((kind, a)),
        )
        for kind, a, b, ratio in ranked[:MOST_PAIRS]
    )
