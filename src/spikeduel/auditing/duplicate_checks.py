"""Find duplicates of test images in training: equal images, near-duplicates, geometric and
photometric duplicates, shared segments of events, cut groups. A further kind is a row of `LIMITS`
and its search in `matches_by_kind`.
"""

import math
from collections.abc import Iterator, Mapping
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from spikeduel.auditing import drawings, geometric_duplicates, photometric_duplicates
from spikeduel.auditing.arrays import SplitIndices, rows_of
from spikeduel.auditing.audit_results import (
    BLIND_SPOTS,
    Audit,
    DuplicateCounts,
    ExactDuplicates,
    Pair,
    PairKind,
    Probe,
)
from spikeduel.auditing.context import GAP, AuditInput, Fields
from spikeduel.auditing.neighbours import MAX_SCORES, NEAR, Matches, Neighbourhood, search
from spikeduel.system.finding_tables import Values, finds

MIN_TEST_GROUPS = 6
"""Groups of test images below which an accuracy says little about images of other groups."""
MAX_PAIRS = 200
"""Most pairs to look at in an audit."""
MAX_NEAR_SHARE = 0.001
"""Share of images with a near-duplicate elsewhere that changes results by less than 0.1 points."""
MAX_TRANSFORMED_SHARE = 0.005
"""Share of geometric and photometric duplicates in validation and test that natural look-alikes may
give.
"""
NEAR_PROBLEM = 0.05
"""Share of test images with a near-, geometric or photometric duplicate in training above which
scores measure memory (Fashion-MNIST: 0.6 %).
"""
MIN_COUNT = 3
"""Test images below which near-duplicates and gaps are no problem."""
MIN_IMAGES_TO_SHOW = math.ceil(math.log(0.05) / math.log(1 - NEAR_PROBLEM))
"""Test images that show at least one duplicate in 95 % of cases where `NEAR_PROBLEM` of such images
are duplicates (59); a clean audit of fewer says little.
"""
SEGMENT: PairKind = "shared segment in two splits"
NEAR_DUPLICATES: PairKind = "near-duplicates in two splits"
GEOMETRIC: PairKind = "geometric duplicates in two splits"
PHOTOMETRIC: PairKind = "photometric duplicates in two splits"
LIMITS = {SEGMENT: 1.0, NEAR_DUPLICATES: NEAR, GEOMETRIC: NEAR, PHOTOMETRIC: 0.4}
"""Ratio below which matches are duplicates; an image is a duplicate of the first kind alone."""


def check(data: AuditInput) -> Fields:
    """Count duplicates and cut groups, list pairs to look at, and test a nearest neighbour."""
    same, labels, groups, split_code = data.same, data.labels, data.group_ids, data.split_code
    neighbours = search(data.small, data.split, data.progress)
    duplicates = within_limits(matches_by_kind(data, neighbours.earlier), same)
    similar = np.flatnonzero(np.any([of_kind.nearest >= 0 for of_kind in duplicates.values()], 0))
    are_drawings = data.recordings is None and drawings.are_plain(data.images, similar)
    if are_drawings:
        # Nothing tells a duplicate of such an image from another drawing.
        none = Matches.none(len(same))
        duplicates = dict.fromkeys(duplicates, none)
        training = neighbours.training._replace(ratio=none.ratio)
        neighbours = neighbours._replace(training=training)
    counts = {kind: data.duplicate_counts(matches) for kind, matches in duplicates.items()}
    groups_cut, groups_cut_test_images = cut(groups, same, split_code)
    fields: Fields = {
        "exact_duplicates": exact(same, labels, split_code, data.names),
        "near_duplicates": counts[NEAR_DUPLICATES],
        "geometric_duplicates": counts[GEOMETRIC],
        "photometric_duplicates": counts.get(PHOTOMETRIC),
        "shared_segments": counts.get(SEGMENT),
        "near": NEAR,
        "plain_drawings": len(similar) if are_drawings else 0,
        "blind_spots": BLIND_SPOTS if data.recordings is None else (),
        "groups_cut": groups_cut,
        "groups_cut_test_images": groups_cut_test_images,
        "groups": None,
        "probe": probe(data.small, labels, data.joined, same, neighbours, data.split),
        "details": {
            "pairs": tuple(
                Pair(kind=kind, a=data.described(a), b=data.described(b), ratio=round(ratio, 4))
                for kind, a, b, ratio in pairs(duplicates, same, labels, split_code)[:MAX_PAIRS]
            )
        },
    }
    if data.groups is not None:
        fields["groups"] = len(np.unique(groups))
        fields["groups_tested"] = len(np.unique(groups[data.split.test]))
    if data.shared_segments and len(data.shared_segments.pairs):
        fields["details"]["groups"] = tuple(data.joined.tolist())
    return fields


