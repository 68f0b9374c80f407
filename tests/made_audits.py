"""Audits made by hand."""

from typing import Any

import msgspec

from spikeduel.auditing.audit_results import (
    Audit,
    Counts,
    DuplicateCounts,
    ExactDuplicates,
    Probe,
    Statistic,
    Statistics,
)

CLEAN = Audit(
    dataset="pets",
    fingerprint="f" * 64,
    split="official",
    counts=Counts(train=800, val=100, test=1000),
    exact_duplicates=ExactDuplicates(
        within=0,
        across=0,
        conflicting=0,
        conflicting_images=0,
        test_in_training=0,
    ),
    near_duplicates=DuplicateCounts(across=0, test_in_training=0),
    geometric_duplicates=DuplicateCounts(across=0, test_in_training=0),
    near=0.33,
    groups=None,
    groups_cut=0,
    groups_cut_test_images=0,
    unreadable=(),
    probe=Probe(
        accuracy=0.97,
        balanced_accuracy=0.97,
        accuracy_if_grouped=0.97,
        chance_level=0.5,
        near_duplicates_in_train=0.0,
        n=1000,
    ),
    class_splits={
        "cat": Counts(train=400, val=50, test=500),
        "dog": Counts(train=400, val=50, test=500),
    },
    formats=(),
)
STATISTICS = Statistics(
    statistics=(
        Statistic(
            name="length",
            by_split={"train": 300, "val": 300, "test": 310},
            classes={"cat": 300, "dog": 310},
            class_accuracy=0.8,
            split_accuracy=0.5,
        ),
        Statistic(
            name="at hot pixels",
            by_split={"train": 0, "val": 0, "test": 0},
            classes={"cat": 0, "dog": 0},
            class_accuracy=None,
            split_accuracy=None,
        ),
    ),
    hot_pixels=(),
    class_accuracy=0.5,
    class_chance=0.5,
    num_tested=1000,
    split_accuracy=0.5,
    num_groups=1600,
)
"""Statistics of recordings that differ in nothing that tells."""


def audit_with(**changes: Any) -> Audit:
    """A clean audit with `changes`; a dict changes the fields of a part."""
    parts = {
        name: msgspec.structs.replace(getattr(CLEAN, name), **value)
        for name, value in changes.items()
        if isinstance(value, dict) and name != "class_splits"
    }
    return msgspec.structs.replace(CLEAN, **{**changes, **parts})
