"""Find copies and relatives of test images in training: equal images, near duplicates, moved
copies, edited copies, shared stretches of events, cut groups. A further kind is a row of `LIMITS`
and its search.
"""

import math
from collections.abc import Iterator, Mapping
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from spikeduel.auditing import drawings, edited, moved
from spikeduel.auditing.arrays import SplitIndices, rows_of
from spikeduel.auditing.audit_results import (
    BLIND_SPOTS,
    Audit,
    Copies,
    ExactDuplicates,
    Pair,
    PairKind,
    Probe,
)
from spikeduel.auditing.context import GAP, AuditInput, Fields
from spikeduel.auditing.neighbours import MAX_SCORES, NEAR, NearDuplicates, Neighbourhood, search
from spikeduel.system.finding_tables import Values, finds

MIN_TEST_GROUPS = 6
"""Groups of test images below which an accuracy says little about images of other groups."""
MAX_PAIRS = 200
"""Most pairs to look at in an audit."""
SMALL_SHARE = 0.001
"""Share of images with a near duplicate elsewhere that changes results by less than 0.1 points."""
MOVED_SHARE = 0.005
"""Share of moved copies in validation and test that natural look-alikes may give."""
NEAR_PROBLEM = 0.05
"""Share of test images with a near duplicate or moved copy in training above which scores measure
memory (Fashion-MNIST: 0.6 %).
"""
MIN_COUNT = 3
"""Test images below which near duplicates and gaps are no problem."""
MIN_IMAGES_TO_SHOW = math.ceil(math.log(0.05) / math.log(1 - NEAR_PROBLEM))
"""Test images that show at least one copy in 95 % of cases where `NEAR_PROBLEM` of such images are
copies (59); a clean audit of fewer says little.
"""
STRETCH: PairKind = "a stretch on two sides"
NEARLY: PairKind = "near on two sides"
MOVED: PairKind = "moved on two sides"
EDITED: PairKind = "edited on two sides"
LIMITS = {STRETCH: 1.0, NEARLY: NEAR, MOVED: NEAR, EDITED: 0.4}
"""Ratio of relatives below which images are copies; an image is a copy of the first kind alone."""


def check(data: AuditInput) -> Fields:
    """Count copies and cut groups, list pairs to look at, and ask a nearest neighbour."""
    same, labels, split_code, split = data.same, data.labels, data.split_code, data.split
    groups, stretches, images = data.group_ids, data.stretches, data.images
    progress = data.progress
    shapes = np.array([(format.height, format.width) for format in data.formats])
    centres = moved.middles(images, shapes)
    neighbours = search(data.small, split, progress)
    duplicates_by_kind = {
        NEARLY: neighbours.earlier,
        MOVED: moved.search(images, centres, same, split, progress),
    }
    if stretches is None:
        duplicates_by_kind[EDITED] = edited.search(centres, same, split, progress)
    else:
        duplicates_by_kind = {STRETCH: stretches.earlier} | duplicates_by_kind
    copies = copied(duplicates_by_kind, same)
    alike = np.flatnonzero(np.any([found.nearest >= 0 for found in copies.values()], 0))
    is_drawn = stretches is None and drawings.are_plain(images, alike)
    if is_drawn:
        # Nothing tells their copies from other drawings.
        none = NearDuplicates(np.full(len(same), -1), np.full(len(same), np.inf))
        copies = dict.fromkeys(copies, none)
        training = neighbours.training._replace(ratio=none.ratio)
        neighbours = neighbours._replace(training=training)
    counted = {kind: data.copies(found) for kind, found in copies.items()}
    groups_cut, groups_cut_test_images = cut(groups, same, split_code)
    ranked = pairs(copies, same, labels, split_code)[:MAX_PAIRS]
    return {
        "exact_duplicates": exact(same, labels, split_code, data.names),
        "near_duplicates": counted[NEARLY],
        "moved_copies": counted[MOVED],
        "edited_copies": counted.get(EDITED),
        "plain_drawings": len(alike) if is_drawn else 0,
        "stretches": counted.get(STRETCH),
        "near": NEAR,
        "blind_spots": BLIND_SPOTS if stretches is None else (),
        "groups": None if data.groups is None else len(np.unique(groups)),
        "groups_cut": groups_cut,
        "groups_cut_test_images": groups_cut_test_images,
        "groups_tested": None if data.groups is None else len(np.unique(groups[split.test])),
        "probe": probe(data.small, labels, data.joined, same, neighbours, split),
        "details": {
            "pairs": tuple(
                Pair(kind=kind, a=data.described(a), b=data.described(b), ratio=round(ratio, 4))
                for kind, a, b, ratio in ranked
            ),
            "groups": tuple(data.joined.tolist()) if stretches and len(stretches.pairs) else (),
        },
    }