def matches_by_kind(data: AuditInput, near: Matches) -> dict[PairKind, Matches]:
    """Return the closest match of each image in an earlier split, by each kind of duplicate that
    images or recordings can be; `near` is that by small versions.
    """
    shapes = np.array([(format.height, format.width) for format in data.formats])
    centres = geometric_duplicates.middles(data.images, shapes)
    task = data.same, data.split, data.progress
    geometric = geometric_duplicates.search(data.images, centres, *task)
    matches = {NEAR_DUPLICATES: near, GEOMETRIC: geometric}
    if data.shared_segments:
        return {SEGMENT: data.shared_segments.earlier} | matches
    return matches | {PHOTOMETRIC: photometric_duplicates.search(centres, *task)}


def exact(
    same: np.ndarray,
    labels: np.ndarray,
    split_code: np.ndarray,
    files: tuple[str, ...] | None = None,
) -> ExactDuplicates:
    """Count equal images: `same` int64 `[N]` numbers them, `split_code` is `SplitIndices.codes`."""
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
    """Return the first equal image by split and index, int64 `[N]`; images left out equal none."""
    same = np.where(split_code >= 0, same, -1 - np.arange(len(same)))
    order = np.argsort(split_code, kind="stable")
    first = np.unique(same[order], return_index=True)[1]
    return order[first][np.unique(same, return_inverse=True)[1]]


def within_limits(
    matches_by_kind: Mapping[PairKind, Matches], same: np.ndarray
) -> dict[PairKind, Matches]:
    """Return the matches within `LIMITS`; −1 for others, equal images (equal `same` `[N]`) and
    duplicates of an earlier kind.
    """
    duplicates, is_counted = {}, np.zeros(len(same), bool)
    for kind, (nearest, ratio) in matches_by_kind.items():
        is_duplicate = (nearest >= 0) & (ratio < LIMITS[kind]) & (same[nearest] != same)
        is_duplicate &= ~is_counted
        duplicates[kind] = Matches(np.where(is_duplicate, nearest, -1), ratio)
        is_counted |= is_duplicate
    return duplicates


def pairs(
    duplicates: Mapping[PairKind, Matches],
    same: np.ndarray,
    labels: np.ndarray,
    split_code: np.ndarray,
) -> list[tuple[PairKind, int, int, float]]:
    """Return pairs to look at with their ratio, the gravest kind first, then the nearest."""
    first, ratio = earliest(same, split_code), np.zeros(len(same))
    is_copy = first != np.arange(len(same))
    is_conflict, is_elsewhere = labels[first] != labels, split_code[first] != split_code
    equal: dict[PairKind, np.ndarray] = {
        "equal images, different labels": is_conflict,
        "equal images in two splits": ~is_conflict & is_elsewhere,
        "equal images in one split": ~is_conflict & ~is_elsewhere,
    }
    matches = {
        kind: Matches(np.where(is_copy & is_of_kind, first, -1), ratio)
        for kind, is_of_kind in equal.items()
    }
    matches.update(duplicates)
    return [
        (kind, image, int(matches[kind].nearest[image]), float(matches[kind].ratio[image]))
        for kind in sorted(matches, key=get_args(PairKind).index)
        for image in sorted(
            np.flatnonzero(matches[kind].nearest >= 0).tolist(),
            key=matches[kind].ratio.__getitem__,
        )
    ]


