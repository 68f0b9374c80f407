"""Find duplicates of test images in training: equal images, near-duplicates, geometric and
photometric duplicates, shared segments of events, cut groups. A further kind is a row of `LIMITS`
and its search.
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
SMALL_SHARE = 0.001
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
"""Test images that show at least one copy in 95 % of cases where `NEAR_PROBLEM` of such images are
copies (59); a clean audit of fewer says little.
"""
SEGMENT: PairKind = "shared segment in two splits"
NEAR_DUPLICATES: PairKind = "near-duplicates in two splits"
GEOMETRIC: PairKind = "geometric duplicates in two splits"
PHOTOMETRIC: PairKind = "photometric duplicates in two splits"
LIMITS = {SEGMENT: 1.0, NEAR_DUPLICATES: NEAR, GEOMETRIC: NEAR, PHOTOMETRIC: 0.4}
"""Ratio below which matches are duplicates; an image is a duplicate of the first kind alone."""


def check(data: AuditInput) -> Fields:
    """Count copies and cut groups, list pairs to look at, and ask a nearest neighbour."""
    same, labels, split_code, split = data.same, data.labels, data.split_code, data.split
    groups, segments, images = data.group_ids, data.shared_segments, data.images
    progress = data.progress
    shapes = np.array([(format.height, format.width) for format in data.formats])
    centres = geometric_duplicates.middles(images, shapes)
    neighbours = search(data.small, split, progress)
    duplicates_by_kind = {
        NEAR_DUPLICATES: neighbours.earlier,
        GEOMETRIC: geometric_duplicates.search(images, centres, same, split, progress),
    }
    if segments is None:
        duplicates_by_kind[PHOTOMETRIC] = photometric_duplicates.search(
            centres, same, split, progress
        )
    else:
        duplicates_by_kind = {SEGMENT: segments.earlier} | duplicates_by_kind
    copies = copied(duplicates_by_kind, same)
    alike = np.flatnonzero(np.any([found.nearest >= 0 for found in copies.values()], 0))
    is_drawn = segments is None and drawings.are_plain(images, alike)
    if is_drawn:
        # Nothing tells their copies from other drawings.
        none = Matches(np.full(len(same), -1), np.full(len(same), np.inf))
        copies = dict.fromkeys(copies, none)
        training = neighbours.training._replace(ratio=none.ratio)
        neighbours = neighbours._replace(training=training)
    counted = {kind: data.copies(found) for kind, found in copies.items()}
    groups_cut, groups_cut_test_images = cut(groups, same, split_code)
    ranked = pairs(copies, same, labels, split_code)[:MAX_PAIRS]
    return {
        "exact_duplicates": exact(same, labels, split_code, data.names),
        "near_duplicates": counted[NEAR_DUPLICATES],
        "geometric_duplicates": counted[GEOMETRIC],
        "photometric_duplicates": counted.get(PHOTOMETRIC),
        "plain_drawings": len(alike) if is_drawn else 0,
        "shared_segments": counted.get(SEGMENT),
        "near": NEAR,
        "blind_spots": BLIND_SPOTS if segments is None else (),
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
            "groups": tuple(data.joined.tolist()) if segments and len(segments.pairs) else (),
        },
    }


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


def copied(
    duplicates_by_kind: Mapping[PairKind, Matches], same: np.ndarray
) -> dict[PairKind, Matches]:
    """Return the matches within `LIMITS`; −1 for others, equal images and copies of an earlier
    kind.
    """
    copies, is_known = {}, np.zeros(len(same), bool)
    for kind, (index, ratio) in duplicates_by_kind.items():
        is_copy = (index >= 0) & (ratio < LIMITS[kind]) & (same[index] != same) & ~is_known
        copies[kind] = Matches(np.where(is_copy, index, -1), ratio)
        is_known |= is_copy
    return copies


def pairs(
    copies: dict[PairKind, Matches],
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
        "equal images in two splits": ~differ & elsewhere,
        "equal images in one split": ~differ & ~elsewhere,
    }
    equals = {
        kind: Matches(np.where(is_copy & chosen, first, -1), ratio)
        for kind, chosen in equal.items()
    }
    ranked = sorted((equals | copies).items(), key=lambda item: get_args(PairKind).index(item[0]))
    return [
        (kind, image, int(index[image]), float(ratio[image]))
        for kind, (index, ratio) in ranked
        for image in sorted(np.flatnonzero(index >= 0).tolist(), key=ratio.__getitem__)
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
) -> Probe:
    """Return the scores of the nearest neighbour on small grey versions, with and without
    near-duplicates.

    Equal images (equal `same` `[N]`) and those of one group (`groups` `[N]`) count as
    near-duplicates.
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
    # True if the nearest training image that is no near-duplicate has the label.
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
    near_duplicates_found = audit.probe.near_duplicates_in_train
    if near_duplicates_found is None or has_gap(audit) or audit.groups_cut_test_images:
        return
    # Equal images and shared segments are findings of their own.
    known = audit.exact_duplicates.test_in_training
    known += audit.shared_segments.test_in_training if audit.shared_segments else 0
    share = near_duplicates_found - known / audit.counts.test
    if share > NEAR_PROBLEM and share * audit.probe.n >= MIN_COUNT:
        yield {"share": share, "above": NEAR_PROBLEM, "remedy": keep_together(audit)}


@finds("transformed_test_in_training")
def transformed_test_in_training(audit: Audit) -> Iterator[Values]:
    count = sum(kind.test_in_training for kind in transformed(audit))
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
    known = [audit.exact_duplicates, audit.shared_segments]
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


@finds("transformed_across_splits")
def transformed_across_splits(audit: Audit) -> Iterator[Values]:
    count, counts = sum(kind.across for kind in transformed(audit)), audit.counts
    if count > MAX_TRANSFORMED_SHARE * (counts.test + counts.val) and not any(
        transformed_test_in_training(audit)
    ):
        yield {
            "count": count,
            "in_training": sum(kind.test_in_training for kind in transformed(audit)),
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


def transformed(audit: Audit) -> list[DuplicateCounts]:
    """Return the counts of geometric and of photometric duplicates, if sought."""
    return [kind for kind in (audit.geometric_duplicates, audit.photometric_duplicates) if kind]


def keep_together(audit: Audit) -> str:
    """Return the remedy that keeps duplicates in one split; known sets bring their own groups."""
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
