"""Sentences and tables of an audit, for the terminal, the report and notebooks."""

from typing import Any

from msgspec import structs

from spikeduel.auditing.audit_results import (
    Audit,
    Pair,
    PairKind,
    StatisticName,
    Statistics,
    by_ending,
)
from spikeduel.system import notebook, typed
from spikeduel.system.finding_tables import sentence, with_id
from spikeduel.system.sentences import counted, listed, per_cent, with_noun

UNITS: dict[StatisticName, str] = {"length": " ms", "event rate": "/s"}
SHARES: tuple[StatisticName, ...] = ("brighter events", "pixels in use", "at hot pixels")
PAIRS_OF: dict[str, tuple[PairKind, ...]] = {
    "conflicting_labels": ("equal images, different labels",),
    "test_in_training": ("equal images in two splits", "equal images, different labels"),
    "shared_segment_test_in_training": ("shared segment in two splits",),
    "near_test_in_training": ("near-duplicates in two splits",),
    "transformed_test_in_training": (
        "geometric duplicates in two splits",
        "photometric duplicates in two splits",
    ),
    "leaking_near_duplicates": ("equal images in two splits", "near-duplicates in two splits"),
}
"""Kinds of pairs that a problem is about."""
SPLITS = {"train": "training", "val": "validation", "test": "test"}


def html(audit: Audit) -> str:
    """Return an audit as HTML for a notebook."""
    texts = [f"Problem: {text}" for text in problems(audit)] + [all_clear(audit), *notes(audit)]
    return notebook.page(f"Audit of {audit.dataset}", *texts, rows(audit), not_all(audit))


def not_all(audit: Audit) -> str:
    missed = f" Mostly missed are {listed(audit.blind_spots)}." if audit.blind_spots else ""
    unknown = "Two images of one person or object that look different are known by groups alone."
    return with_noun(f"Pixels cannot show every leak.{missed} {unknown}", audit.noun)


def all_clear(audit: Audit) -> str:
    """Return the sentence of an audit without problems; "" if there are some, or too few images."""
    is_clear = audit.ok and not with_id(audit.notes, "too_few_to_audit")
    return "Nothing was found that would invalidate a result." if is_clear else ""


def problems(audit: Audit) -> list[str]:
    return [sentence(finding, audit.noun) for finding in audit.problems]


def notes(audit: Audit) -> list[str]:
    return [sentence(finding, audit.noun) for finding in audit.notes]


def examples(audit: Audit) -> list[str]:
    kinds = {kind for problem in audit.problems for kind in PAIRS_OF.get(problem.id, ())}
    pairs = [pair for pair in audit.details.pairs if pair.kind in kinds]
    return [
        f"{pair.a.file or f'image {pair.a.index}'} and {pair.b.file or f'image {pair.b.index}'}"
        f": {with_noun(pair.kind, audit.noun)}"
        for pair in pairs[:3]
    ]


def worded(audit: Audit) -> Audit:
    return structs.replace(
        audit,
        is_ok=audit.ok,
        problem_texts=problems(audit),
        note_texts=notes(audit),
    )


def document(audit: Audit) -> dict[str, Any]:
    """Return the content of `audit.json`: of the details the pairs alone."""
    content = typed.plain(worded(audit))
    content["pairs"] = content.pop("details")["pairs"]
    return content


def nearness(pair: Pair) -> str:
    """Return a pair's distance: "0.21 of the usual"."""
    if pair.kind == "shared segment in two splits":
        return f"{per_cent(1 - pair.ratio)} of events shared"
    return f"{pair.ratio:.2f} of the usual"


def rows(audit: Audit) -> list[dict[str, str]]:
    """Return what was measured, and the numbers, as rows of a table."""
    table = (
        _set_rows(audit)
        | _duplicate_rows(audit)
        | _file_rows(audit)
        | _probe_rows(audit)
        | _recording_rows(audit)
    )
    return [
        {"what": with_noun(what, audit.noun), "found": with_noun(numbers, audit.noun)}
        for what, numbers in table.items()
        if numbers
    ]


