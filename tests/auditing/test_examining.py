from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs
from PIL import Image
from scipy.stats.contingency import association

import spikeduel as sd
from spikeduel import data
from spikeduel.auditing import examine, examining
from spikeduel.auditing.context import AuditContext, file_formats
from spikeduel.auditing.files import (
    ASSOCIATION,
    beyond_luck,
    cramers_v,
    file_properties,
    skipped_files,
    unreadable_files,
)
from spikeduel.auditing.labels import check
from spikeduel.data import Split
from spikeduel.results.audit import AuditedImage, Copies, Counts
from spikeduel.results.findings import finding
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress
from synthetic_files import write_pictures, write_socofing

EXPERIMENT = Experiment(dataset="digits")
SPLIT = Split(np.arange(200), np.arange(200, 240), np.arange(240, 300), "official")


def test_clean_images_are_no_alarm_and_their_audit_is_found_again(make_set, monkeypatch):
    prepared = make_set()
    first = examine(EXPERIMENT, prepared, SPLIT)
    assert first.ok
    assert first.conclusions == first.details.pairs == ()
    assert first.groups is None
    assert [counts.total for counts in first.class_sides.values()] == [100, 100, 100]
    monkeypatch.setattr(examining, "_examine", None)
    assert examine(EXPERIMENT, prepared, SPLIT) == first
    for other, split in (
        (replace(prepared, fingerprint="0" * 64), SPLIT),
        (prepared, replace(SPLIT, test=SPLIT.test[1:])),
    ):
        with pytest.raises(TypeError, match="NoneType"):
            examine(EXPERIMENT, other, split)


def test_planted_faults_are_found(make_set):
    groups = np.arange(300)
    groups[260] = groups[5]
    prepared = make_set(groups=groups)
    prepared.images[250], prepared.labels[250] = prepared.images[17], prepared.labels[17]
    # A near duplicate whatever its brightness.
    prepared.images[255] = prepared.images[20] // 2 + 40
    audit = examine(EXPERIMENT, prepared, SPLIT)
    assert not audit.ok
    assert audit.conclusions[:2] == (
        finding("test_in_training", count=1, share=1 / 60, remedy="remove the copies"),
        finding("cut_groups", count=1, share=1 / 60, remedy="divide the data anew"),
    )
    assert audit.exact_duplicates.across == 1
    assert audit.near_duplicates == Copies(across=1, test_in_training=1)
    equal, near = audit.details.pairs
    assert (equal.kind, near.kind) == ("equal images on two sides", "near on two sides")
    assert equal.a == AuditedImage(
        index=250, side="test", label=prepared.classes[prepared.labels[17]], file=None
    )
    assert (equal.b.index, equal.b.side, near.a.index, near.b.index) == (17, "train", 255, 20)


def test_planted_labels_are_listed():
    prepared = data.load(EXPERIMENT)
    labels = np.array(prepared.labels)
    wrong = np.arange(0, len(labels), 40)
    labels[wrong] = (labels[wrong] + 3) % 10
    prepared = replace(prepared, labels=labels, fingerprint="planted")
    split = data.split(prepared, EXPERIMENT)
    checked = check(AuditContext(EXPERIMENT, prepared, split, Progress(), None))
    details = checked["details"]
    listed = [suspect.image.index for suspect in details["labels"]]
    assert len(set(listed) & set(wrong.tolist())) >= 0.9 * len(wrong)
    assert len(listed) <= 1.1 * len(wrong)
    assert checked["labels"].suspects == len(listed)
    assert len(details["label_shares"]) == len(labels)
    assert max(details["label_shares"][image] for image in listed) < 0.05


@pytest.mark.usefixtures("known_data")
def test_digits_are_clean():
    audit = sd.audit("digits")
    assert audit.ok
    assert audit.unreadable == ()


