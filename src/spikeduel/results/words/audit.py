"""An audit in words: a sentence for each finding, the rows of its table, and its JSON document."""

from typing import Any

from msgspec import structs

from spikeduel.data.inventory import FileCounts, by_ending
from spikeduel.results.audit import Audit, Move, Pair, StatisticName, Statistics
from spikeduel.results.words.findings import percent, sentence
from spikeduel.results.words.numbers import per_cent, said_of
from spikeduel.system import typed
from spikeduel.system.sentences import counted, listed

STRETCHES = ("a stretch on two sides", "a stretch on one side")
UNITS: dict[StatisticName, str] = {"length": " ms", "event rate": "/s"}
SHARES: tuple[StatisticName, ...] = ("brighter events", "pixels in use", "at hot pixels")
SIDES = {"train": "training", "val": "validation", "test": "test"}


def not_all(audit: Audit) -> str:
    """Return what no audit can find."""
    text = (
        "Pixels cannot show every leak: two images of one person or object that look different are "
        "found only if "
    )
    return said_of(f"{text}groups are given.", audit.noun)


def _ignored(files: FileCounts) -> str:
    return ", ".join(f"{each.count:,} {each.rule}" for each in files.ignored) or "none"


def problems(audit: Audit) -> list[str]:
    """Return what would invalidate a result, a sentence each."""
    return [sentence(finding, audit.noun) for finding in audit.problems]


def notes(audit: Audit) -> list[str]:
    """Return what is worth knowing, a sentence each."""
    return [sentence(finding, audit.noun) for finding in audit.notes]


def worded(audit: Audit) -> Audit:
    """Return the audit with its sentences."""
    return structs.replace(
        audit,
        is_ok=audit.ok,
        problem_texts=problems(audit),
        note_texts=notes(audit),
        near_definition=near_definition(audit),
    )


def document(audit: Audit) -> dict[str, Any]:
    """Return the content of `audit --json`, `audit.json` and results.json's `dataset.audit`: all
    but the details, with sentences.
    """
    content = typed.plain(worded(audit))
    del content["details"]
    return content


def near_definition(audit: Audit) -> str:
    """Return what counts as a near duplicate."""
    pictures, shared = "small grey versions", ""
    if audit.stretches is not None:
        pictures = "small blurred pictures of all their events"
        shared = (
            " Recordings share a stretch where one's events, shifted in time or place, are the "
            "other's for a while; these are no near duplicates as well."
        )
    text = (
        f"Two images are near duplicates where the distance between their {pictures} (mean "
        f"removed, scaled to length 1) is below {audit.near:g} times the usual one: the median, "
        f"over {audit.near_portions} equal random portions of the training images, of the "
        f"distance to the nearest image in the portion. Exact duplicates are counted "
        f"apart.{shared} One is a moved copy of another where, with one laid over the other "
        f"(shifted, turned, mirrored, scaled), what remains is below {audit.near:g} times what "
        f"remains with others like it."
    )
    return said_of(text, audit.noun)


def nearness(pair: Pair) -> str:
    """Return how near the two of a pair are: "0.21 of the usual", or "98.0 % of events shared"."""
    if pair.kind in STRETCHES:
        return f"{per_cent(1 - pair.ratio)} of events shared"
    return f"{pair.ratio:.2f} of the usual"


def move_in_words(move: Move) -> str:
    """Return how an image was moved, as "mirrored, turned by 8°, shifted by 2 pixels"."""
    degrees, percent = round(abs(move.degrees)), round(100 * (move.scale - 1))
    pixels = round((move.right**2 + move.down**2) ** 0.5)
    parts = ["mirrored"] * move.mirrored
    if degrees:
        parts.append(f"turned by {degrees}°")
    if percent:
        parts.append(f"{'enlarged' if percent > 0 else 'reduced'} by {abs(percent)} %")
    if pixels:
        parts.append(f"shifted by {counted(pixels, 'pixel')}")
    return ", ".join(parts) or "hardly moved"


