"""An audit in words: a sentence for each finding, the rows of its table, and its JSON document."""

from collections.abc import Sequence
from string import Formatter
from typing import Any

from spikeduel.results.audit import FEW_TEST_IMAGES, Audit, Finding, FindingKind, Remedy
from spikeduel.results.words.numbers import per_cent
from spikeduel.system import typed

MOST_NAMED = 6
SMALL_SHARE = 0.001

PIXELS_ARE_NOT_ALL = (
    "Pixels cannot show every leak: two pictures of one person or object that look different are found only if groups "
    "are given."
)


_SENTENCES: dict[FindingKind, str] = {
    "test_in_training": (
        "{count:,} test image{s} ({share}) {has} an exact copy in training. A network can answer {them} from memory."
    ),
    "conflicting_labels": (
        "{count:,} set{s} of equal images ({audit.exact_duplicates.conflicting_images:,} images) {has} different "
        "labels{listed}. At least one label is wrong. Correct the labels or remove the images."
    ),
    "cut_groups": (
        "The split cuts {count:,} group{s}: {share} of the test images have relatives in training, which show the same "
        "person or thing. Scores then measure memory, not recognition."
    ),
    "leakage": (
        "Leakage: {share} of the test images have a sibling in training (same group, or nearly the same picture). An "
        "untrained nearest neighbour scores {audit.probe.accuracy:.1%}, and {audit.probe.accuracy_if_grouped:.1%} "
        "without these siblings (chance: {audit.probe.chance:.1%}). A network can answer from memory."
    ),
    "near_test_in_training": (
        "{share} of the test images have a near duplicate in training. Scores on them measure memory as much as "
        "recognition."
    ),
    "unreadable_files": (
        "{count:,} unreadable file{s}{listed}. Remove or replace {them}: nothing can be trained before."
    ),
    "groups_joined": (
        "{count:,} set{s} of equal images {lies} in several groups, such as under several people. These groups are "
        "joined, so that no split cuts them."
    ),
    "validation_copies": (
        "Validation is slightly optimistic: {count:,} duplicate{s}. Remove {them} or pass --group-by."
    ),
    "copies_on_one_side": (
        "{count:,} duplicate{s} on the same side of the split: there are fewer different images than it seems."
    ),
    "near_across_sides": (
        "{count:,} image{s} of validation or test {has} a near duplicate on another side "
        "({audit.near_duplicates.test_in_training:,} of the {audit.counts.test:,} test images in training). Look at "
        "the pairs in the report."
    ),
    "groups_cut_at_validation": (
        "{count:,} group{s} {lies} on two sides, but not on training and test. Validation scores may be too high."
    ),
    "unbalanced_classes": (
        "Classes are unbalanced: {classes[0].total:,} images of {names[0]}, {classes[1].total:,} of {names[1]}. Look "
        "at F1 and the scores by class, not at accuracy alone."
    ),
    "few_test_images": (
        "{count:,} class{es} {has} fewer than {few} test images{listed}. The scores by class are uncertain there."
    ),
    "class_shares_differ": (
        "Training and test differ in their classes: {names[0]} is {train_share:.1%} of the training images and "
        "{share} of the test images."
    ),
    "format_tells_class": (
        "The {names[0]} of a file tells its class: alone, it predicts {format.class_accuracy:.1%} of the test images "
        "(always the most frequent class: {format.class_chance:.1%}). A network may learn what comes with it, such as "
        "borders or traces of compression."
    ),
    "format_tells_side": (
        "The {names[0]} of files differs between the sides of the split (Cramér's V {format.split_association:.2f}). "
        "Test images are of another kind than training images."
    ),
    "searched_a_sample": (
        "Near duplicates and distances are those of a sample, always the same: {sampled} images. Each was compared "
        "with all training images."
    ),
}
_REMEDIES: dict[Remedy, str] = {
    "use_default_split": "Use --split default: it keeps groups and copies on one side.",
    "divide_the_data_anew": "Move relatives to one side of train/ and test/, or test on other images.",
    "give_groups": "Say which images belong together (--group-by), so that the split keeps them on one side.",
    "remove_copies": "Remove the copies from training or test.",
}


