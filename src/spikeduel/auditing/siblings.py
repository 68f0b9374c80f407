"""Check for relatives of test images in training: cut groups, and a nearest neighbour's scores with
and without them.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from spikeduel import data
from spikeduel.auditing.context import GAP, NEAR, AuditContext, Fields
from spikeduel.auditing.neighbours import (
    MOST_SCORES,
    PORTION,
    QUERIES_AT_ONCE,
    Neighbourhood,
    closest,
)
from spikeduel.data import Split
from spikeduel.data.disk_arrays import Rows, rows_of
from spikeduel.results.audit import Audit, Distances, Probe, Quartiles
from spikeduel.results.findings import Values, finds
from spikeduel.results.significance import FEWEST_GROUPS
from spikeduel.system.errors import InputError

NUM_QUANTILES = 201
"""Quantiles of the distances within training for a figure."""
FEWEST = 3
"""Test images below which a gap is no problem."""


def check(context: AuditContext) -> Fields:
    """Find groups that the split cuts, and probe the data with a nearest neighbour."""
    split, groups, known = context.split, context.groups, context.prepared.groups
    index, distance = context.neighbours.training
    test = np.where(index[split.test] >= 0, distance[split.test], np.nan)
    train = distance[split.train][index[split.train] >= 0]
    groups_cut, groups_cut_test_images = cut(groups, context.same, context.side)
    shared = context.stretches
    has_shared = shared is not None and (shared.within | shared.across).any()
    over_files = None
    if split.kind == "grouped":
        # The study's split, which cuts groups.
        with suppress(InputError):
            published = replace(context.experiment, split="published")
            over_files = data.split(context.prepared, published)
    return {
        "groups": None if known is None else len(np.unique(groups)),
        "groups_cut": groups_cut,
        "groups_cut_test_images": groups_cut_test_images,
        "groups_tested": None if known is None else len(np.unique(known[split.test])),
        "probe": probe(
            context.small,
            context.labels,
            context.joined,
            context.same,
            context.neighbours,
            split,
            over_files,
        ),
        "distances": Distances(
            test_to_train=_quartiles(test[np.isfinite(test)]), within_train=_quartiles(train)
        ),
        "details": {
            "test_distances": tuple(
                round(float(value), 4) if np.isfinite(value) else None for value in test
            ),
            "within_quantiles": _quantiles(train, NUM_QUANTILES),
            "groups": tuple(context.joined.tolist()) if has_shared else (),
        },
    }


def cut(groups: np.ndarray, same: np.ndarray, side: np.ndarray) -> tuple[int, int]:
    """Return the number of groups on several sides, and of test images with their group in
    training; groups of equal images do not count.
    """
    used = side >= 0
    _, groups = np.unique(groups[used], return_inverse=True)
    side = side[used]
    is_cut = several(groups, same[used]) & several(groups, side)
    in_training = np.isin(groups, groups[side == 0])
    return int(is_cut.sum()), int((is_cut[groups] & in_training & (side == 2)).sum())


def several(numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return True for each number 0, 1, … that occurs with several `values`."""
    return np.bincount(np.unique(np.stack([numbers, values]), axis=1)[0]) > 1


