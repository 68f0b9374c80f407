import numpy as np
import pytest
from scipy.stats.contingency import association

from spikeduel.auditing import FileFormat, SplitIndices, examine
from spikeduel.auditing.audit_results import AuditedImage, DuplicateCounts
from spikeduel.auditing.file_checks import ASSOCIATION, beyond_luck, cramers_v, file_properties
from spikeduel.auditing.labels import check
from spikeduel.system.finding_tables import finding


def test_clean_images_are_no_alarm(make_set):
    audit = examine(make_set())
    assert audit.ok
    assert audit.conclusions == audit.details.pairs == ()
    assert audit.groups is None
    assert [counts.total for counts in audit.class_splits.values()] == [100, 100, 100]
    assert "Nothing was found that would invalidate a result." in audit._repr_html_()
    assert repr(audit) == "<Audit of images, 300 images: 0 problems, 0 notes>"


def test_planted_faults_are_found(make_set):
    groups = np.arange(300)
    groups[260] = groups[5]
    data = make_set(groups=groups)
    data.images[250], data.labels[250] = data.images[17], data.labels[17]
    # A near duplicate whatever its brightness.
    data.images[255] = data.images[20] // 2 + 40
    audit = examine(data)
    assert not audit.ok
    assert audit.conclusions[:2] == (
        finding("test_in_training", count=1, share=1 / 60, remedy="remove the copies"),
        finding("cut_groups", count=1, share=1 / 60, remedy="divide the data anew"),
    )
    assert audit.exact_duplicates.across == 1
    assert audit.near_duplicates == DuplicateCounts(across=1, test_in_training=1)
    equal, near = audit.details.pairs
    assert (equal.kind, near.kind) == (
        "equal images in two splits",
        "near-duplicates in two splits",
    )
    label = data.classes[data.labels[17]]
    assert equal.a == AuditedImage(index=250, split="test", label=label, file=None)
    assert (equal.b.index, equal.b.split, near.a.index, near.b.index) == (17, "train", 255, 20)


def test_planted_labels_are_listed(digits, make_set):
    images, truth = digits
    labels = truth.copy()
    wrong = np.arange(0, len(labels), 40)
    labels[wrong] = (labels[wrong] + 3) % 10
    split = SplitIndices(*np.split(np.arange(len(labels)), [1400, 1600]))
    checked = check(make_set(images, labels=labels, classes=tuple("0123456789"), split=split))
    details = checked["details"]
    listed = [suspect.image.index for suspect in details["labels"]]
    assert len(set(listed) & set(wrong.tolist())) >= 0.9 * len(wrong)
    assert len(listed) <= 1.1 * len(wrong)
    assert checked["labels"].suspects == len(listed)
    assert len(details["label_shares"]) == len(labels)
    assert max(details["label_shares"][image] for image in listed) < 0.05


def test_formats_and_names_of_files_tell_class_and_groups(make_set):
    formats = tuple(FileFormat("PNG" if k % 3 else "JPEG", "L", 12, 12) for k in range(300))
    names = tuple(f"{'abc'[k % 3]}/s{k // 30}_{k}.png" for k in range(300))
    audit = examine(make_set(formats=formats, names=names))
    assert {"format_tells_class", "names_tell_groups"} == {found.id for found in audit.notes}
    assert audit.suggested_groups.pattern == "([^/_]+)_[^/]*$"


def test_a_type_that_gives_the_class_away():
    labels = np.tile([0, 1], 50)
    kinds = {"file type": ["PNG" if label else "JPEG" for label in labels], "size": ["8×8"] * 100}
    # One size has nothing to tell.
    (row,) = file_properties(kinds, labels, np.repeat([0, 2], 50))
    assert (row.property, row.class_accuracy, row.class_chance) == ("file type", 1.0, 0.5)
    assert row.values == {"JPEG": 50, "PNG": 50}
    assert row.split_association == 0.0


def test_sizes_never_seen_in_training_tell_nothing():
    sizes = [f"{k + 1}×5" for k in range(60)]
    (row,) = file_properties({"size": sizes}, np.tile([0, 1, 1], 20), np.repeat([0, 2], 30))
    assert row.num_values == 60
    assert row.class_accuracy == row.class_chance == pytest.approx(2 / 3)


def test_few_files_of_many_sizes_do_not_differ_between_splits_by_luck(random):
    split_code = np.repeat([0, 1, 2], [36, 4, 3])
    sizes = [random.integers(0, 20, 43) for _ in range(50)]
    by_luck = [cramers_v(size, split_code) > ASSOCIATION for size in sizes]
    assert sum(by_luck) > 2
    assert sum(beyond_luck(size, split_code) > ASSOCIATION for size in sizes) <= 2
    assert beyond_luck(split_code, split_code) == pytest.approx(cramers_v(split_code, split_code))


def test_cramers_v_is_one_where_one_decides_the_other_and_near_scipys():
    a = np.tile([0, 1, 2], 100)
    assert cramers_v(a, (a + 1) % 3) == pytest.approx(1)
    assert cramers_v(a, np.repeat([0, 1, 2], 100)) == 0
    assert cramers_v(a, np.zeros(300)) == 0
    random = np.random.default_rng(0)
    b = np.where(random.random(300) < 0.5, a, random.integers(0, 3, 300))
    table = np.zeros((3, 3), int)
    np.add.at(table, (a, b), 1)
    assert cramers_v(a, b) == pytest.approx(association(table), abs=0.02)
