import pytest
from msgspec.structs import replace

from made_audits import STATISTICS, audit_with
from spikeduel.auditing.audit_results import (
    Counts,
    DuplicateCounts,
    FileCounts,
    FileProperty,
    IgnoredFiles,
    LabelCheck,
    SuggestedGroups,
)
from spikeduel.auditing.audit_sentences import all_clear
from spikeduel.auditing.duplicate_checks import GROUPED
from spikeduel.auditing.examining import findings
from spikeduel.auditing.labels import MAX_CLASS_RATIO
from spikeduel.system.finding_tables import finding

ANEW = "divide the data anew"
OWN = ("--group-by", "remove the copies")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"exact_duplicates": {"test_in_training": 6, "across": 6}},
            finding("test_in_training", count=6, share=0.006, remedy="remove the copies"),
        ),
        (
            {
                "exact_duplicates": {
                    "conflicting": 1,
                    "conflicting_images": 20,
                    "conflicting_files": ("a", "b"),
                }
            },
            finding("conflicting_labels", count=1, images=20, share=20 / 1900, names=["a", "b"]),
        ),
        (
            {"groups_cut": 1, "groups_cut_test_images": 1},
            finding("cut_groups", count=1, share=0.001, remedy=ANEW),
        ),
        (
            {"probe": {"accuracy_if_grouped": 0.9, "near_duplicates_in_train": 0.1}},
            finding(
                "leaking_near_duplicates",
                share=0.1,
                accuracy=0.97,
                accuracy_if_grouped=0.9,
                chance=0.5,
                remedy=ANEW,
            ),
        ),
        (
            {"probe": {"near_duplicates_in_train": 0.06}},
            finding("near_test_in_training", share=0.06, above=0.05, remedy=ANEW),
        ),
        (
            {"unreadable": ("x.png: broken", "y.png: empty")},
            finding("unreadable_files", count=2, names=["x.png: broken", "y.png: empty"]),
        ),
    ],
)
def test_what_invalidates_a_result(changes, expected):
    assert findings(audit_with(**changes)) == (expected,)
    assert expected.is_problem


def format_of(accuracy, association):
    return FileProperty(
        property="size",
        num_values=2,
        values={"8×8": 3, "9×9": 2},
        class_accuracy=accuracy,
        class_chance=0.5,
        split_association=association,
    )


