from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import spikeduel as sd
from spikeduel import data
from spikeduel.data import Split
from spikeduel.data.auditing import accuracy_by_distance, examine, examining
from spikeduel.results.audit import AuditedImage, Finding, NearDuplicates
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError

EXPERIMENT = Experiment(dataset="digits")
SPLIT = Split(np.arange(200), np.arange(200, 240), np.arange(240, 300), "official")


def test_clean_images_are_no_alarm(make_set):
    found = examine(EXPERIMENT, make_set(), SPLIT)
    assert found.ok
    assert found.conclusions == found.details.pairs == ()
    assert found.groups is None
    assert found.classes == {"a": 100, "b": 100, "c": 100}
    assert len(found.details.test_distances) == 60


def test_a_planted_duplicate_is_found(make_set):
    prepared = make_set()
    prepared.images[250], prepared.labels[250] = prepared.images[17], prepared.labels[17]
    found = examine(EXPERIMENT, prepared, SPLIT)
    assert not found.ok
    assert found.exact_duplicates.across == 1
    assert found.conclusions[0] == Finding(
        kind="test_in_training", is_problem=True, count=1, share=1 / 60, remedy="remove_copies"
    )
    (pair,) = found.details.pairs
    assert pair.kind == "equal images on two sides"
    assert pair.a == AuditedImage(index=250, side="test", label=prepared.classes[prepared.labels[17]], file=None)
    assert (pair.b.index, pair.b.side) == (17, "train")


def test_a_planted_conflicting_label_is_found(make_set):
    prepared = make_set()
    prepared.images[30], prepared.labels[30] = prepared.images[17], (prepared.labels[17] + 1) % 3
    found = examine(EXPERIMENT, prepared, SPLIT)
    assert found.exact_duplicates.conflicting == 1
    assert found.conclusions[0] == Finding(kind="conflicting_labels", is_problem=True, count=1)
    assert found.details.pairs[0].kind == "equal images, different labels"


def test_a_planted_cut_group_is_found(make_set):
    groups = np.arange(300)
    groups[260] = groups[5]
    found = examine(EXPERIMENT, make_set(groups=groups), SPLIT)
    assert (found.groups_cut, found.groups_cut_test_images) == (1, 1)
    assert found.conclusions[0].kind == "cut_groups"


def test_a_planted_near_duplicate_is_found_whatever_its_brightness(make_set):
    prepared = make_set()
    prepared.images[250] = prepared.images[17] // 2 + 40
    found = examine(EXPERIMENT, prepared, SPLIT)
    assert found.near_duplicates == NearDuplicates(within=0, across=1, test_in_training=1)
    assert found.exact_duplicates.across == 0
    assert found.ok
    assert [(pair.a.index, pair.b.index) for pair in found.details.pairs] == [(250, 17)]
    none = examine(replace(EXPERIMENT, near_duplicate_ratio=1e-6), prepared, SPLIT)
    assert none.near_duplicates.across == 0


def test_it_is_found_again(make_set, monkeypatch):
    prepared = make_set()
    first = examine(EXPERIMENT, prepared, SPLIT)
    monkeypatch.setattr(examining, "_examine", None)
    assert examine(EXPERIMENT, prepared, SPLIT) == first
    others = (
        (replace(EXPERIMENT, near_duplicate_ratio=0.2), prepared, SPLIT),
        (EXPERIMENT, replace(prepared, fingerprint="0" * 64), SPLIT),
        (EXPERIMENT, prepared, replace(SPLIT, test=SPLIT.test[1:])),
    )
    for other in others:
        with pytest.raises(TypeError, match="NoneType"):
            examine(*other)


@pytest.mark.parametrize("damage", ["", "[]", '{"dataset": "planted"}', '{"results": {}, "details": {}}'])
def test_a_damaged_audit_is_made_anew(make_set, tmp_path, damage):
    first = examine(EXPERIMENT, make_set(), SPLIT)
    (kept,) = (tmp_path / "cache" / "audits").glob("*.json")
    whole = kept.read_text()
    kept.write_text(damage)
    assert examine(EXPERIMENT, make_set(), SPLIT) == first
    assert kept.read_text() == whole


