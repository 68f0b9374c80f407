"""What the numbers of an audit mean: problems, which invalidate a result, and notes, which are
worth knowing.
"""

from collections.abc import Iterator

from spikeduel.results.audit import (
    FEW_TEST_IMAGES,
    PICTURES_LEFT_OUT,
    PROBLEM_ABOVE,
    Audit,
    FileProperty,
    Finding,
    FindingKind,
    Remedy,
)
from spikeduel.results.file_counts import FileCounts
from spikeduel.results.significance import FEWEST_GROUPS
from spikeduel.results.statistics import Name, Statistics

SMALL_SHARE = 0.001
"""Near duplicates across sides up to this share of the images move no result by a tenth of a
point.
"""
GAP = 0.05
"""How much the probe may lose without siblings; and what a file's format may tell about the
class.
"""
MOVED_SHARE = 0.005
"""Moved copies up to this share of validation and test images are what images that are alike by
nature may give.
"""
FEWEST = 3
"""Near duplicates and gaps of fewer test images than this are not called a problem: near is a
judgement.
"""
MANY_IGNORED = 0.1
"""Of the pictures read: so many files that are no pictures are worth a word."""
IMBALANCE = 10
ASSOCIATION = 0.3
SURE = 2.0
"""Standard deviations that a score has to lie above chance."""
SIDE_GAP = 0.1
"""A coin tells the side of half the recordings; a little more is no other kind of recordings."""
MOST_STATISTICS = 3
REMEDIES: dict[Name, Remedy] = {
    "length": "fix_length",
    "events": "bin_by_events",
    "event rate": "bin_by_events",
}


def findings(audit: Audit) -> tuple[Finding, ...]:
    """What may be concluded from an audit's numbers, the problems first."""
    return tuple(
        sorted((*_leaks(audit), *_peculiarities(audit)), key=lambda finding: not finding.is_problem)
    )


def _leaks(audit: Audit) -> Iterator[Finding]:
    """Where the test set is in training, in part or almost, or cannot be trusted itself."""
    exact, probe, cut, num_test = (
        audit.exact_duplicates,
        audit.probe,
        audit.groups_cut_test_images,
        audit.counts.test,
    )
    keep_groups: Remedy = "divide_the_data_anew" if audit.split == "official" else "give_groups"
    if audit.split == "published":
        keep_groups = "use_default_split"
    if exact.test_in_training:
        yield Finding(
            kind="test_in_training",
            is_problem=exact.test_in_training > PROBLEM_ABOVE["test_in_training"] * num_test,
            count=exact.test_in_training,
            share=exact.test_in_training / num_test,
            remedy="use_default_split" if audit.split == "published" else "remove_copies",
        )
    if exact.conflicting_images:
        yield Finding(
            kind="conflicting_labels",
            is_problem=exact.conflicting_images
            > PROBLEM_ABOVE["conflicting_labels"] * audit.counts.total,
            count=exact.conflicting,
            names=exact.conflicting_files or (),
        )
    if audit.stretches and (count := audit.stretches.test_in_training):
        yield Finding(
            kind="stretch_test_in_training",
            is_problem=count > PROBLEM_ABOVE["stretch_test_in_training"] * num_test,
            count=count,
            share=count / num_test,
            remedy="give_found_groups" if keep_groups == "give_groups" else keep_groups,
        )
    if cut:
        share = cut / num_test
        yield Finding(
            kind="cut_groups",
            is_problem=True,
            count=audit.groups_cut,
            share=share,
            remedy=keep_groups,
        )
    elif audit.groups_cut:
        yield _note("groups_cut_at_validation", audit.groups_cut)
    if (
        probe.accuracy is not None
        and probe.accuracy_if_grouped is not None
        and probe.siblings_in_train is not None
    ):
        gap, siblings = probe.accuracy - probe.accuracy_if_grouped, probe.siblings_in_train
        if has_gap := gap > GAP and gap * probe.n >= FEWEST:
            yield Finding(kind="leakage", is_problem=True, share=siblings, remedy=keep_groups)
        # Equal images, and shared stretches, are findings of their own.
        known = exact.test_in_training + (
            audit.stretches.test_in_training if audit.stretches else 0
        )
        near = siblings - known / num_test
        if (
            near > PROBLEM_ABOVE["near_test_in_training"]
            and near * probe.n >= FEWEST
            and not cut
            and not has_gap
        ):
            yield Finding(
                kind="near_test_in_training", is_problem=True, share=near, remedy=keep_groups
            )
    moved = audit.moved_copies.test_in_training if audit.moved_copies else 0
    if moved > PROBLEM_ABOVE["moved_test_in_training"] * num_test and moved >= FEWEST and not cut:
        yield Finding(
            kind="moved_test_in_training",
            is_problem=True,
            count=moved,
            share=moved / num_test,
            remedy=keep_groups,
        )
    if audit.unreadable:
        yield Finding(
            kind="unreadable_files",
            is_problem=True,
            count=len(audit.unreadable),
            names=audit.unreadable,
        )
    if audit.files:
        yield from _of_files(audit.files)