def test_all_unreadable_files_are_listed_and_the_others_audited(image_folder):
    (image_folder / "cat" / "003.png").write_bytes(b"no image")
    dog = image_folder / "dog" / "005.png"
    dog.write_bytes(dog.read_bytes()[:100])
    audit = sd.audit(image_folder)
    assert not audit.ok
    first, second = audit.unreadable
    assert "cat/003.png: cannot be read as an image" in first
    assert "dog/005.png" in second
    assert [counts.total for counts in audit.class_sides.values()] == [5, 5]
    strict = Experiment(dataset=str(image_folder))
    with pytest.raises(InputError, match=r"2 files .*003\.png.* --skip-unreadable"):
        data.load(strict)
    # Left out on request, they are a problem only if they are many.
    skipping = replace(strict, skip_unreadable=True)
    prepared = data.load(skipping)
    assert len(prepared) == 10
    assert list(prepared.unreadable) == [str(image_folder / "cat" / "003.png"), str(dog)]
    counted = sd.audit(skipping)
    assert (counted.files.num_read, counted.files.unreadable) == (10, 2)
    assert counted.unreadable == audit.unreadable
    many = finding("skipped_files", count=2, share=2 / 12, names=list(counted.unreadable))
    assert many.severity == "problem"
    assert many in counted.conclusions
    (few,) = skipped_files(structs.replace(counted, counts=Counts(train=80, val=9, test=9)))
    assert finding("skipped_files", **few).severity == "note"
    assert not list(unreadable_files(counted))


def test_pairs_and_formats_of_a_folder_name_its_files(image_folder):
    write_pictures(image_folder / "cat", 24, seed=1, suffix=".bmp")
    write_pictures(image_folder / "dog", 24, seed=2)
    for path in image_folder.glob("cat/*.png"):
        path.unlink()
    Image.open(image_folder / "cat" / "007.bmp").save(image_folder / "dog" / "copy.png")
    audit = sd.audit(image_folder)
    assert audit.exact_duplicates.conflicting == 1
    (pair,) = audit.details.pairs
    assert {pair.a.file, pair.b.file} == {"cat/007.bmp", "dog/copy.png"}
    assert audit.exact_duplicates.conflicting_files == ("cat/007.bmp", "dog/copy.png")
    assert audit.conclusions[0].values["names"] == ["cat/007.bmp", "dog/copy.png"]
    (kind,) = audit.formats
    assert (kind.property, kind.values) == ("file type", {"PNG": 25, "BMP": 24})
    assert kind.class_accuracy == 1.0


def test_formats_of_socofings_files(tmp_path):
    write_socofing(tmp_path / "SOCOFing", 3)
    experiment = Experiment(dataset="socofing", data_dir=str(tmp_path / "SOCOFing"))
    prepared = data.load(experiment)
    formats = dict(
        zip(prepared.names, file_formats(experiment, prepared, Progress().track), strict=True)
    )
    assert formats["Real/1__F_Left_index_finger.BMP"] == ("BMP", "RGBA", 96, 103)


def test_an_audit_is_made_anew_when_it_is_damaged_or_a_file_changes(
    image_folder, tmp_path, monkeypatch
):
    experiment = Experiment(dataset=str(image_folder))
    prepared = data.load(experiment)
    split = data.split(prepared, experiment)
    first = examine(experiment, prepared, split)
    (kept,) = (tmp_path / "cache" / "audits").glob("*.json")
    whole = kept.read_text()
    kept.write_text('{"dataset": "planted"}')
    assert examine(experiment, prepared, split) == first
    assert kept.read_text() == whole
    monkeypatch.setattr(examining, "_examine", None)
    (image_folder / "cat" / "000.png").write_bytes(b"longer or shorter")
    with pytest.raises(TypeError, match="NoneType"):
        examine(experiment, prepared, split)


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


def test_few_files_of_many_sizes_do_not_differ_between_sides_by_luck(random):
    side = np.repeat([0, 1, 2], [36, 4, 3])
    sizes = [random.integers(0, 20, 43) for _ in range(50)]
    by_luck = [cramers_v(size, side) > ASSOCIATION for size in sizes]
    assert sum(by_luck) > 2
    assert sum(beyond_luck(size, side) > ASSOCIATION for size in sizes) <= 2
    assert beyond_luck(side, side) == pytest.approx(cramers_v(side, side))


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