def test_names_that_are_no_unicode_are_kept_too(tmp_path, monkeypatch):
    pets = folder(tmp_path)
    (pets / "cat" / "00.png").rename(pets / "cat" / "0\udcff.png")
    (pets / "dog" / "copy.png").write_bytes((pets / "cat" / "0\udcff.png").read_bytes())
    first = sd.audit(pets)
    assert {first.details.pairs[0].a.file, first.details.pairs[0].b.file} == {"cat/0\udcff.png", "dog/copy.png"}
    monkeypatch.setattr(examining, "_examine", None)
    assert sd.audit(pets) == first


def test_images_are_compared_once(make_set, monkeypatch):
    prepared = replace(make_set(), image_ids=np.arange(300) // 2)
    monkeypatch.setattr("spikeduel.data.grouping.duplicates", None)
    assert examine(EXPERIMENT, prepared, SPLIT).exact_duplicates.sets == 150


def test_accuracy_by_distance_by_hand(make_set):
    found = examine(EXPERIMENT, make_set(), SPLIT)
    distances = np.array(found.details.test_distances)
    truth = np.zeros(60, int)
    near_ones_right = (distances >= np.median(distances)).astype(int)
    bins = accuracy_by_distance(found, truth, near_ones_right)
    assert [each.n for each in bins] == [12] * 5
    assert [each.accuracy for each in bins] == [1, 1, 0.5, 0, 0]
    assert accuracy_by_distance(found, truth[1:], near_ones_right[1:]) is None


def test_digits_and_the_embedded_set_are_clean():
    for name in ("digits", "fashion-mnist-mini"):
        found = sd.audit(name)
        assert found.ok
        assert found.unreadable == ()


def folder(tmp_path, count=24):
    random = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for k in range(count):
            pixels = np.kron(random.integers(0, 256, (5, 5)), np.ones((4, 4))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / label / f"{k:02}.png")
    return tmp_path / "pets"


def test_all_unreadable_files_are_listed_and_the_others_audited(tmp_path):
    pets = folder(tmp_path)
    (pets / "cat" / "03.png").write_bytes(b"no image")
    whole = (pets / "dog" / "05.png").read_bytes()
    (pets / "dog" / "05.png").write_bytes(whole[: len(whole) // 2])
    found = sd.audit(pets)
    assert not found.ok
    assert len(found.unreadable) == 2
    assert "cat/03.png: cannot be read as an image" in found.unreadable[0]
    assert "dog/05.png" in found.unreadable[1]
    assert found.classes == {"cat": 23, "dog": 23}
    with pytest.raises(InputError, match=r"03\.png.*"):
        data.load(Experiment(dataset=str(pets)))


def test_pairs_and_formats_of_a_folder_name_its_files(tmp_path):
    pets = folder(tmp_path)
    (pets / "dog" / "copy.png").write_bytes((pets / "cat" / "07.png").read_bytes())
    for path in sorted((pets / "cat").iterdir()):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    found = sd.audit(pets)
    assert found.exact_duplicates.conflicting == 1
    (pair,) = found.details.pairs
    assert {pair.a.file, pair.b.file} == {"cat/07.bmp", "dog/copy.png"}
    assert found.conclusions[0].names == found.exact_duplicates.conflicting_files == ("cat/07.bmp", "dog/copy.png")
    (kind,) = found.formats
    assert (kind.property, kind.values) == ("file type", {"PNG": 25, "BMP": 24})
    assert kind.class_accuracy == 1.0
    assert ("format_tells_class", ("file type",)) in [(each.kind, each.names) for each in found.conclusions]


def test_an_unknown_set_is_the_users_error():
    with pytest.raises(InputError, match="unknown data set 'mnits'"):
        sd.audit("mnits")