def rows(audit: Audit) -> list[dict[str, str]]:
    """The numbers of an audit, as rows of a table."""
    exact, near, probe, counts = (
        audit.exact_duplicates,
        audit.near_duplicates,
        audit.probe,
        audit.counts,
    )
    table = {
        "images": f"{counts.train:,} training, {counts.val:,} validation, {counts.test:,} test",
        "classes": f"{len(audit.classes)}",
        "split": audit.split,
        "exact copies": f"{exact.within:,} within a side, {exact.across:,} across sides",
        "conflicting labels": f"{counted(exact.conflicting, 'set')} of equal images",
        "near duplicates": f"{near.within:,} images within a side, {near.across:,} across sides",
        "moved copies": "not measured",
        "groups": _groups(audit),
        "unreadable files": f"{len(audit.unreadable):,}",
        "files read": by_ending(audit.files.read) if audit.files else "",
        "files ignored": _ignored(audit.files) if audit.files else "",
        "nearest neighbour": (
            f"{_percent(probe.accuracy)} accuracy (small grey images, nothing trained)"
        ),
        "without siblings": (
            f"{_percent(probe.accuracy_if_grouped)} accuracy (no sibling in training)"
        ),
        "split over files": f"{_percent(probe.accuracy_if_ungrouped)} accuracy (groups cut)",
        "constant answer": (
            f"{_percent(probe.chance)} accuracy (always training's most frequent class)"
        ),
        "siblings in training": f"{_percent(probe.siblings_in_train)} of the test images",
    }
    if moved := audit.moved_copies:
        table["moved copies"] = f"{moved.across:,} across sides"
    if stretches := audit.stretches:
        table["shared stretches"] = (
            f"{stretches.within:,} images within a side, {stretches.across:,} across sides"
        )
    if audit.statistics:
        table |= _statistics_rows(audit.statistics)
    if probe.accuracy_if_ungrouped is None:
        del table["split over files"]
    if audit.files is None:
        del table["files read"], table["files ignored"]
    if exact.across_groups is not None:
        table["copies across groups"] = f"{counted(exact.across_groups, 'set')} of equal images"
    for of_files in audit.formats:
        more = f" and {of_files.num_values - 3:,} more" if of_files.num_values > 3 else ""
        values = [f"{value} ({count:,})" for value, count in of_files.values.items()]
        table[of_files.property] = ", ".join(values[:3]) + more
    return [
        {"what": said_of(what, audit.noun), "found": said_of(value, audit.noun)}
        for what, value in table.items()
    ]


def _groups(audit: Audit) -> str:
    if audit.groups is None:
        return "none known"
    joined = (
        " (those that share copies are joined into one)"
        if audit.exact_duplicates.across_groups
        else ""
    )
    return f"{audit.groups:,}{joined}, {audit.groups_cut:,} cut"


def _percent(share: float | None) -> str:
    return "not measured" if share is None else percent(share)


def amount(name: StatisticName, value: float) -> str:
    """Return a statistic's value with its unit: "307 ms", "48.2 %"."""
    if name in SHARES:
        return per_cent(value)
    return f"{value:,.0f}{UNITS.get(name, '')}"


def told(share: float | None) -> str:
    """Return the share that was told: "31.6 %"; "–" where nothing was asked."""
    return "–" if share is None else per_cent(share)


def _statistics_rows(statistics: Statistics) -> dict[str, str]:
    """Return the rows of the audit's table on recordings."""
    table = {"hot pixels": listed([f"({x}, {y})" for x, y in statistics.hot_pixels]) or "none"}
    if statistics.class_accuracy is not None:
        table["statistics alone"] = (
            f"{per_cent(statistics.class_accuracy)} accuracy (length, event rate and so on, no "
            f"frame)"
        )
    if statistics.side_accuracy is not None:
        table["sides told"] = (
            f"{per_cent(statistics.side_accuracy)} of training and test recordings (a coin: 50 %)"
        )
    return table


def medians(statistics: Statistics) -> list[dict[str, str]]:
    """Return a row for each statistic: its median on each side, and how often it tells class and
    side by itself.
    """
    return [
        {
            "median": statistic.name,
            **{
                SIDES[side]: amount(statistic.name, value)
                for side, value in statistic.sides.items()
            },
            "class told": told(statistic.class_accuracy),
            "side told": told(statistic.side_accuracy),
        }
        for statistic in statistics.statistics
    ]
