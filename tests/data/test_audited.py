"""Audits of whole data sets: loaded, split, kept in the cache."""

from dataclasses import replace

import numpy as np
import pytest
from msgspec import structs
from PIL import Image
from scipy.ndimage import affine_transform

import spikeduel as sd
from made_events import seen
from made_recordings import as_recordings, numpy_file, part, some_events
from spikeduel import data, statistics
from spikeduel.auditing import (
    duplicate_checks,
    geometric_duplicates,
    labels,
    photometric_duplicates,
)
from spikeduel.auditing.arrays import EventRecordings, SplitIndices
from spikeduel.auditing.audit_results import Counts
from spikeduel.auditing.drawings import is_plain
from spikeduel.auditing.duplicate_checks import LIMITS, PHOTOMETRIC
from spikeduel.auditing.file_checks import skipped_files, unreadable_files
from spikeduel.auditing.neighbours import NEAR
from spikeduel.data import Split, audited
from spikeduel.data.audited import examine, file_formats
from spikeduel.experiment.settings import Experiment
from spikeduel.inputs.preprocessing import unpacked
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.system.finding_tables import finding
from spikeduel.system.progress import Progress
from synthetic_files import write_pictures, write_socofing

EXPERIMENT = Experiment(dataset="digits")


def test_audit_and_statistics_call_the_same_sizes_too_small():
    assert labels.MAX_CLASS_RATIO == statistics.MAX_IMBALANCE
    assert labels.MIN_TEST_IMAGES == statistics.MIN_IN_CLASS
    assert duplicate_checks.MIN_TEST_GROUPS == statistics.MIN_GROUPS


def test_an_audit_is_found_again(make_prepared, monkeypatch):
    prepared, rows = make_prepared(np.arange(120) % 3), np.arange(120)
    split = Split(rows[:80], rows[80:100], rows[100:], "official")
    first = examine(EXPERIMENT, prepared, split)
    monkeypatch.setattr(audited, "audit_input", None)
    assert examine(EXPERIMENT, prepared, split) == first
    for other, its_split in (
        (replace(prepared, fingerprint="0" * 64), split),
        (prepared, replace(split, test=split.test[1:])),
    ):
        with pytest.raises(TypeError, match="NoneType"):
            examine(EXPERIMENT, other, its_split)


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
    assert [counts.total for counts in audit.class_splits.values()] == [5, 5]
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
    (as_recordings,) = (tmp_path / "cache" / "audits").glob("*.json")
    whole = as_recordings.read_text()
    as_recordings.write_text('{"dataset": "planted"}')
    assert examine(experiment, prepared, split) == first
    assert as_recordings.read_text() == whole
    monkeypatch.setattr(audited, "audit_input", None)
    (image_folder / "cat" / "000.png").write_bytes(b"longer or shorter")
    with pytest.raises(TypeError, match="NoneType"):
        examine(experiment, prepared, split)


COUNT, COPIES = 1000, 40


def boxed(images):
    """Cover three places of each image."""
    images = images.copy()
    for grey, (row, column) in ((255, (2, 3)), (0, (17, 5)), (128, (9, 18))):
        images[:, :, row : row + 7, column : column + 7] = grey
    return images


EDITS = {
    "negative": lambda images: 255 - images,
    "solarised": lambda images: np.where(images >= 128, 255 - images, images),
    "gamma": lambda images: (255 * (images / 255) ** 2.2).round().astype(np.uint8),
    "darker": lambda images: images // 3,
    "boxed": boxed,
}


@pytest.mark.parametrize("kind", EDITS)
def test_edited_copies_are_found_and_new_images_are_copies_of_none(kind):
    clothes = data.load(Experiment()).pictures
    train, new = clothes[:COUNT], clothes[COUNT : COUNT + 100]
    together = np.concatenate([train, EDITS[kind](train[:COPIES]), new])
    order = np.arange(len(together))
    split = SplitIndices(order[:COUNT], order[:0], order[COUNT:])
    copies = photometric_duplicates.search(together, order, split, Progress())
    is_copy = copies.ratio < LIMITS[PHOTOMETRIC]
    named = copies.nearest[COUNT : COUNT + COPIES] == np.arange(COPIES)
    assert (named & is_copy[COUNT : COUNT + COPIES]).sum() >= 36
    assert is_copy[COUNT + COPIES :].sum() <= 1
    assert not is_copy[:COUNT].any()


def test_shifted_copies_of_clothes_are_found_among_many_that_are_alike():
    train = data.load(Experiment()).pictures[:1500]
    copies = [
        affine_transform(image.astype(float), np.eye(3), (0, *shift), order=1, mode="nearest")
        for image, shift in zip(
            train, np.random.default_rng(0).uniform(-2.8, 2.8, (100, 2)), strict=False
        )
    ]
    together = np.concatenate([train, np.array(copies).round().astype(np.uint8)])
    order = np.arange(1600)
    split = SplitIndices(order[:1500], order[:0], order[1500:])
    copies_of = geometric_duplicates.search(together, together, order, split, Progress())
    near = copies_of.ratio[1500:] < NEAR
    assert near.mean() >= 0.97
    assert (copies_of.nearest[1500:] == np.arange(100))[near].all()


def test_clothes_are_no_plain_drawings():
    assert is_plain(data.load(Experiment()).pictures[:150]).mean() < 0.05


def test_the_audit_unpacks_events_as_they_are_packed():
    events = some_events(100)
    recordings = as_recordings([some_events(7, seed=1), events], (34, 34))
    asked = EventRecordings(recordings.packed, recordings.offsets, recordings.binning.sensor)
    expected = unpacked(recordings.events_of(1))
    x, y, microseconds, polarity = asked.unpacked(1)
    assert (x == expected.x).all()
    assert (y == expected.y).all()
    assert (microseconds == expected.t).all()
    assert (polarity == expected.p).all()
    assert asked.sensor == (34, 34)


def test_the_groups_that_it_finds_mend_the_split(tmp_path):
    """Fifteen recordings, each cut into four parts that overlap: the split keeps those of one
    together when told.
    """
    random = np.random.default_rng(0)
    pictures = [np.maximum(random.random((16, 16)) - 0.33, 0) for _ in range(15)]
    recorded = [seen(picture, seed=number) for number, picture in enumerate(pictures)]
    for number, recording in enumerate(recorded):
        for first in range(4):
            cut = part(recording, first * 66_000, first * 66_000 + 100_000)
            path = tmp_path / "parts" / "abc"[number % 3] / f"{number}_{first}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(numpy_file(cut))
    experiment = Experiment(dataset=str(tmp_path / "parts"))
    audit, prepared = audited.audited(experiment, Progress())
    assert "shared_segment_test_in_training" in {problem.id for problem in audit.problems}
    assert audit.problems[0].remedy == "--group-by groups.csv"
    assert len(set(audit.details.groups)) == 15
    groups = tmp_path / "groups.csv"
    rows = zip(prepared.names, audit.details.groups, strict=True)
    files.write_csv(groups, [("path", "group"), *rows])
    mended, _ = audited.audited(replace(experiment, group_by=str(groups)), Progress())
    assert mended.ok
    assert (mended.groups, mended.groups_cut, mended.shared_segments.across) == (15, 0, 0)
