"""An audit in words: a sentence for each finding, the rows of its table, and its JSON document."""

from string import Formatter
from typing import Any

from spikeduel.results.audit import (
    FEW_TEST_IMAGES,
    PICTURES_LEFT_OUT,
    PROBLEM_ABOVE,
    Audit,
    Finding,
    FindingKind,
    Move,
    Pair,
    Remedy,
)
from spikeduel.results.file_counts import FileCounts
from spikeduel.results.significance import FEWEST_GROUPS
from spikeduel.results.words import statistics
from spikeduel.results.words.file_counts import by_ending, described, opening
from spikeduel.results.words.nouns import said_of
from spikeduel.results.words.numbers import per_cent
from spikeduel.system import typed
from spikeduel.system.sentences import MOST_NAMED, counted, listed

SMALL_SHARE = 0.001
STRETCHES = ("a stretch on two sides", "a stretch on one side")


_SENTENCES: dict[FindingKind, str] = {
    "test_in_training": (
        "{count:test image} ({shared}) {one:has|have} an exact copy in training. A network can "
        "answer {one:it|them} from memory."
    ),
    "conflicting_labels": (
        "{count:set} of equal images ({audit.exact_duplicates.conflicting_images:,} images) "
        "{one:has|have} different labels{named}. At least one label is wrong. Correct the labels "
        "or remove the images."
    ),
    "cut_groups": (
        "The split cuts {count:group}: {shared} of the test images have relatives in training, "
        "which show the same person or thing. Scores then measure memory, not recognition."
    ),
    "leakage": (
        "Leakage: {shared} of the test images have a sibling in training (same group, or nearly "
        "the same picture). An untrained nearest neighbour scores {audit.probe.accuracy:.1%}, and "
        "{audit.probe.accuracy_if_grouped:.1%} without these siblings (always training's most "
        "frequent class: {audit.probe.chance:.1%}). A network can answer from memory."
    ),
    "near_test_in_training": (
        "{shared} of the test images have a near duplicate in training. Scores on them measure "
        "memory as much as recognition."
    ),
    "moved_test_in_training": (
        "{count:test image} ({shared}) "
        "{one:is a moved copy of a training image|are moved copies of training images}: shifted, "
        "turned, mirrored, cropped or scaled. Scores on {one:it|them} measure memory as much as "
        "recognition."
    ),
    "unreadable_files": (
        "{count:unreadable file}{named}. Remove or replace {one:it|them} before training."
    ),
    "groups_joined": (
        "{count:set} of equal images {one:lies|lie} in several groups, such as under several "
        "people. These groups are joined, so that no split cuts them."
    ),
    "validation_copies": (
        "Validation is slightly optimistic: {count:duplicate}. Remove {one:it|them} or pass "
        "--group-by."
    ),
    "copies_on_one_side": (
        "{count:duplicate} on the same side of the split: there are fewer different images than it "
        "seems."
    ),
    "near_across_sides": (
        "{count:image} of validation or test {one:has|have} a near duplicate on another side "
        "({audit.near_duplicates.test_in_training:,} of the {audit.counts.test:,} test images in "
        "training). {here:The pairs are below.|Look at the pairs in the report.}"
    ),
    "moved_across_sides": (
        "{count:image} of validation or test {one:looks|look} like the shifted, turned, mirrored, "
        "cropped or scaled copy of one on another side ({moved:,} of the {audit.counts.test:,} "
        "test images of one in training). "
        "{here:The pairs are below.|Look at the pairs in the report.}"
    ),
    "groups_cut_at_validation": (
        "{count:group} {one:lies|lie} on two sides, but not on training and test. Validation "
        "scores may be too high."
    ),
    "unbalanced_classes": (
        "Classes are unbalanced: {classes[0].total:,} images of {names[0]}, {classes[1].total:,} "
        "of {names[1]}. Look at F1 and the scores by class, not at accuracy alone."
    ),
    "few_test_images": (
        "{count:class} {one:has|have} fewer than {few} test images{named}. The scores by class are "
        "uncertain there."
    ),
    "few_test_groups": (
        "The test images are of {count:group}. What is special to {one:it|them} weighs heavily, "
        "and with fewer than "
        f"{FEWEST_GROUPS} nobody can be called better. --folds 5 tests all groups."
    ),
    "names_tell_groups": (
        "The names of files form {count:group}, such as {names[1]} with {names[2]}. If these are "
        "people or objects, keep each on one side: --group-by '{names[0]}'."
    ),
    "class_shares_differ": (
        "Training and test differ in their classes: {names[0]} is {train_share:.1%} of the "
        "training images and {shared} of the test images."
    ),
    "format_tells_class": (
        "The {names[0]} of a file tells its class: alone, it predicts {format.class_accuracy:.1%} "
        "of the test images (always training's most frequent class: {format.class_chance:.1%}). A "
        "network may learn what comes with it, such as borders or traces of compression."
    ),
    "format_tells_side": (
        "The {names[0]} of files differs between the sides of the split (Cramér's V "
        "{format.split_association:.2f}). Test images are of another kind than training images."
    ),
    "searched_a_sample": (
        "Near duplicates and distances are those of a sample, always the same: {sampled} images. "
        "Each was compared with all training images."
    ),
    "labels_to_check": (
        "{count:label} ({shared} of {audit.labels.examined:,}) may be wrong: the nearest "
        "neighbours have another one. Some only look like another class. labels.csv (of a run, or "
        "of audit --out) lists them. Nothing was changed."
    ),
    "pictures_not_opened": (
        "{count:picture} ({shared} of the pictures in the folder) cannot be opened here and "
        "{one:was|were} ignored: {ignored}. {opening}"
    ),
    "pictures_without_ending": (
        "{count:file} ({shared} of the pictures in the folder) {one:begins|begin} like a picture "
        "and {one:has|have} another ending: {ignored}. {one:It was|They were} ignored. Rename "
        "{one:it|them}."
    ),
    "pictures_outside_classes": (
        "{count:file} ({shared} of those that could be read) {one:lies|lie} outside the class "
        "folders and {one:was|were} ignored: {ignored}. Move {one:it|them} into the folder of a "
        "class, or out of the data folder."
    ),
    "many_files_ignored": "{count:file} in the folder {one:was|were} ignored: {ignored}.",
    "stretch_test_in_training": (
        "{count:test recording} ({shared}) {one:shares|share} a stretch of events with a training "
        "recording: both were cut from one recording, or one is a part of the other. A network "
        "can answer {one:it|them} from memory."
    ),
    "stretches_elsewhere": (
        "Validation is slightly optimistic: {count:recording} {one:shares|share} a stretch of "
        "events with a recording of another side. "
        "{here:The pairs are below.|Look at the pairs in the report.}"
    ),
    "statistics_tell_class": (
        "A few numbers of a recording tell its class{named}. A classifier of these and the like, "
        "without any frame, predicts {shared} of the test recordings (always training's most "
        "frequent class: {audit.statistics.class_chance:.1%}). What a network scores up to that "
        "need not come from what was seen."
    ),
    "statistics_tell_side": (
        "Training and test recordings differ in a few numbers{named}. A classifier of these and "
        "the like, without any frame, tells {shared} of them apart (a coin: 50 %). Test "
        "recordings are of another kind than training recordings. "
        "{here:The medians are below.|The medians are in the report.}"
    ),
    "hot_pixels": (
        "{count:pixel} {one:has|have} many times the events of others in most recordings of a "
        "side or class, whatever is seen: {named}. Leave {one:its|their} events out of the files."
    ),
}
_REMEDIES: dict[Remedy, str] = {
    "use_default_split": "Use --split default: it keeps groups and copies on one side.",
    "divide_the_data_anew": "Move relatives to one side of train/ and test/, or test on other images.",
    "give_groups": "Say which images belong together (--group-by), so that the split keeps them on one side.",
    "give_found_groups": "Keep them on one side: groups.csv of audit --out says which belong together (--group-by).",
    "remove_copies": "Remove the copies from training or test.",
    "fix_length": "Take the same time of each (--set last_ms=…), or frames of equally many events (--bin-by events).",
    "bin_by_events": "Frames of equally many events (--bin-by events) hide the rate; the number of events still shows.",
}


