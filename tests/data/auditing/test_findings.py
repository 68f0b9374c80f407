import pytest

from spikeduel.data.auditing.findings import notes, problems, rows


def clean(**changes):
    found = {
        "counts": {"train": 800, "val": 100, "test": 1000},
        "split": "official",
        "exact_duplicates": {
            "within": 0, "across": 0, "conflicting": 0, "conflicting_images": 0, "sets": 0, "images": 0,
            "test_in_training": 0, "across_groups": None,
        },
        "near_duplicates": {"within": 0, "across": 0, "test_in_training": 0},
        "groups": None, "groups_cut": 0, "groups_cut_test_images": 0, "unreadable": [], "formats": [],
        "probe": {
            "accuracy": 0.97, "accuracy_if_grouped": 0.97, "accuracy_if_ungrouped": None, "chance": 0.5,
            "siblings_in_train": 0.0, "n": 1000,
        },
        "classes": {"cat": 950, "dog": 950},
        "class_sides": {"cat": {"train": 400, "val": 50, "test": 500}, "dog": {"train": 400, "val": 50, "test": 500}},
        "searched": {"train": 800, "val": 100, "test": 1000},
    }  # fmt: skip
    for name, value in changes.items():
        found[name] = {**found[name], **value} if isinstance(value, dict) else value
    return found


def test_a_high_score_alone_is_no_leak():
    assert problems(clean()) == notes(clean()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exact_duplicates": {"test_in_training": 2, "across": 2}}, "2 test images (0.2%) equal training images"),
        ({"exact_duplicates": {"conflicting": 1, "conflicting_images": 2}}, "1 set of equal images (2 images in all)"),
        ({"groups_cut": 1, "groups_cut_test_images": 1}, "The split cuts 1 group: 0.1% of the test images"),
        ({"probe": {"accuracy_if_grouped": 0.9, "siblings_in_train": 0.1}}, "Leakage: an untrained nearest neighbour"),
        ({"probe": {"siblings_in_train": 0.06}}, "6.0% of the test images have a near duplicate in training"),
        (
            {"unreadable": ["x.png: broken"]},
            "1 file cannot be read as an image, and nothing can be trained before it is removed or replaced: x.png",
        ),
        (
            {"unreadable": ["x.png: broken", "y.png: empty"]},
            "2 files cannot be read as images, and nothing can be trained before they are removed or replaced",
        ),
    ],
)
def test_what_invalidates_a_result(changes, words):
    (said,) = problems(clean(**changes))
    assert words in said


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exact_duplicates": {"test_in_training": 1, "across": 1}}, "1 test image (0.1%) equals a training image"),
        ({"near_duplicates": {"across": 40, "test_in_training": 30}}, "40 images of validation or test have a near"),
        ({"exact_duplicates": {"within": 1}}, "1 image is an exact copy of another on the same side"),
        ({"exact_duplicates": {"across": 2}}, "2 further copies of an image lie in validation"),
        ({"exact_duplicates": {"across_groups": 3}}, "3 sets of equal images lie in several groups"),
        ({"groups_cut": 2}, "2 groups lie on two sides, but none of them on training and test"),
        ({"class_sides": {"dog": {"train": 30, "val": 0, "test": 5}}}, "unbalanced: 950 images of cat, 35 of dog"),
        ({"class_sides": {"dog": {"train": 30, "val": 0, "test": 5}}}, "1 class has fewer than 10 test images (dog)"),
        ({"class_sides": {"cat": {"train": 400, "val": 50, "test": 50}}}, "Training and test differ in their classes"),
        ({"searched": {"train": 100}}, "a sample, always the same: 100 of 800 training images"),
    ],
)
def test_what_is_worth_knowing(changes, words):
    found = clean(**changes)
    assert any(words in said for said in notes(found))
    assert problems(found) == []


def test_formats_that_tell():
    row = {"property": "size", "num_values": 2, "values": {"8×8": 3, "9×9": 2}}
    row |= {"class_accuracy": 0.7, "class_chance": 0.5, "split_association": 0.5}
    first, second = notes(clean(formats=[row]))
    assert "The size of a file tells its class: guessing by it alone is right on 70.0%" in first
    assert "differs between the sides of the split (Cramér's V 0.50)" in second
    assert notes(clean(formats=[{**row, "class_accuracy": 0.51, "split_association": 0.1}])) == []


def test_few_near_duplicates_are_not_called_a_leak():
    small = {"n": 20, "siblings_in_train": 0.1, "accuracy_if_grouped": 0.87}
    assert problems(clean(probe=small)) == []


def test_the_remedy_fits_the_split():
    cut = {"groups_cut": 5, "groups_cut_test_images": 9}
    assert "--split default" in problems(clean(split="published", **cut))[0]
    assert "train/ and test/" in problems(clean(split="official", **cut))[0]


def test_rows_are_text():
    table = {row["what"]: row["found"] for row in rows(clean())}
    assert table["nearest neighbour on small grey versions"] == "97.0% right, nothing trained"
    assert table["  chance: always naming training's most frequent class"] == "50.0%"
    assert "  on a split over files" not in table


def test_groups_that_copies_join_are_said_to_be_joined():
    def groups(**exact):
        found = clean(groups=47, exact_duplicates=exact)
        return {row["what"]: row["found"] for row in rows(found)}["groups"]

    assert groups(across_groups=0) == "47, 0 cut"
    assert groups(across_groups=1) == "47 (those that share copies are joined into one), 0 cut"