def exact(
    same: np.ndarray,
    labels: np.ndarray,
    split_code: np.ndarray,
    files: tuple[str, ...] | None = None,
) -> ExactDuplicates:
    """Count equal images: `same` int64 `[N]` numbers them, `side` is from `sides_of`."""
    used = np.flatnonzero(split_code >= 0)
    same, labels, split_code = same[used], labels[used], split_code[used]
    first_split, is_conflicting = split_code[earliest(same, split_code)], several(same, labels)
    by_set = np.argsort(same, kind="stable")
    conflicts = used[by_set[is_conflicting[same[by_set]]]]
    return ExactDuplicates(
        across=int((split_code > first_split).sum()),
        test_in_training=int(((split_code == 2) & (first_split == 0)).sum()),
        within=len(same) - np.unique(np.stack([same, split_code]), axis=1).shape[1],
        conflicting=int(is_conflicting.sum()),
        conflicting_images=len(conflicts),
        conflicting_files=None if files is None else tuple(files[image] for image in conflicts),
    )


def earliest(same: np.ndarray, split_code: np.ndarray) -> np.ndarray:
    """Return the first equal image by side, then index, int64 `[N]`; left-out images equal none."""
    same = np.where(split_code >= 0, same, -1 - np.arange(len(same)))
    order = np.argsort(split_code, kind="stable")
    first = np.unique(same[order], return_index=True)[1]
    return order[first][np.unique(same, return_inverse=True)[1]]


def copied(
    duplicates_by_kind: Mapping[PairKind, NearDuplicates], same: np.ndarray
) -> dict[PairKind, NearDuplicates]:
    """Return the relatives within `LIMITS`; −1 for others, equal images and copies of an earlier
    kind.
    """
    copies, is_known = {}, np.zeros(len(same), bool)
    for kind, (index, ratio) in duplicates_by_kind.items():
        is_copy = (index >= 0) & (ratio < LIMITS[kind]) & (same[index] != same) & ~is_known
        copies[kind] = NearDuplicates(np.where(is_copy, index, -1), ratio)
        is_known |= is_copy
    return copies


def pairs(
    copies: dict[PairKind, NearDuplicates],
    same: np.ndarray,
    labels: np.ndarray,
    split_code: np.ndarray,
) -> list[tuple[PairKind, int, int, float]]:
    """Return pairs to look at with their ratio, the gravest kind first, then the nearest."""
    first, ratio = earliest(same, split_code), np.zeros(len(same))
    is_copy = first != np.arange(len(same))
    differ, elsewhere = labels[first] != labels, split_code[first] != split_code
    equal: dict[PairKind, np.ndarray] = {
        "equal images, different labels": differ,
        "equal images on two sides": ~differ & elsewhere,
        "equal images on one side": ~differ & ~elsewhere,
    }
    equals = {
        kind: NearDuplicates(np.where(is_copy & chosen, first, -1), ratio)
        for kind, chosen in equal.items()
    }
    ranked = sorted((equals | copies).items(), key=lambda item: get_args(PairKind).index(item[0]))
    return [
        (kind, image, int(index[image]), float(ratio[image]))
        for kind, (index, ratio) in ranked
        for image in sorted(np.flatnonzero(index >= 0).tolist(), key=ratio.__getitem__)
    ]


