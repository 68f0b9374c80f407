"""Check the sizes of classes on each side of the split."""

from collections.abc import Iterator

import numpy as np

from spikeduel.auditing.context import GAP, AuditContext, Fields
from spikeduel.results.audit import Audit
from spikeduel.results.findings import Values, finds

FEW_TEST_IMAGES = 10
"""Test images of a class below which its scores are uncertain."""
IMBALANCE = 10
"""Ratio of the largest to the smallest class above which classes are unbalanced."""


def check(context: AuditContext) -> Fields:
    """Count the images of each class and side."""
    labels, classes = context.labels, context.prepared.classes
    return {
        "counts": context.counts(np.ones(len(labels), dtype=bool)),
        "class_sides": {name: context.counts(labels == k) for k, name in enumerate(classes)},
    }


@finds("unbalanced_classes")
def unbalanced_classes(audit: Audit) -> Iterator[Values]:
    totals = {name: counts.total for name, counts in audit.class_sides.items()}
    most, least = max(totals, key=totals.__getitem__), min(totals, key=totals.__getitem__)
    if totals[most] > IMBALANCE * totals[least]:
        yield {
            "most": most,
            "most_images": totals[most],
            "least": least,
            "least_images": totals[least],
        }


@finds("classes_with_few_test_images")
def classes_with_few_test_images(audit: Audit) -> Iterator[Values]:
    sides = audit.class_sides
    if names := [name for name in sides if sides[name].test < FEW_TEST_IMAGES]:
        yield {"count": len(names), "few": FEW_TEST_IMAGES, "names": names}


@finds("class_shares_differ")
def class_shares_differ(audit: Audit) -> Iterator[Values]:
    sides, counts = audit.class_sides, audit.counts
    train = {name: side.train / max(1, counts.train) for name, side in sides.items()}
    test = {name: side.test / max(1, counts.test) for name, side in sides.items()}
    worst = max(sides, key=lambda name: abs(train[name] - test[name]))
    if abs(train[worst] - test[worst]) > GAP:
        yield {"name": worst, "train_share": train[worst], "test_share": test[worst]}
