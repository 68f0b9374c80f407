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


PROBLEMS = [
    (
        "test_in_training",
        {"exact_duplicates": {"test_in_training": 6, "across": 6}},
        {"count": 6, "share": 0.006, "remedy": "remove the copies"},
    ),
    (
        "conflicting_labels",
        {
            "exact_duplicates": {
                "conflicting": 1,
                "conflicting_images": 20,
                "conflicting_files": ("a", "b"),
            }
        },
        {"count": 1, "images": 20, "share": 20 / 1900, "names": ["a", "b"]},
    ),
    (
        "cut_groups",
        {"groups_cut": 1, "groups_cut_test_images": 1},
        {"count": 1, "share": 0.001, "remedy": ANEW},
    ),
    (
        "leaking_near_duplicates",
        {"probe": {"accuracy_if_grouped": 0.9, "near_duplicates_in_train": 0.1}},
        {
            "share": 0.1,
            "accuracy": 0.97,
            "accuracy_if_grouped": 0.9,
            "chance": 0.5,
            "remedy": ANEW,
        },
    ),
    (
        "near_test_in_training",
        {"probe": {"near_duplicates_in_train": 0.06}},
        {"share": 0.06, "above": 0.05, "remedy": ANEW},
    ),
    (
        "transformed_test_in_training",
        {
            "geometric_duplicates": {"across": 40, "test_in_training": 34},
            "photometric_duplicates": DuplicateCounts(across=20, test_in_training=17),
        },
        {"count": 51, "share": 0.051, "above": 0.05, "remedy": ANEW},
    ),
    (
        "shared_segment_test_in_training",
        {"shared_segments": DuplicateCounts(across=6, test_in_training=6)},
        {"count": 6, "share": 0.006, "remedy": ANEW},
    ),
    (
        "unreadable_files",
        {"unreadable": ("x.png: broken", "y.png: empty")},
        {"count": 2, "names": ["x.png: broken", "y.png: empty"]},
    ),
]


@pytest.mark.parametrize(("id", "changes", "values"), PROBLEMS)
def test_a_problem_stands_alone(id, changes, values):
    (problem,) = findings(audit_with(**changes))
    assert problem == finding(id, **values)
    assert problem.is_problem


def format_of(accuracy, association):
    return FileProperty(
        property="size",
        num_values=2,
        values={"8×8": 3, "9×9": 2},
        class_accuracy=accuracy,
        class_chance=0.5,
        split_association=association,
    )


RARE_DOGS = {"cat": Counts(train=400, val=50, test=500), "dog": Counts(train=30, val=0, test=5)}
CATS_RARE_IN_TEST = {
    "cat": Counts(train=400, val=50, test=50),
    "dog": Counts(train=400, val=50, test=500),
}
ACROSS = DuplicateCounts(across=40, test_in_training=30)
OF_ACROSS = {"count": 40, "in_training": 30, "num_test": 1000}
NOTES = [
    (
        "test_in_training",
        {"exact_duplicates": {"test_in_training": 5, "across": 5}},
        {"count": 5, "share": 0.005, "remedy": "remove the copies"},
    ),
    (
        "conflicting_labels",
        {"exact_duplicates": {"conflicting": 9, "conflicting_images": 19}},
        {"count": 9, "images": 19, "share": 0.01, "names": None},
    ),
    (
        "shared_segment_test_in_training",
        {"shared_segments": DuplicateCounts(across=5, test_in_training=5)},
        {"count": 5, "share": 0.005, "remedy": ANEW},
    ),
    (
        "labels_to_check",
        {"labels": LabelCheck(examined=1900, agreement=0.9, suspects=190)},
        {"count": 190, "share": 0.1, "examined": 1900},
    ),
    ("near_across_splits", {"near_duplicates": ACROSS}, OF_ACROSS),
    ("transformed_across_splits", {"geometric_duplicates": ACROSS}, OF_ACROSS),
    ("transformed_across_splits", {"photometric_duplicates": ACROSS}, OF_ACROSS),
    ("plain_drawings", {"plain_drawings": 22}, {"count": 22}),
    (
        "labels_not_judged",
        {"labels": LabelCheck(examined=9, agreement=0.9, suspects=0, unjudged=("dog",))},
        {"count": 1, "names": ["dog"], "ratio": MAX_CLASS_RATIO},
    ),
    ("validation_copies", {"exact_duplicates": {"across": 2}}, {"count": 2}),
    ("groups_cut_at_validation", {"groups_cut": 2}, {"count": 2}),
    (
        "names_tell_groups",
        {"suggested_groups": SuggestedGroups(pattern="(.)_", groups=9, alike=("a_1", "a_2"))},
        {"count": 9, "first": "a_1", "second": "a_2", "pattern": "(.)_"},
    ),
    ("few_test_groups", {"groups": 9, "groups_tested": 5}, {"count": 5, "fewest": 6}),
    (
        "format_tells_class",
        {"formats": (format_of(0.7, 0.5),)},
        {"property": "size", "accuracy": 0.7, "chance": 0.5},
    ),
    (
        "format_tells_split",
        {"formats": (format_of(0.7, 0.5),)},
        {"property": "size", "association": 0.5},
    ),
    (
        "unbalanced_classes",
        {"class_splits": RARE_DOGS},
        {"most": "cat", "most_images": 950, "least": "dog", "least_images": 35},
    ),
    (
        "classes_with_few_test_images",
        {"class_splits": RARE_DOGS},
        {"count": 1, "few": 10, "names": ["dog"]},
    ),
    (
        "class_shares_differ",
        {"class_splits": CATS_RARE_IN_TEST},
        {"name": "cat", "train_share": 0.5, "test_share": 0.05},
    ),
]


