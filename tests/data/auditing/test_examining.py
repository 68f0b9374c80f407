import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import spikeduel as sd
from spikeduel import data
from spikeduel.data import Split
from spikeduel.data.auditing import accuracy_by_distance, examine, examining
from spikeduel.settings import Experiment
from spikeduel.system.errors import InputError

EXPERIMENT = Experiment(dataset="digits")
SPLIT = Split(np.arange(200), np.arange(200, 240), np.arange(240, 300), "official")


def test_clean_images_are_no_alarm(make_set):
    found = examine(EXPERIMENT, make_set(), SPLIT)
    assert found.ok
    assert found.problems == found.notes == found.details["pairs"] == []
    assert found.results["groups"] is None
    assert found.results["classes"] == {"a": 100, "b": 100, "c": 100}
    assert len(found.details["test_distances"]) == 60


def test_a_planted_duplicate_is_found(make_set):
    prepared = make_set()
    prepared.images[250], prepared.labels[250] = prepared.images[17], prepared.labels[17]
    found = examine(EXPERIMENT, prepared, SPLIT)
    assert not found.ok
    assert found.results["exact_duplicates"]["across"] == 1
    assert "1 test image (1.7%) equals a training image" in found.problems[0]
    (pair,) = found.details["pairs"]
    assert pair["kind"] == "equal images on two sides"
    assert pair["a"] == {"index": 250, "side": "test", "label": prepared.classes[prepared.labels[17]], "file": None}
    assert (pair["b"]["index"], pair["b"]["side"]) == (17, "train")


def test_a_planted_conflicting_label_is_found(make_set):
    prepared = make_set()
    prepared.images[30], prepared.labels[30] = prepared.images[17], (prepared.labels[17] + 1) % 3
    found = examine(EXPERIMENT, prepared, SPLIT)
    assert found.results["exact_duplicates"]["conflicting"] == 1
    assert any("1 set of equal images (2 images in all) has different labels" in text for text in found.problems)
    assert found.details["pairs"][0]["kind"] == "equal images, different labels"


def test_a_planted_cut_group_is_found(make_set):
    groups = np.arange(300)
    groups[260] = groups[5]
    found = examine(EXPERIMENT, make_set(groups=groups), SPLIT)
    assert (found.results["groups_cut"], found.results["groups_cut_test_images"]) == (1, 1)
    assert "The split cuts 1 group" in found.problems[0]


def test_a_planted_near_duplicate_is_found_whatever_its_brightness(make_set):
    prepared = make_set()
    prepared.images[250] = prepared.images[17] // 2 + 40
    found = examine(EXPERIMENT, prepared, SPLIT)
    assert found.results["near_duplicates"] == {"within": 0, "across": 1, "test_in_training": 1}
    assert found.results["exact_duplicates"]["across"] == 0
    assert found.ok
    assert [(p["a"]["index"], p["b"]["index"]) for p in found.details["pairs"]] == [(250, 17)]
    none = examine(replace(EXPERIMENT, near=1e-6), prepared, SPLIT)
    assert none.results["near_duplicates"]["across"] == 0


def test_it_is_json_and_found_again(make_set, monkeypatch):
    prepared = make_set()
    first = examine(EXPERIMENT, prepared, SPLIT)
    assert json.loads(json.dumps(first.results, allow_nan=False)) == first.results
    monkeypatch.setattr(examining, "_examine", None)
    assert examine(EXPERIMENT, prepared, SPLIT) == first
    others = (
        (replace(EXPERIMENT, near=0.2), prepared, SPLIT),
        (EXPERIMENT, replace(prepared, fingerprint="0" * 64), SPLIT),
        (EXPERIMENT, prepared, replace(SPLIT, test=SPLIT.test[1:])),
    )
    for other in others:
        with pytest.raises(TypeError, match="NoneType"):
            examine(*other)


def test_accuracy_by_distance_by_hand(make_set):
    found = examine(EXPERIMENT, make_set(), SPLIT)
    distances = np.array(found.details["test_distances"])
    truth = np.zeros(60, int)
    near_ones_right = (distances >= np.median(distances)).astype(int)
    bins = accuracy_by_distance(found, truth, near_ones_right)
    assert [b["n"] for b in bins] == [12] * 5
    assert [b["accuracy"] for b in bins] == [1, 1, 0.5, 0, 0]
    assert accuracy_by_distance(found, truth[1:], near_ones_right[1:]) is None


def test_digits_and_the_embedded_set_are_clean():
    for name in ("digits", "fashion-mnist-mini"):
        found = sd.audit(name)
        assert found.ok
        assert found.results["unreadable"] == []


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
    assert len(found.results["unreadable"]) == 2
    assert "cat/03.png: cannot be read as an image" in found.results["unreadable"][0]
    assert "dog/05.png" in found.results["unreadable"][1]
    assert found.results["classes"] == {"cat": 23, "dog": 23}
    with pytest.raises(InputError, match=r"03\.png.*"):
        data.load(Experiment(dataset=str(pets)))


def test_pairs_and_formats_of_a_folder_name_its_files(tmp_path):
    pets = folder(tmp_path)
    (pets / "dog" / "copy.png").write_bytes((pets / "cat" / "07.png").read_bytes())
    for path in sorted((pets / "cat").iterdir()):
        Image.open(path).save(path.with_suffix(".bmp"))
        path.unlink()
    found = sd.audit(pets)
    assert found.results["exact_duplicates"]["conflicting"] == 1
    (pair,) = found.details["pairs"]
    assert {pair["a"]["file"], pair["b"]["file"]} == {"cat/07.bmp", "dog/copy.png"}
    assert "no network can be right on all of them: cat/07.bmp, dog/copy.png. Correct" in found.problems[0]
    (kind,) = found.results["formats"]
    assert (kind["property"], kind["values"]) == ("file type", {"PNG": 25, "BMP": 24})
    assert kind["class_accuracy"] == 1.0
    assert any("The file type of a file tells its class" in note for note in found.notes)


def test_an_unknown_set_is_the_users_error():
    with pytest.raises(InputError, match="unknown data set 'mnits'"):
        sd.audit("mnits")