class _Words(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        text = format(value, format_spec)
        return text.replace("%", " %") if format_spec.endswith("%") else text


_WORDS = _Words()


def sentence(finding: Finding, audit: Audit) -> str:
    """What was found, how many, why it matters, what to do."""
    is_one = finding.count == 1
    classes = [audit.class_sides[name] for name in finding.names if name in audit.class_sides]
    text = _WORDS.format(
        _SENTENCES[finding.kind],
        audit=audit,
        count=finding.count,
        share=_percent(finding.share),
        names=finding.names,
        listed=f": {_some(finding.names)}" if finding.names else "",
        classes=classes,
        train_share=classes[0].train / max(1, audit.counts.train) if classes else 0.0,
        format=next((each for each in audit.formats if each.property in finding.names), None),
        sampled=_sampled(audit),
        few=FEW_TEST_IMAGES,
        s="" if is_one else "s",
        es="" if is_one else "es",
        has="has" if is_one else "have",
        lies="lies" if is_one else "lie",
        them="it" if is_one else "them",
    )
    return f"{text} {_REMEDIES[finding.remedy]}" if finding.remedy else text


def _sampled(audit: Audit) -> str:
    sides = (("training", "train"), ("validation", "val"), ("test", "test"))
    numbers = [(getattr(audit.searched, side), getattr(audit.counts, side), title) for title, side in sides]
    return ", ".join(f"{searched:,} of {count:,} {title}" for searched, count, title in numbers if searched < count)


def document(audit: Audit) -> dict[str, Any]:
    """What `audit --json`, `audit.json` and results.json's `dataset.audit` hold: all but the details, and sentences."""
    content = typed.plain(audit)
    del content["details"]
    return {
        "ok": audit.ok,
        "problems": audit.problems,
        "notes": audit.notes,
        **content,
        "near_definition": near_definition(audit),
    }


def near_definition(audit: Audit) -> str:
    """What counts as a near duplicate."""
    return (
        f"Two images are near duplicates where the distance between their small grey versions (mean removed, scaled to "
        f"length 1) is below {audit.near:g} times the usual one: the median, over {audit.near_portions} equal random "
        "portions of the training images, of the distance to the nearest image in the portion. Exact duplicates are "
        "counted apart."
    )


def rows(audit: Audit) -> list[dict[str, str]]:
    """The numbers of an audit, as rows of a table."""
    exact, near, probe, counts = audit.exact_duplicates, audit.near_duplicates, audit.probe, audit.counts
    table = {
        "images": f"{counts.train:,} training, {counts.val:,} validation, {counts.test:,} test",
        "classes": f"{len(audit.classes)}",
        "split": audit.split,
        "exact copies": f"{exact.within:,} within a side, {exact.across:,} across sides",
        "conflicting labels": _sets(exact.conflicting),
        "near duplicates": f"{near.within:,} images within a side, {near.across:,} across sides",
        "groups": _groups(audit),
        "unreadable files": f"{len(audit.unreadable):,}",
        "nearest neighbour": f"{_percent(probe.accuracy)} accuracy (small grey images, nothing trained)",
        "without siblings": f"{_percent(probe.accuracy_if_grouped)} accuracy (no sibling in training)",
        "split over files": f"{_percent(probe.accuracy_if_ungrouped)} accuracy (groups cut)",
        "chance": f"{_percent(probe.chance)} accuracy (always training's most frequent class)",
        "siblings in training": f"{_percent(probe.siblings_in_train)} of the test images",
    }
    if probe.accuracy_if_ungrouped is None:
        del table["split over files"]
    if exact.across_groups is not None:
        table["copies across groups"] = _sets(exact.across_groups)
    for file_property in audit.formats:
        values = [f"{value} ({count:,})" for value, count in file_property.values.items()]
        table[file_property.property] = _some(values, 3, file_property.num_values)
    return [{"what": what, "found": value} for what, value in table.items()]


def _groups(audit: Audit) -> str:
    if audit.groups is None:
        return "none known"
    joined = " (those that share copies are joined into one)" if audit.exact_duplicates.across_groups else ""
    return f"{audit.groups:,}{joined}, {audit.groups_cut:,} cut"


def _sets(number: int) -> str:
    return f"{number:,} set{'' if number == 1 else 's'} of equal images"


def _percent(share: float | None) -> str:
    if share is None:
        return "not measured"
    return per_cent(share, 2 if 0 < share < SMALL_SHARE else 1)


def _some(names: Sequence[str], most: int = MOST_NAMED, total: int | None = None) -> str:
    total = total or len(names)
    return ", ".join(names[:most]) + (f" and {total - most:,} more" if total > most else "")