class _Words(Formatter):
    """Templates of sentences, in which numbers and names stand as `words.numbers` writes them.

    `{share:.1%}` gives "91.2 %", `{number:seed}` "6 seeds", `{names}` of a list "a, b and c", and
    of a bool `{is_one:has|have}` the word before or behind the bar.
    """

    def format_field(self, value: Any, format_spec: str) -> str:
        if isinstance(value, bool):
            return format_spec.split("|")[not value]
        if isinstance(value, list):
            return listed(value)
        if len(format_spec) > 1 and format_spec.replace(" ", "").isalpha():
            return counted(value, format_spec)
        text = format(value, format_spec)
        return text.replace("%", " %") if format_spec.endswith("%") else text


filled = _Words().format


def sentence(finding: Finding, audit: Audit, here: bool = False) -> str:
    """What was found, how many, why it matters, what to do; `here`: on the page that shows the
    details below it.
    """
    classes = [audit.class_sides[name] for name in finding.names if name in audit.class_sides]
    named = listed(finding.names) if len(finding.names) > MOST_NAMED else ", ".join(finding.names)
    sides = {"train": "training", "val": "validation", "test": "test"}
    searched = {
        side: (getattr(audit.searched, side), getattr(audit.counts, side)) for side in sides
    }
    text = filled(
        _SENTENCES[finding.kind],
        audit=audit,
        count=finding.count,
        one=finding.count == 1,
        here=here,
        shared=_percent(finding.share),
        names=finding.names,
        named=f": {named}" if named else "",
        classes=classes,
        train_share=classes[0].train / max(1, audit.counts.train) if classes else 0.0,
        format=next((each for each in audit.formats if each.property in finding.names), None),
        sampled=", ".join(
            f"{n:,} of {of:,} {sides[side]}" for side, (n, of) in searched.items() if n < of
        ),
        few=FEW_TEST_IMAGES,
        moved=audit.moved_copies.test_in_training if audit.moved_copies else 0,
        ignored=_ignored_by(finding, audit.files),
        opening=opening(finding.names),
    )
    remedy = _REMEDIES[finding.remedy] if finding.remedy else ""
    return said_of(
        " ".join(part for part in (text, remedy, _threshold(finding)) if part), audit.noun
    )