def _of_files(files: FileCounts) -> Iterator[Finding]:
    """Pictures that were not read, of which nobody may know; and many other files."""
    for rule, kind in PICTURES_LEFT_OUT.items():
        if ignored := files.by(rule):
            share = ignored.count / (files.num_read + ignored.count)
            yield Finding(
                kind=kind,
                is_problem=share > PROBLEM_ABOVE[kind],
                count=ignored.count,
                share=share,
                names=tuple(ignored.endings),
            )
    others = [each for each in files.ignored if each.rule not in PICTURES_LEFT_OUT]
    if (count := sum(each.count for each in others)) > MANY_IGNORED * files.num_read:
        yield _note(
            "many_files_ignored",
            count,
            tuple(dict.fromkeys(end for each in others for end in each.endings)),
        )


def _peculiarities(audit: Audit) -> Iterator[Finding]:
    """What is worth knowing of copies, of the classes' sizes, of the files' formats, and of the
    search.
    """
    exact, counts, sides = audit.exact_duplicates, audit.counts, audit.class_sides
    if exact.across_groups:
        yield _note("groups_joined", exact.across_groups)
    if elsewhere := exact.across - exact.test_in_training:
        yield _note("validation_copies", elsewhere)
    if exact.within:
        yield _note("copies_on_one_side", exact.within)
    if audit.labels and audit.labels.suspects:
        share = audit.labels.suspects / audit.labels.examined
        yield _note("labels_to_check", audit.labels.suspects, share=share)
    if audit.near_duplicates.across > SMALL_SHARE * (counts.test + counts.val):
        yield _note("near_across_sides", audit.near_duplicates.across)
    if audit.moved_copies and audit.moved_copies.across > MOVED_SHARE * (counts.test + counts.val):
        yield _note("moved_across_sides", audit.moved_copies.across)
    most, least = (choose(sides, key=lambda name: sides[name].total) for choose in (max, min))
    if sides[most].total > IMBALANCE * sides[least].total:
        yield _note("unbalanced_classes", names=(most, least))
    if few := tuple(name for name in sides if sides[name].test < FEW_TEST_IMAGES):
        yield _note("few_test_images", len(few), few)
    if guess := audit.suggested_groups:
        yield _note("names_tell_groups", guess.groups, (guess.pattern, *guess.alike))
    if audit.groups_tested is not None and audit.groups_tested < FEWEST_GROUPS:
        yield _note("few_test_groups", audit.groups_tested)
    train = {name: of.train / max(1, counts.train) for name, of in sides.items()}
    test = {name: of.test / max(1, counts.test) for name, of in sides.items()}
    worst = max(sides, key=lambda name: abs(train[name] - test[name]))
    if abs(train[worst] - test[worst]) > GAP:
        yield _note("class_shares_differ", share=test[worst], names=(worst,))
    for found in audit.formats:
        if _tells_class(found, counts.test, len(sides)):
            yield _note("format_tells_class", share=found.class_accuracy, names=(found.property,))
        if found.split_association > ASSOCIATION:
            yield _note("format_tells_side", names=(found.property,))
    if audit.statistics:
        yield from _of_recordings(audit, audit.statistics)
    if any(
        getattr(audit.searched, side) < getattr(counts, side) for side in ("train", "val", "test")
    ):
        yield _note("searched_a_sample", audit.searched.total)


def _of_recordings(audit: Audit, found: Statistics) -> Iterator[Finding]:
    """What recordings differ in beside what they show; and stretches that no test recording shares
    with training.
    """
    if audit.stretches and (elsewhere := audit.stretches.across - audit.stretches.test_in_training):
        yield _note("stretches_elsewhere", elsewhere)
    if found.hot_pixels:
        yield _note(
            "hot_pixels", len(found.hot_pixels), tuple(f"({x}, {y})" for x, y in found.hot_pixels)
        )
    chance = max(found.class_chance or 0, 1 / len(audit.class_sides))
    if _is_above(found.class_accuracy, chance, found.num_tested):
        yield _told(
            "statistics_tell_class",
            found.class_accuracy,
            {
                each.name: each.class_accuracy
                for each in found.statistics
                if _is_above(each.class_accuracy, chance, found.num_tested)
            },
        )
    if _is_above(found.side_accuracy, 0.5, found.num_groups, SIDE_GAP):
        yield _told(
            "statistics_tell_side",
            found.side_accuracy,
            {
                each.name: each.side_accuracy
                for each in found.statistics
                if _is_above(each.side_accuracy, 0.5, found.num_groups, SIDE_GAP)
            },
        )


def _told(kind: FindingKind, share: float | None, by: dict[Name, float | None]) -> Finding:
    """What statistics tell, named in the order of what each tells alone."""
    names = tuple(sorted(by, key=lambda name: -(by[name] or 0)))[:MOST_STATISTICS]
    remedy: Remedy | None = None
    if kind == "statistics_tell_class" and names:
        remedy = REMEDIES.get(names[0])
    return Finding(kind=kind, is_problem=False, share=share, names=names, remedy=remedy)


def _tells_class(found: FileProperty, num_test: int, num_classes: int) -> bool:
    """Whether the class is told more often than by naming one."""
    return _is_above(found.class_accuracy, max(found.class_chance or 0, 1 / num_classes), num_test)


def _is_above(accuracy: float | None, chance: float, num: int, gap: float = GAP) -> bool:
    """Whether an accuracy on `num` images lies above chance by more than few images bring about."""
    if accuracy is None or not num:
        return False
    return accuracy - chance > max(gap, SURE * (chance * (1 - chance) / num) ** 0.5)


def _note(
    kind: FindingKind,
    count: int | None = None,
    names: tuple[str, ...] = (),
    share: float | None = None,
) -> Finding:
    return Finding(kind=kind, is_problem=False, count=count, share=share, names=names)