def _set_rows(audit: Audit) -> dict[str, str]:
    """Return rows of the audit's table by title: images, classes, split and groups of the set."""
    counts, split, groups = audit.counts, audit.split, "none known"
    if audit.own_validation:
        split += " (no test set: a tenth of training is tested; rename val to test to test on val)"
    if audit.groups is not None:
        groups = f"{audit.groups:,}, {audit.groups_cut:,} cut"
        groups += " (exact copies not counted)" if audit.exact_duplicates.across else ""
    return {
        "images": f"{counts.train:,} training, {counts.val:,} validation, {counts.test:,} test",
        "classes": f"{len(audit.class_splits)}",
        "split": split,
        "groups": groups,
    }


def _duplicate_rows(audit: Audit) -> dict[str, str]:
    exact = audit.exact_duplicates
    kinds = {
        "near-duplicates": audit.near_duplicates,
        "geometric duplicates": audit.geometric_duplicates,
        "photometric duplicates": audit.photometric_duplicates,
        "shared segments": audit.shared_segments,
    }
    return {
        "exact copies": f"{exact.within:,} within a split, {exact.across:,} across splits",
        "conflicting labels": f"{counted(exact.conflicting, 'set')} of equal images",
        **{name: f"{kind.across:,} across splits" for name, kind in kinds.items() if kind},
    }


def _file_rows(audit: Audit) -> dict[str, str]:
    table = {"unreadable files": f"{len(audit.unreadable):,}"}
    if audit.files:
        table["files read"] = by_ending(audit.files.read)
        ignored = [f"{files.count:,} {files.rule}" for files in audit.files.ignored]
        table["files ignored"] = ", ".join(ignored)
    for of_files in audit.formats:
        more = f" and {of_files.num_values - 3:,} more" if of_files.num_values > 3 else ""
        values = [f"{value} ({count:,})" for value, count in of_files.values.items()]
        table[of_files.property] = ", ".join(values[:3]) + more
    return table


def _probe_rows(audit: Audit) -> dict[str, str]:
    if (probe := audit.probe) is None:
        return {}
    near = per_cent(probe.near_duplicates_in_train)
    return {
        "nearest neighbour": f"{per_cent(probe.accuracy)} accuracy (small grey images, nothing "
        "trained)",
        "without near-duplicates": f"{per_cent(probe.accuracy_if_grouped)} accuracy (no "
        "near-duplicate in training)",
        "constant prediction": f"{per_cent(probe.chance_level)} accuracy (always training's most "
        "frequent class)",
        "near-duplicates in training": f"{near} of the test images (same group, equal or near "
        "there)",
    }


def _recording_rows(audit: Audit) -> dict[str, str]:
    if (statistics := audit.statistics) is None:
        return {}
    hot_pixels = listed([f"({x}, {y})" for x, y in statistics.hot_pixels])
    table = {"hot pixels": hot_pixels or "none"}
    if statistics.class_accuracy is not None:
        share = per_cent(statistics.class_accuracy)
        table["statistics alone"] = f"{share} accuracy (length, event rate and so on, no frame)"
    if statistics.split_accuracy is not None:
        share = per_cent(statistics.split_accuracy)
        table["split from statistics"] = f"{share} accuracy (training or test; chance: 50 %)"
    return table


def amount(name: StatisticName, value: float) -> str:
    """Return a statistic with its unit: "307 ms", "48.2 %"."""
    if name in SHARES:
        return per_cent(value)
    return f"{value:,.0f}{UNITS.get(name, '')}"


def formatted_share(share: float | None) -> str:
    """Return the share: "31.6 %"; "–" for None."""
    return "–" if share is None else per_cent(share)


def medians(statistics: Statistics) -> list[dict[str, str]]:
    """Return each statistic's medians by split, and its accuracies."""
    return [
        {
            "median": statistic.name,
            **{
                SPLITS[split_name]: amount(statistic.name, value)
                for split_name, value in statistic.by_split.items()
            },
            "class accuracy": formatted_share(statistic.class_accuracy),
            "split accuracy": formatted_share(statistic.split_accuracy),
        }
        for statistic in statistics.statistics
    ]
