"""Check of the files: what was left out, and what formats and names tell."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from spikeduel.auditing.context import AuditContext, Fields, is_above_chance
from spikeduel.auditing.group_inference import suggested
from spikeduel.data.inventory import IgnoredBy, by_ending
from spikeduel.results.audit import Audit, FileProperty
from spikeduel.results.findings import Values, finds

MOST_LISTED = 8
"""Values of a property that are counted apart."""
MANY_IGNORED = 0.1
"""Ignored files worth a word, as a share of the pictures read."""
ASSOCIATION = 0.3
"""Cramér's V above which a property of files differs between the sides of the split."""
NOT_ANYONES_CHOICE: tuple[IgnoredBy, ...] = (
    "format not opened here",
    "picture without its ending",
    "outside the class folders",
)
"""Rules that leave out pictures, each of which has a finding of its own."""


def check(context: AuditContext) -> Fields:
    """Account for the files, and ask what formats tell of class and side, and names of groups."""
    names, groups = context.names, context.prepared.groups
    reasons = sorted(context.unreadable.items())
    kinds = ("file type", "colour mode", "size")
    formats = [(kind, mode, f"{width}×{height}") for kind, mode, width, height in context.formats]
    properties = dict(zip(kinds, map(list, zip(*formats, strict=True)), strict=False))
    if context.recordings and names:
        properties = {"file type": [Path(name).suffix.lower() for name in names]}
    return {
        "unreadable": tuple(f"{name}: {reason}" for name, reason in reasons),
        "files": context.files,
        "formats": file_properties(properties, context.labels, context.side),
        "suggested_groups": suggested(names, context.labels) if names and groups is None else None,
    }


def file_properties(
    properties: Mapping[str, Sequence[str]], labels: np.ndarray, side: np.ndarray
) -> tuple[FileProperty, ...]:
    """Return how each property of the N files that has several values is tied to `labels` `[N]` and
    `side` `[N]`.
    """
    tied = []
    for name, texts in properties.items():
        values, code, counts = np.unique(texts, return_inverse=True, return_counts=True)
        if len(values) < 2:
            continue
        train, test = side == 0, side == 2
        table = np.zeros((len(values), int(labels.max()) + 1))
        np.add.at(table, (code[train], labels[train]), 1)
        usual = int(table.sum(0).argmax())
        named = np.where(table.sum(1) > 0, table.argmax(1), usual)
        order = np.argsort(-counts, kind="stable")[:MOST_LISTED]
        tied.append(
            FileProperty(
                property=name,
                num_values=len(values),
                values={str(values[k]): int(counts[k]) for k in order},
                class_accuracy=float((named[code[test]] == labels[test]).mean())
                if test.any()
                else None,
                class_chance=float((labels[test] == usual).mean()) if test.any() else None,
                split_association=cramers_v(code[side >= 0], side[side >= 0]),
            )
        )
    return tuple(tied)


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """Return the bias-corrected Cramér's V of two lists of codes: 0 for no association, 1 where one
    list decides the other.
    """
    from scipy.stats.contingency import crosstab, expected_freq

    table = crosstab(a, b).count
    expected, n, (r, k) = expected_freq(table), len(a), table.shape
    if n < 2 or min(r, k) < 2:
        return 0.0
    phi2 = max(0.0, ((table - expected) ** 2 / expected).sum() / n - (r - 1) * (k - 1) / (n - 1))
    r, k = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    return float(min(1.0, np.sqrt(phi2 / max(min(r, k) - 1, 1e-9))))


# ---- what it means


@finds("unreadable_files")
def unreadable_files(audit: Audit) -> Iterator[Values]:
    if audit.unreadable:
        yield {"count": len(audit.unreadable), "names": audit.unreadable}


@finds("pictures_not_opened")
def pictures_not_opened(audit: Audit) -> Iterator[Values]:
    yield from _left_out(audit, "format not opened here")


@finds("pictures_without_ending")
def pictures_without_ending(audit: Audit) -> Iterator[Values]:
    yield from _left_out(audit, "picture without its ending")


@finds("pictures_outside_classes")
def pictures_outside_classes(audit: Audit) -> Iterator[Values]:
    yield from _left_out(audit, "outside the class folders")


def _left_out(audit: Audit, rule: IgnoredBy) -> Iterator[Values]:
    if audit.files and (ignored := audit.files.by(rule)):
        share = ignored.count / (audit.files.num_read + ignored.count)
        yield {"count": ignored.count, "share": share, "files": by_ending(ignored.endings)}


@finds("many_files_ignored")
def many_files_ignored(audit: Audit) -> Iterator[Values]:
    if audit.files:
        others = [files for files in audit.files.ignored if files.rule not in NOT_ANYONES_CHOICE]
        count = sum(files.count for files in others)
        if count > MANY_IGNORED * audit.files.num_read:
            yield {"count": count, "files": "; ".join(map(str, others))}


@finds("format_tells_class")
def format_tells_class(audit: Audit) -> Iterator[Values]:
    for property in audit.formats:
        if _tells_class(property, audit.counts.test, len(audit.class_sides)):
            yield {
                "property": property.property,
                "accuracy": property.class_accuracy,
                "chance": property.class_chance,
            }


@finds("format_tells_side")
def format_tells_side(audit: Audit) -> Iterator[Values]:
    for property in audit.formats:
        if property.split_association > ASSOCIATION:
            yield {"property": property.property, "association": property.split_association}


@finds("names_tell_groups")
def names_tell_groups(audit: Audit) -> Iterator[Values]:
    if guess := audit.suggested_groups:
        first, second = guess.alike
        yield {
            "count": guess.groups,
            "first": first,
            "second": second,
            "pattern": guess.pattern,
        }


def _tells_class(property: FileProperty, num_test: int, num_classes: int) -> bool:
    """Return True if a property tells the class more often than naming one class does."""
    chance = max(property.class_chance or 0, 1 / num_classes)
    return is_above_chance(property.class_accuracy, chance, num_test)