FEW_DOGS = {"cat": Counts(train=400, val=50, test=500), "dog": Counts(train=30, val=0, test=5)}
FEW_CATS = {"cat": Counts(train=400, val=50, test=50), "dog": Counts(train=400, val=50, test=500)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"exact_duplicates": {"test_in_training": 5, "across": 5}},
            finding("test_in_training", count=5, share=0.005, remedy="remove the copies"),
        ),
        (
            {"exact_duplicates": {"conflicting": 9, "conflicting_images": 19}},
            finding("conflicting_labels", count=9, images=19, share=0.01, names=None),
        ),
        (
            {"labels": LabelCheck(examined=1900, agreement=0.9, suspects=190)},
            finding("labels_to_check", count=190, share=0.1, examined=1900),
        ),
        (
            {"near_duplicates": {"across": 40, "test_in_training": 30}},
            finding("near_across_splits", count=40, in_training=30, num_test=1000),
        ),
        (
            {"geometric_duplicates": DuplicateCounts(across=40, test_in_training=30)},
            finding("transformed_across_splits", count=40, in_training=30, num_test=1000),
        ),
        (
            {"photometric_duplicates": DuplicateCounts(across=40, test_in_training=30)},
            finding("transformed_across_splits", count=40, in_training=30, num_test=1000),
        ),
        ({"plain_drawings": 22}, finding("plain_drawings", count=22)),
        (
            {
                "counts": Counts(train=80, val=10, test=58),
                "class_splits": dict.fromkeys(["cat", "dog"], Counts(train=40, val=5, test=29)),
            },
            finding("too_few_to_audit", count=58, fewest=59, share=0.05),
        ),
        (
            {"labels": LabelCheck(examined=9, agreement=0.9, suspects=0, unjudged=("dog",))},
            finding("labels_not_judged", count=1, names=["dog"], ratio=MAX_CLASS_RATIO),
        ),
        ({"exact_duplicates": {"across": 2}}, finding("validation_copies", count=2)),
        ({"groups_cut": 2}, finding("groups_cut_at_validation", count=2)),
        (
            {"suggested_groups": SuggestedGroups(pattern="(.)_", groups=9, alike=("a_1", "a_2"))},
            finding("names_tell_groups", count=9, first="a_1", second="a_2", pattern="(.)_"),
        ),
        (
            {"groups": 9, "groups_tested": 5},
            finding("few_test_groups", count=5, fewest=6),
        ),
        (
            {"formats": (format_of(0.7, 0.5),)},
            finding("format_tells_class", property="size", accuracy=0.7, chance=0.5),
        ),
        (
            {"formats": (format_of(0.7, 0.5),)},
            finding("format_tells_split", property="size", association=0.5),
        ),
        (
            {"class_splits": FEW_DOGS},
            finding(
                "unbalanced_classes", most="cat", most_images=950, least="dog", least_images=35
            ),
        ),
        (
            {"class_splits": FEW_DOGS},
            finding("classes_with_few_test_images", count=1, few=10, names=["dog"]),
        ),
        (
            {"class_splits": FEW_CATS},
            finding("class_shares_differ", name="cat", train_share=0.5, test_share=0.05),
        ),
    ],
)
def test_what_is_worth_knowing(changes, expected):
    told = findings(audit_with(**changes))
    assert expected in told
    assert not any(finding.is_problem for finding in told)


@pytest.mark.parametrize(
    ("split", "files", "of_groups", "of_copies"),
    [
        ("published", None, GROUPED, GROUPED),
        ("official", None, "divide the data anew", "remove the copies"),
        ("stratified", FileCounts(read={}, unreadable=0, ignored=()), *OWN),
        # A known set brings its groups, and refuses others.
        ("stratified", None, "remove the copies", "remove the copies"),
    ],
)
def test_the_remedy_fits_the_split(split, files, of_groups, of_copies):
    told = findings(
        audit_with(
            split=split,
            files=files,
            groups_cut=5,
            groups_cut_test_images=9,
            exact_duplicates={"test_in_training": 9, "across": 9},
        )
    )
    assert [finding.remedy for finding in told] == [of_copies, of_groups]


def test_many_moved_copies_are_a_problem():
    moved = DuplicateCounts(across=60, test_in_training=51)
    expected = finding(
        "transformed_test_in_training", count=51, share=0.051, above=0.05, remedy=ANEW
    )
    # The note would only repeat it.
    assert findings(audit_with(geometric_duplicates=moved)) == (expected,)
    # Edited copies count as much.
    edited = DuplicateCounts(across=20, test_in_training=17)
    moved_less = DuplicateCounts(across=40, test_in_training=34)
    together = findings(audit_with(geometric_duplicates=moved_less, photometric_duplicates=edited))
    assert together[0] == expected
    # Where the split cuts groups, that is said instead.
    cut = audit_with(geometric_duplicates=moved, groups_cut=1, groups_cut_test_images=1)
    assert [finding.id for finding in findings(cut)] == ["cut_groups", "transformed_across_splits"]


def test_shared_segments_in_training_are_a_problem_as_exact_copies_are():
    def of_segments(count):
        segments = DuplicateCounts(across=count, test_in_training=count)
        return findings(
            audit_with(shared_segments=segments, noun="recording", statistics=STATISTICS)
        )

    (few,), (many,) = of_segments(5), of_segments(6)
    assert (few.id, few.is_problem, few.remedy) == (
        "shared_segment_test_in_training",
        False,
        "divide the data anew",
    )
    assert (many.values, many.is_problem) == ({"count": 6, "share": 0.006}, True)