def not_all(audit: Audit) -> str:
    """What no audit can find."""
    text = "Pixels cannot show every leak: two images of one person or object that look different are found only if "
    return said_of(f"{text}groups are given.", audit.noun)


def _threshold(finding: Finding) -> str:
    """From which share on a finding is a problem, where that is not any."""
    above = PROBLEM_ABOVE.get(finding.kind, 0.0)
    if not above:
        return ""
    of = "test images" if finding.kind.endswith("in_training") else "pictures"
    of = "images" if finding.kind == "conflicting_labels" else of
    return f"A problem above {100 * above:g} % of the {of}."


def _ignored_by(finding: Finding, files: FileCounts | None) -> str:
    """The ignored files that a finding is about, by ending and rule."""
    rules = [rule for rule, kind in PICTURES_LEFT_OUT.items() if kind == finding.kind]
    found = [each for each in (files.ignored if files else ()) if each.rule in rules]
    if rules:
        return "; ".join(by_ending(each.endings) for each in found)
    return (
        "; ".join(described(each) for each in files.ignored if each.rule not in PICTURES_LEFT_OUT)
        if files
        else ""
    )


def _ignored(files: FileCounts) -> str:
    return ", ".join(f"{each.count:,} {each.rule}" for each in files.ignored) or "none"


def problems(audit: Audit, here: bool = False) -> list[str]:
    """What would invalidate a result, a sentence each."""
    return [sentence(finding, audit, here) for finding in audit.problems]


def notes(audit: Audit, here: bool = False) -> list[str]:
    """What is worth knowing, a sentence each."""
    return [sentence(finding, audit, here) for finding in audit.notes]


def document(audit: Audit) -> dict[str, Any]:
    """What `audit --json`, `audit.json` and results.json's `dataset.audit` hold: all but the
    details, and sentences.
    """
    content = typed.plain(audit)
    del content["details"]
    said = {"ok": audit.ok, "problems": problems(audit), "notes": notes(audit)}
    return {**said, **content, "near_definition": near_definition(audit)}


def near_definition(audit: Audit) -> str:
    """What counts as a near duplicate."""
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
    """How near the two of a pair are: "0.21 of the usual", or "98.0 % of events shared"."""
    if pair.kind in STRETCHES:
        return f"{per_cent(1 - pair.ratio)} of events shared"
    return f"{pair.ratio:.2f} of the usual"


def move_in_words(move: Move) -> str:
    """How an image was moved, as "mirrored, turned by 8°, shifted by 2 pixels"."""
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
        "nearest neighbour": f"{_percent(probe.accuracy)} accuracy (small grey images, nothing trained)",
        "without siblings": f"{_percent(probe.accuracy_if_grouped)} accuracy (no sibling in training)",
        "split over files": f"{_percent(probe.accuracy_if_ungrouped)} accuracy (groups cut)",
        "constant answer": f"{_percent(probe.chance)} accuracy (always training's most frequent class)",
        "siblings in training": f"{_percent(probe.siblings_in_train)} of the test images",
    }
    if moved := audit.moved_copies:
        table["moved copies"] = f"{moved.across:,} across sides"
    if stretches := audit.stretches:
        table["shared stretches"] = (
            f"{stretches.within:,} images within a side, {stretches.across:,} across sides"
        )
    if audit.statistics:
        table |= statistics.rows(audit.statistics)
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
    if share is None:
        return "not measured"
    return per_cent(share, 2 if 0 < share < SMALL_SHARE else 1)