def cut(groups: np.ndarray, same: np.ndarray, split_code: np.ndarray) -> tuple[int, int]:
    """Return the number of groups on several sides, and of test images with their group in
    training; groups of equal images do not count.
    """
    used = split_code >= 0
    _, groups = np.unique(groups[used], return_inverse=True)
    split_code = split_code[used]
    is_cut = several(groups, same[used]) & several(groups, split_code)
    in_training = np.isin(groups, groups[split_code == 0])
    return int(is_cut.sum()), int((is_cut[groups] & in_training & (split_code == 2)).sum())


def several(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return True for each number 0, 1, … with several `values`."""
    return np.bincount(np.unique(np.stack([numbers, values]), axis=1)[0]) > 1


def probe(
    small: Tensor,
    labels: np.ndarray,
    groups: np.ndarray,
    same: np.ndarray,
    neighbours: Neighbourhood,
    split: SplitIndices,
) -> Probe:
    """Return the scores of the nearest neighbour on small grey versions, with and without
    near-duplicates.

    Siblings share a group of `groups` `[N]`, are equal (equal `same` `[N]`) or near duplicates.
    """
    index, ratio = neighbours.training
    test = split.test[index[split.test] >= 0]
    if not len(test):
        return Probe()
    right = labels[index[test]] == labels[test]
    recalls = [right[labels[test] == label].mean() for label in np.unique(labels[test])]
    has_near_duplicate = ratio[test] < NEAR
    for numbers in (same, groups):
        has_near_duplicate |= np.isin(numbers[test], numbers[split.train])
    # True if the nearest training image that is no sibling has the label.
    without = right.copy()
    at_once = max(1, min(256, MAX_SCORES // len(split.train)))
    references = rows_of(small, split.train)
    starts = range(at_once, int(has_near_duplicate.sum()), at_once)
    for rows in np.split(np.flatnonzero(has_near_duplicate), starts):
        images = test[rows]
        distances = torch.cdist(small[images], references)
        is_near_duplicate = distances < torch.from_numpy(NEAR * neighbours.usual[images])[:, None]
        for numbers in (same, groups):
            is_near_duplicate |= torch.from_numpy(numbers[images][:, None] == numbers[split.train])
        nearest = distances.masked_fill(is_near_duplicate, float("inf")).min(1)
        is_right = labels[split.train[nearest.indices.numpy()]] == labels[images]
        without[rows] = is_right & torch.isfinite(nearest.values).numpy()
    most_frequent = np.bincount(labels[split.train]).argmax()
    return Probe(
        accuracy=float(right.mean()),
        balanced_accuracy=float(np.mean(recalls)),
        accuracy_if_grouped=float(without.mean()),
        chance_level=float((labels[test] == most_frequent).mean()),
        near_duplicates_in_train=float(has_near_duplicate.mean()),
        n=len(test),
    )


GROUPED = "take the data set socofing"
"""Remedy for the split of the 2023 study, which cuts groups."""


@finds("test_in_training")
def test_in_training(audit: Audit) -> Iterator[Values]:
    if count := audit.exact_duplicates.test_in_training:
        remedy = GROUPED if audit.split == "published" else "remove the copies"
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
    near_duplicates_found = audit.probe.near_duplicates_in_train
    if near_duplicates_found is None or has_gap(audit) or audit.groups_cut_test_images:
        return
    # Equal images and shared stretches are findings of their own.
    known = audit.exact_duplicates.test_in_training
    known += audit.stretches.test_in_training if audit.stretches else 0
    share = near_duplicates_found - known / audit.counts.test
    if share > NEAR_PROBLEM and share * audit.probe.n >= MIN_COUNT:
        yield {"share": share, "above": NEAR_PROBLEM, "remedy": keep_together(audit)}


@finds("moved_test_in_training")
def moved_test_in_training(audit: Audit) -> Iterator[Values]:
    count = sum(kind.test_in_training for kind in changed(audit))
    share = count / max(1, audit.counts.test)
    if share > NEAR_PROBLEM and count >= MIN_COUNT and not audit.groups_cut_test_images:
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
    known = [audit.exact_duplicates, audit.stretches]
    if elsewhere := sum(found.across - found.test_in_training for found in known if found):
        yield {"count": elsewhere, "remedy": "--group-by" if audit.files else None}


@finds("near_across_splits")
def near_across_splits(audit: Audit) -> Iterator[Values]:
    near, counts, is_reported = (
        audit.near_duplicates,
        audit.counts,
        any(near_test_in_training(audit)),
    )
    if near.across > SMALL_SHARE * (counts.test + counts.val) and not is_reported:
        yield {
            "count": near.across,
            "in_training": near.test_in_training,
            "num_test": counts.test,
        }


@finds("moved_across_splits")
def moved_across_splits(audit: Audit) -> Iterator[Values]:
    count, counts = sum(kind.across for kind in changed(audit)), audit.counts
    if count > MOVED_SHARE * (counts.test + counts.val) and not any(moved_test_in_training(audit)):
        yield {
            "count": count,
            "in_training": sum(kind.test_in_training for kind in changed(audit)),
            "num_test": counts.test,
        }


@finds("plain_drawings")
def plain_drawings(audit: Audit) -> Iterator[Values]:
    if audit.plain_drawings:
        yield {"count": audit.plain_drawings}


@finds("too_few_to_audit")
def too_few_to_audit(audit: Audit) -> Iterator[Values]:
    if audit.counts.test < MIN_IMAGES_TO_SHOW:
        yield {"count": audit.counts.test, "fewest": MIN_IMAGES_TO_SHOW, "share": NEAR_PROBLEM}


@finds("cut_groups")
def cut_groups(audit: Audit) -> Iterator[Values]:
    if images := audit.groups_cut_test_images:
        share = images / audit.counts.test
        yield {"count": audit.groups_cut, "share": share, "remedy": keep_together(audit)}


@finds("groups_cut_at_validation")
def groups_cut_at_validation(audit: Audit) -> Iterator[Values]:
    if audit.groups_cut and not audit.groups_cut_test_images:
        yield {"count": audit.groups_cut}


@finds("leaking_near_duplicates")
def leaking_near_duplicates(audit: Audit) -> Iterator[Values]:
    if has_gap(audit):
        yield {
            "share": audit.probe.near_duplicates_in_train,
            "accuracy": audit.probe.accuracy,
            "accuracy_if_grouped": audit.probe.accuracy_if_grouped,
            "chance": audit.probe.chance_level,
            "remedy": keep_together(audit),
        }


@finds("few_test_groups")
def few_test_groups(audit: Audit) -> Iterator[Values]:
    if audit.groups_tested is not None and audit.groups_tested < MIN_TEST_GROUPS:
        remedy = "--folds 5" if audit.split == "grouped" else None
        yield {"count": audit.groups_tested, "fewest": MIN_TEST_GROUPS, "remedy": remedy}


def changed(audit: Audit) -> list[Copies]:
    """Return the counts of moved and of edited copies, if sought."""
    return [kind for kind in (audit.moved_copies, audit.edited_copies) if kind]


def keep_together(audit: Audit) -> str:
    """Return the remedy that keeps relatives on one side; known sets bring their own groups."""
    return {"official": "divide the data anew", "published": GROUPED}.get(
        audit.split, "--group-by" if audit.files else "remove the copies"
    )


def has_gap(audit: Audit) -> bool:
    """Return True if the probe is much worse without near-duplicates."""
    probe = audit.probe
    if probe.accuracy is None or probe.accuracy_if_grouped is None:
        return False
    gap = probe.accuracy - probe.accuracy_if_grouped
    return probe.near_duplicates_in_train is not None and gap > GAP and gap * probe.n >= MIN_COUNT