def test_statistics_that_tell_are_named_the_most_telling_first():
    events = replace(
        STATISTICS.statistics[0], name="events", class_accuracy=0.9, split_accuracy=0.7
    )
    statistics = replace(
        STATISTICS,
        statistics=(*STATISTICS.statistics, events),
        class_accuracy=0.95,
        split_accuracy=0.72,
    )
    assert findings(audit_with(statistics=statistics)) == (
        finding(
            "statistics_tell_class",
            share=0.95,
            names=["events", "length"],
            chance=STATISTICS.class_chance,
            remedy="--bin-ms N",
        ),
        finding("statistics_tell_split", share=0.72, names=["events"]),
    )
    few = replace(statistics, num_tested=3, num_groups=10)
    assert findings(audit_with(statistics=few)) == ()
    assert findings(audit_with(statistics=STATISTICS)) == ()


FEW = Counts(train=400, val=50, test=10)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        # A high score alone is no leak.
        ({}, []),
        ({"formats": (format_of(0.7, 0.5),)}, ["format_tells_class", "format_tells_split"]),
        ({"formats": (format_of(0.51, 0.1),)}, []),
        # Of 20 test images, 0.7 is no more than chance would tell.
        (
            {
                "formats": (format_of(0.7, 0.1),),
                "class_splits": {"cat": FEW, "dog": FEW},
                "counts": Counts(train=800, val=100, test=20),
            },
            ["too_few_to_audit"],
        ),
        # Nor are a few siblings of few images.
        ({"probe": {"near_duplicates_in_train": 0.08, "n": 25}}, []),
        ({"probe": {"accuracy_if_grouped": 0.87, "near_duplicates_in_train": 0.1, "n": 20}}, []),
    ],
)
def test_more_than_chance_is_told(changes, told):
    assert [finding.id for finding in findings(audit_with(**changes))] == told


def files_with(rule: str, count: int, read: int = 1000) -> FileCounts:
    ignored = IgnoredFiles(rule=rule, count=count, endings={".x": count})
    return FileCounts(read={".png": read}, unreadable=0, ignored=(ignored,))


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        ("format not opened here", "pictures_not_opened"),
        ("picture without its ending", "pictures_without_ending"),
        ("outside the class folders", "pictures_outside_classes"),
        ("recording beside images", "recordings_beside_images"),
    ],
)
def test_pictures_that_vanish_are_a_problem_above_a_share(rule, kind):
    (few,) = findings(audit_with(files=files_with(rule, 1)))
    assert (few.id, few.values["files"], few.is_problem) == (kind, "1 .x", False)
    (many,) = findings(audit_with(files=files_with(rule, 2)))
    assert (many.values["share"], many.is_problem) == (2 / 1002, True)


@pytest.mark.parametrize(("images", "is_told"), [(58, False), (59, True)])
def test_a_clean_audit_of_few_images_is_no_all_clear(images, is_told):
    audit = audit_with(counts=Counts(train=800, val=100, test=images))
    assert bool(all_clear(replace(audit, conclusions=findings(audit)))) is is_told


def test_too_few_images_to_find_a_problem_are_told_only_where_none_was_found():
    few = {"counts": Counts(train=800, val=100, test=30), "groups_cut": 1}
    assert findings(audit_with(**few))[0].id == "too_few_to_audit"
    told = [finding.id for finding in findings(audit_with(**few, groups_cut_test_images=3))]
    assert told[0] == "cut_groups"
    assert "too_few_to_audit" not in told


@pytest.mark.parametrize(("images", "is_told"), [(3, False), (300, True)])
def test_shares_of_classes_differ_by_more_than_luck(images, is_told):
    sides = {
        "cat": Counts(train=100, val=0, test=images * 2 // 3),
        "dog": Counts(train=100, val=0, test=images // 3),
    }
    audit = audit_with(class_splits=sides, counts=Counts(train=200, val=0, test=images))
    assert ("class_shares_differ" in {told.id for told in findings(audit)}) is is_told