def cut(groups: np.ndarray, same: np.ndarray, split_code: np.ndarray) -> tuple[int, int]:
    """Return the number of groups in several splits, and of test images with their group in
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
) -> Probe | None:
    """Return the accuracy of the nearest neighbour on small grey versions, with and without
    near-duplicates; None without test images or without training images.

    Equal images (equal `same` `[N]`) and those of one group (`groups` `[N]`) count as
    near-duplicates.
    """
    nearest, ratio = neighbours.training
    test = split.test[nearest[split.test] >= 0]
    if not len(test):
        return None
    is_right = labels[nearest[test]] == labels[test]
    recalls = [is_right[labels[test] == label].mean() for label in np.unique(labels[test])]
    has_near_duplicate = ratio[test] < NEAR
    for numbers in (same, groups):
        has_near_duplicate |= np.isin(numbers[test], numbers[split.train])
    rows = np.flatnonzero(has_near_duplicate)
    is_right_without = is_right.copy()
    is_right_without[rows] = _are_right_without_near_duplicates(
        test[rows], small, labels, (same, groups), neighbours.usual, split.train
    )
    most_frequent = np.bincount(labels[split.train]).argmax()
    return Probe(
        accuracy=float(is_right.mean()),
        balanced_accuracy=float(np.mean(recalls)),
        accuracy_if_grouped=float(is_right_without.mean()),
        chance_level=float((labels[test] == most_frequent).mean()),
        near_duplicates_in_train=float(has_near_duplicate.mean()),
        n=len(test),
    )


def _are_right_without_near_duplicates(
    images: np.ndarray,
    small: Tensor,
    labels: np.ndarray,
    related: tuple[np.ndarray, ...],
    usual: np.ndarray,
    train: np.ndarray,
) -> np.ndarray:
    """Return True for each of `images` (indices `[M]`) whose nearest training image has its label,
    bool `[M]`.

    Training images (indices `train`) that are near an image or share one of its `related` numbers,
    `[N]` each, are left out. `usual` `[N]` are the usual distances between versions `small`.
    """
    references = rows_of(small, train)
    at_once = max(1, min(256, MAX_SCORES // len(train)))
    is_right = np.zeros(len(images), bool)
    for start in range(0, len(images), at_once):
        rows = images[start : start + at_once]
        distances = torch.cdist(small[rows], references)
        is_near_duplicate = distances < torch.from_numpy(NEAR * usual[rows])[:, None]
        for numbers in related:
            is_near_duplicate |= torch.from_numpy(numbers[rows][:, None] == numbers[train])
        other = distances.masked_fill(is_near_duplicate, float("inf")).min(1)
        has_label = labels[train[other.indices.numpy()]] == labels[rows]
        is_right[start : start + at_once] = has_label & torch.isfinite(other.values).numpy()
    return is_right


GROUPED = "take the data set socofing"
"""Remedy for the split of the 2023 study, which cuts groups."""


@finds("test_in_training")
def test_in_training(audit: Audit) -> Iterator[Values]:
    if count := audit.exact_duplicates.test_in_training:
        remedy = GROUPED if audit.split == "published" else "remove the copies"
        yield {"count": count, "share": count / audit.counts.test, "remedy": remedy}


@finds("shared_segment_test_in_training")
def shared_segment_test_in_training(audit: Audit) -> Iterator[Values]:
    if audit.shared_segments and (count := audit.shared_segments.test_in_training):
        remedy = keep_together(audit)
        yield {
            "count": count,
            "share": count / audit.counts.test,
            "remedy": "--group-by groups.csv" if remedy == "--group-by" else remedy,
        }


@finds("near_test_in_training")
def near_test_in_training(audit: Audit) -> Iterator[Values]:
    """Yield the share of test images with near-duplicates in training, beyond the equal images and
    shared segments, which are findings of their own.
    """
    if audit.probe is None or has_gap(audit) or audit.groups_cut_test_images:
        return
    counted_apart = audit.exact_duplicates.test_in_training
    if audit.shared_segments:
        counted_apart += audit.shared_segments.test_in_training
    share = audit.probe.near_duplicates_in_train - counted_apart / audit.counts.test
    if share > NEAR_PROBLEM and share * audit.probe.n >= MIN_COUNT:
        yield {"share": share, "above": NEAR_PROBLEM, "remedy": keep_together(audit)}


@finds("transformed_test_in_training")
def transformed_test_in_training(audit: Audit) -> Iterator[Values]:
    count = transformed(audit).test_in_training
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
    kinds = [audit.exact_duplicates, audit.shared_segments]
    if count := sum(kind.across - kind.test_in_training for kind in kinds if kind):
        yield {"count": count, "remedy": "--group-by" if audit.files else None}


@finds("near_across_splits")
def near_across_splits(audit: Audit) -> Iterator[Values]:
    if not any(near_test_in_training(audit)):
        yield from _across_splits(audit, audit.near_duplicates, MAX_NEAR_SHARE)


@finds("transformed_across_splits")
def transformed_across_splits(audit: Audit) -> Iterator[Values]:
    if not any(transformed_test_in_training(audit)):
        yield from _across_splits(audit, transformed(audit), MAX_TRANSFORMED_SHARE)


def _across_splits(audit: Audit, kind: DuplicateCounts, max_share: float) -> Iterator[Values]:
    if kind.across > max_share * (audit.counts.test + audit.counts.val):
        yield {
            "count": kind.across,
            "in_training": kind.test_in_training,
            "num_test": audit.counts.test,
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
    if audit.probe and has_gap(audit):
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


def transformed(audit: Audit) -> DuplicateCounts:
    """Return the counts of geometric and photometric duplicates together."""
    kinds = [kind for kind in (audit.geometric_duplicates, audit.photometric_duplicates) if kind]
    return DuplicateCounts(
        across=sum(kind.across for kind in kinds),
        test_in_training=sum(kind.test_in_training for kind in kinds),
    )


def keep_together(audit: Audit) -> str:
    """Return the remedy that keeps duplicates in one split; known sets bring their own groups."""
    return {"official": "divide the data anew", "published": GROUPED}.get(
        audit.split, "--group-by" if audit.files else "remove the copies"
    )


def has_gap(audit: Audit) -> bool:
    """Return True if a nearest neighbour is much worse without near-duplicates."""
    if audit.probe is None:
        return False
    gap = audit.probe.accuracy - audit.probe.accuracy_if_grouped
    return gap > GAP and gap * audit.probe.n >= MIN_COUNT