@pytest.mark.parametrize(("id", "changes", "values"), NOTES)
def test_a_note_is_no_problem(id, changes, values):
    notes = findings(audit_with(**changes))
    assert finding(id, **values) in notes
    assert not any(note.is_problem for note in notes)


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
    remedies = findings(
        audit_with(
            split=split,
            files=files,
            groups_cut=5,
            groups_cut_test_images=9,
            exact_duplicates={"test_in_training": 9, "across": 9},
        )
    )
    assert [finding.remedy for finding in remedies] == [of_copies, of_groups]


def test_transformed_duplicates_in_cut_groups_are_only_a_note():
    moved = DuplicateCounts(across=60, test_in_training=51)
    cut = audit_with(geometric_duplicates=moved, groups_cut=1, groups_cut_test_images=1)
    assert [finding.id for finding in findings(cut)] == ["cut_groups", "transformed_across_splits"]


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


OF_FEW = Counts(train=400, val=50, test=10)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # A high score alone is no leak.
        ({}, []),
        ({"formats": (format_of(0.7, 0.5),)}, ["format_tells_class", "format_tells_split"]),
        ({"formats": (format_of(0.51, 0.1),)}, []),
        # On 20 test images, an accuracy of 0.7 may be luck.
        (
            {
                "formats": (format_of(0.7, 0.1),),
                "class_splits": {"cat": OF_FEW, "dog": OF_FEW},
                "counts": Counts(train=800, val=100, test=20),
            },
            ["too_few_to_audit"],
        ),
        # Nor are a few near-duplicates of few images.
        ({"probe": {"near_duplicates_in_train": 0.08, "n": 25}}, []),
        ({"probe": {"accuracy_if_grouped": 0.87, "near_duplicates_in_train": 0.1, "n": 20}}, []),
    ],
)
def test_what_luck_explains_is_no_finding(changes, expected):
    assert [finding.id for finding in findings(audit_with(**changes))] == expected


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


@pytest.mark.parametrize(("images", "is_clear"), [(58, False), (59, True)])
def test_a_clean_audit_of_few_images_is_no_all_clear(images, is_clear):
    of_class = Counts(train=400, val=50, test=images // 2)
    counts = {
        "counts": Counts(train=800, val=100, test=images),
        "class_splits": dict.fromkeys(["cat", "dog"], of_class),
    }
    audit = audit_with(**counts)
    few = () if is_clear else (finding("too_few_to_audit", count=58, fewest=59, share=0.05),)
    assert findings(audit) == few
    assert bool(all_clear(replace(audit, conclusions=few))) is is_clear
    # A problem makes the note superfluous.
    with_problem = findings(audit_with(**counts, groups_cut=1, groups_cut_test_images=3))
    assert [finding.id for finding in with_problem] == ["cut_groups"]


@pytest.mark.parametrize(("images", "is_found"), [(3, False), (300, True)])
def test_shares_of_classes_differ_by_more_than_luck(images, is_found):
    class_splits = {
        "cat": Counts(train=100, val=0, test=images * 2 // 3),
        "dog": Counts(train=100, val=0, test=images // 3),
    }
    counts = Counts(train=200, val=0, test=images)
    audit = audit_with(class_splits=class_splits, counts=counts)
    assert ("class_shares_differ" in {finding.id for finding in findings(audit)}) is is_found