def probe(
    small: Tensor,
    labels: np.ndarray,
    groups: np.ndarray,
    same: np.ndarray,
    neighbours: Neighbourhood,
    split: Split,
    over_files: Split | None,
) -> Probe:
    """Return the score of the nearest neighbour on small grey versions, with and without siblings.

    Siblings share a group of `groups` `[N]`, are equal (equal `same` `[N]`) or near duplicates.
    `over_files` is a split that cuts groups.
    """

    index, distance = neighbours.training
    test = split.test[index[split.test] >= 0]
    if not len(test):
        return Probe()
    right = labels[index[test]] == labels[test]
    has_sibling = distance[test] < NEAR * neighbours.usual[test]
    for numbers in (same, groups):
        has_sibling |= np.isin(numbers[test], numbers[split.train])
    # True if the nearest training image that is no sibling has the label.
    without = right.copy()
    at_once = max(1, min(256, MOST_SCORES // len(split.train)))
    references = rows_of(small, split.train)
    squares = torch.cat([part.square().sum(1) for part in references.split(QUERIES_AT_ONCE)])
    starts = range(at_once, int(has_sibling.sum()), at_once)
    for rows in np.split(np.flatnonzero(has_sibling), starts):
        images = test[rows]
        distances = squares + small[images].square().sum(1, keepdim=True)
        distances = distances - 2 * small[images] @ references.T
        sibling = distances < torch.from_numpy(NEAR * neighbours.usual[images])[:, None].square()
        for numbers in (same, groups):
            sibling |= torch.from_numpy(numbers[images][:, None] == numbers[split.train])
        nearest = distances.masked_fill(sibling, float("inf")).min(1)
        is_right = labels[split.train[nearest.indices.numpy()]] == labels[images]
        without[rows] = is_right & torch.isfinite(nearest.values).numpy()
    ungrouped = None
    if over_files is not None:
        tested, learned = (Rows(small, rows) for rows in (over_files.test, over_files.train))
        neighbour = over_files.train[closest(tested, learned, 1 + len(learned) // PORTION).index]
        ungrouped = float((labels[neighbour] == labels[over_files.test]).mean())
    most_frequent = np.bincount(labels[split.train]).argmax()
    return Probe(
        accuracy=float(right.mean()),
        accuracy_if_grouped=float(without.mean()),
        accuracy_if_ungrouped=ungrouped,
        chance=float((labels[test] == most_frequent).mean()),
        siblings_in_train=float(has_sibling.mean()),
        n=len(test),
    )


def _quartiles(values: np.ndarray) -> Quartiles | None:
    quantiles = _quantiles(values, 5)
    names = ("p25", "median", "p75")
    return Quartiles(**dict(zip(names, quantiles[1:4], strict=True))) if quantiles else None


def _quantiles(values: np.ndarray, number: int) -> tuple[float, ...]:
    if not len(values):
        return ()
    return tuple(round(float(value), 4) for value in np.quantile(values, np.linspace(0, 1, number)))


@finds("cut_groups")
def cut_groups(audit: Audit) -> Iterator[Values]:
    if images := audit.groups_cut_test_images:
        share = images / audit.counts.test
        yield {"count": audit.groups_cut, "share": share, "remedy": keep_together(audit)}


@finds("groups_cut_at_validation")
def groups_cut_at_validation(audit: Audit) -> Iterator[Values]:
    if audit.groups_cut and not audit.groups_cut_test_images:
        yield {"count": audit.groups_cut}


@finds("leaking_siblings")
def leaking_siblings(audit: Audit) -> Iterator[Values]:
    if has_gap(audit):
        yield {
            "share": audit.probe.siblings_in_train,
            "accuracy": audit.probe.accuracy,
            "accuracy_if_grouped": audit.probe.accuracy_if_grouped,
            "chance": audit.probe.chance,
            "remedy": keep_together(audit),
        }


@finds("few_test_groups")
def few_test_groups(audit: Audit) -> Iterator[Values]:
    if audit.groups_tested is not None and audit.groups_tested < FEWEST_GROUPS:
        yield {"count": audit.groups_tested, "fewest": FEWEST_GROUPS}


def keep_together(audit: Audit) -> str:
    """Return the remedy that keeps relatives on one side of the split."""
    return {"official": "divide the data anew", "published": "--split default"}.get(
        audit.split, "--group-by"
    )


def has_gap(audit: Audit) -> bool:
    """Return True if the probe does much worse without siblings."""
    probe = audit.probe
    if probe.accuracy is None or probe.accuracy_if_grouped is None:
        return False
    gap = probe.accuracy - probe.accuracy_if_grouped
    return probe.siblings_in_train is not None and gap > GAP and gap * probe.n >= FEWEST
