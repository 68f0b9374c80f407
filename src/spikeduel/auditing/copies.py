"""Check for equal images, near duplicates, moved copies and shared stretches of events."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from spikeduel.auditing.context import NEAR, AuditContext, Fields
from spikeduel.auditing.moved import Moved
from spikeduel.auditing.neighbours import Neighbourhood, num_portions
from spikeduel.auditing.siblings import has_gap, keep_together, several
from spikeduel.auditing.stretches import Stretches
from spikeduel.data import socofing
from spikeduel.results.audit import (
    SIDES,
    Audit,
    ExactDuplicates,
    MovedCopies,
    NearDuplicates,
    Pair,
    PairKind,
    SharedStretches,
)
from spikeduel.results.findings import Values, finds
from spikeduel.system import files

MOST_PAIRS = 200
"""Most pairs to look at that an audit keeps."""
SMALL_SHARE = 0.001
"""Share of images with a near duplicate elsewhere that changes results by less than 0.1 points."""
MOVED_SHARE = 0.005
"""Share of moved copies in validation and test that natural look-alikes may give."""
NEAR_PROBLEM = 0.05
"""Share of test images with a near duplicate or moved copy in training above which scores measure
memory (Fashion-MNIST: 0.6 %).
"""
FEWEST = 3
"""Test images below which near duplicates and gaps are no problem: near is a judgement."""


def check(context: AuditContext) -> Fields:
    """Count copies within and across sides, and list pairs to look at."""
    neighbours, same, side = context.neighbours, context.same, context.side
    stretches, moved = context.stretches, context.moved
    within, across = near_ones(neighbours, same, stretches)
    shared = None
    if stretches is not None:
        counts = context.across_sides(stretches.across, stretches.earlier[0])
        shared = SharedStretches(within=int(stretches.within.sum()), **counts)
    is_moved = moved_ones(moved, neighbours, same, stretches)
    ranked = pairs(neighbours, moved, same, context.labels, side, stretches)
    return {
        "exact_duplicates": exact(same, context.labels, side, _people(context), context.names),
        "near_duplicates": NearDuplicates(
            within=int(within.sum()), **context.across_sides(across, neighbours.earlier[0])
        ),
        "moved_copies": MovedCopies(**context.across_sides(is_moved, moved.index)),
        "stretches": shared,
        "near": NEAR,
        "near_portions": num_portions(len(context.split.train)),
        "searched": neighbours.searched,
        "details": {
            "pairs": tuple(
                Pair(
                    kind=kind, a=context.described(a), b=context.described(b), ratio=round(ratio, 4)
                )
                for kind, a, b, ratio in ranked[:MOST_PAIRS]
            )
        },
    }


def _people(context: AuditContext) -> np.ndarray | None:
    if context.experiment.dataset != "socofing" or context.names is None:
        return None
    return np.array([socofing.parse(Path(name).name, "").subject for name in context.names])


def exact(
    same: np.ndarray,
    labels: np.ndarray,
    side: np.ndarray,
    named_groups: np.ndarray | None,
    files: tuple[str, ...] | None = None,
) -> ExactDuplicates:
    """Count equal images: `same` int64 `[N]` numbers them, `side` is from `sides_of`,
    `named_groups` `[N]` from file names.
    """
    used = np.flatnonzero(side >= 0)
    same, labels, side = same[used], labels[used], side[used]
    size = np.bincount(same)
    first_side = np.full(len(size), len(SIDES))
    np.minimum.at(first_side, same, side)
    is_conflicting = several(same, labels)
    conflicts = np.flatnonzero(is_conflicting[same])
    conflicts = used[conflicts[np.argsort(same[conflicts], kind="stable")]]
    across_groups = None if named_groups is None else int(several(same, named_groups[used]).sum())
    return ExactDuplicates(
        within=len(same) - len(np.unique(np.stack([same, side]), axis=1).T),
        across=int((side > first_side[same]).sum()),
        conflicting=int(is_conflicting.sum()),
        conflicting_images=len(conflicts),
        sets=int((size > 1).sum()),
        images=int(size[size > 1].sum()),
        test_in_training=int(((side == 2) & (first_side[same] == 0)).sum()),
        across_groups=across_groups,
        conflicting_files=None if files is None else tuple(files[image] for image in conflicts),
    )


def near_ones(
    neighbours: Neighbourhood, same: np.ndarray, stretches: Stretches | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the images with a near duplicate on their own side, and on an earlier one, bool `[N]`
    each, without equal images and shared stretches.
    """

    def flagged(neighbour: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        index, distance = neighbour
        with np.errstate(invalid="ignore"):
            return (index >= 0) & (distance < NEAR * neighbours.usual) & (same[index] != same)

    within, across = flagged(neighbours.same_side), flagged(neighbours.earlier)
    if stretches is not None:
        within, across = within & ~stretches.within, across & ~stretches.across
    return within, across


def moved_ones(
    moved: Moved, neighbours: Neighbourhood, same: np.ndarray, stretches: Stretches | None = None
) -> np.ndarray:
    """Return the moved copies of an image on an earlier side, bool `[N]`, without near duplicates
    and shared stretches.
    """
    is_moved = (moved.ratio < NEAR) & ~near_ones(neighbours, same)[1]
    return is_moved if stretches is None else is_moved & ~stretches.across


def write_groups(path: Path, names: Sequence[str], groups: Sequence[int]) -> Path:
    """Write the group of each image, a row each, as `group_by` reads it; return `path`."""
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
    stretches: Stretches | None = None,
) -> list[tuple[PairKind, int, int, float]]:
    """Return pairs to look at with their share of the usual distance, the gravest kind first, then
    the nearest.
    """
    first = _earliest(np.where(side >= 0, same, -1 - np.arange(len(same))), side)
    within, across = near_ones(neighbours, same, stretches)
    is_moved = moved_ones(moved, neighbours, same, stretches)
    ranked: list[tuple[PairKind, int, int, float]] = []
    for image in np.flatnonzero(first != np.arange(len(same))).tolist():
        other = int(first[image])
        kind: PairKind = "equal images on one side"
        if labels[image] != labels[other]:
            kind = "equal images, different labels"
        elif side[image] != side[other]:
            kind = "equal images on two sides"
        ranked.append((kind, image, other, 0.0))
    (earlier, far), (own, away) = neighbours.earlier, neighbours.same_side
    usual = np.maximum(neighbours.usual, 1e-9)
    kinds: list[tuple[PairKind, np.ndarray, np.ndarray, np.ndarray]] = [
        ("near on two sides", earlier, far / usual, across),
        ("moved on two sides", moved.index, moved.ratio, is_moved),
        ("near on one side", own, away / usual, within),
    ]
    if stretches is not None:
        (earlier, share), (own, own_share) = stretches.earlier, stretches.same_side
        kinds.append(("a stretch on two sides", earlier, 1 - share, stretches.across))
        kinds.append(("a stretch on one side", own, 1 - own_share, stretches.within))
    for kind, index, ratio, flagged in kinds:
        for image in np.flatnonzero(flagged).tolist():
            other = int(index[image])
            # Mutual neighbours are listed once.
            if index[other] != image or image < other or not flagged[other]:
                ranked.append((kind, image, other, float(ratio[image])))
    return sorted(ranked, key=lambda pair: (get_args(PairKind).index(pair[0]), pair[3]))


def _earliest(same: np.ndarray, side: np.ndarray) -> np.ndarray:
    """Return the first equal image by side, then index, int64 `[N]`."""
    order = np.argsort(side, kind="stable")
    _, first = np.unique(same[order], return_index=True)
    _, number = np.unique(same, return_inverse=True)
    return order[first][number]


@finds("test_in_training")
def test_in_training(audit: Audit) -> Iterator[Values]:
    if count := audit.exact_duplicates.test_in_training:
        remedy = "--split default" if audit.split == "published" else "remove the copies"
        yield {"count": count, "share": count / audit.counts.test, "remedy": remedy}


@finds("stretch_test_in_training")
def stretch_test_in_training(audit: Audit) -> Iterator[Values]:
    if audit.stretches and (count := audit.stretches.test_in_training):
        remedy = keep_together(audit)
        yield {
            "count": count,
            "share": count / audit.counts.test,
            "remedy": "--group-by groups.csv" if remedy == "--group-by" else remedy,
        }


@finds("near_test_in_training")
def near_test_in_training(audit: Audit) -> Iterator[Values]:
    siblings = audit.probe.siblings_in_train
    if siblings is None or has_gap(audit) or audit.groups_cut_test_images:
        return
    # Equal images and shared stretches are findings of their own.
    known = audit.exact_duplicates.test_in_training
    known += audit.stretches.test_in_training if audit.stretches else 0
    share = siblings - known / audit.counts.test
    if share > NEAR_PROBLEM and share * audit.probe.n >= FEWEST:
        yield {"share": share, "above": NEAR_PROBLEM, "remedy": keep_together(audit)}


@finds("moved_test_in_training")
def moved_test_in_training(audit: Audit) -> Iterator[Values]:
    count = audit.moved_copies.test_in_training if audit.moved_copies else 0
    share = count / max(1, audit.counts.test)
    if share > NEAR_PROBLEM and count >= FEWEST and not audit.groups_cut_test_images:
        remedy = keep_together(audit)
        yield {"count": count, "share": share, "above": NEAR_PROBLEM, "remedy": remedy}


@finds("conflicting_labels")
def conflicting_labels(audit: Audit) -> Iterator[Values]:
    exact = audit.exact_duplicates
    if exact.conflicting_images:
        yield {
            "count": exact.conflicting,
            "images": exact.conflicting_images,
            "share": exact.conflicting_images / audit.counts.total,
            "names": exact.conflicting_files,
        }


@finds("validation_copies")
def validation_copies(audit: Audit) -> Iterator[Values]:
    exact = audit.exact_duplicates
    if elsewhere := exact.across - exact.test_in_training:
        yield {"count": elsewhere}


@finds("near_across_sides")
def near_across_sides(audit: Audit) -> Iterator[Values]:
    near, counts = audit.near_duplicates, audit.counts
    if near.across > SMALL_SHARE * (counts.test + counts.val):
        yield {
            "count": near.across,
            "in_training": near.test_in_training,
            "num_test": counts.test,
        }


@finds("moved_across_sides")
def moved_across_sides(audit: Audit) -> Iterator[Values]:
    moved, counts = audit.moved_copies, audit.counts
    if moved and moved.across > MOVED_SHARE * (counts.test + counts.val):
        yield {
            "count": moved.across,
            "in_training": moved.test_in_training,
            "num_test": counts.test,
        }


@finds("stretches_elsewhere")
def stretches_elsewhere(audit: Audit) -> Iterator[Values]:
    stretches = audit.stretches
    if stretches and (elsewhere := stretches.across - stretches.test_in_training):
        yield {"count": elsewhere}


@finds("searched_a_sample")
def searched_a_sample(audit: Audit) -> Iterator[Values]:
    names = {"train": "training", "val": "validation", "test": "test"}
    samples = {side: (getattr(audit.searched, side), getattr(audit.counts, side)) for side in SIDES}
    if parts := [
        f"{searched:,} of {number:,} {names[side]}"
        for side, (searched, number) in samples.items()
        if searched < number
    ]:
        yield {"samples": parts}
