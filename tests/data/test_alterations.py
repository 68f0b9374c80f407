from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spikeduel import data
from spikeduel.data import altered
from spikeduel.data.splits import Split
from spikeduel.settings import Experiment
from synthetic_files import HANDS_AND_FINGERS, ridges, write_socofing

NUM_PEOPLE = 10


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A made-up SOCOFing with Medium alterations, whose middle pixel says the subject."""
    write_socofing(tmp_path / "SOCOFing", NUM_PEOPLE)
    write_alterations(tmp_path / "SOCOFing", "Medium")
    return tmp_path / "SOCOFing"


def write_alterations(root: Path, level: str) -> None:
    folder = root / "Altered" / f"Altered-{level}"
    folder.mkdir(parents=True)
    for subject in range(1, NUM_PEOPLE + 1):
        for k, (hand, finger) in enumerate(HANDS_AND_FINGERS):
            picture = ridges(100 * subject + k)
            picture[40:60, 40:60] = 20 * subject
            Image.fromarray(picture).save(folder / f"{subject}__{'MF'[subject % 2]}_{hand}_{finger}_finger_Obl.BMP")


def loaded(root: Path, **more: object) -> tuple[Experiment, data.Prepared, Split]:
    experiment = Experiment(dataset="socofing", data_dir=str(root), **more)  # type: ignore[arg-type]
    prepared = data.load(experiment)
    return experiment, prepared, data.split(prepared, experiment)


def people(images: np.ndarray) -> set[int]:
    """The subjects that the middle pixels name; prints are inverted when they are prepared."""
    return {round((255 - int(pixel)) / 20) for pixel in images[:, 0, 46, 46]}


def subjects(rows: np.ndarray) -> set[int]:
    """Whose the data set's images are: real and easy prints of each finger, sorted by subject."""
    return {int(row) // 20 + 1 for row in rows}


def test_only_the_test_subjects_prints(root: Path) -> None:
    experiment, prepared, split = loaded(root)
    found, missing = altered(prepared, split, experiment)
    assert list(found) == ["altered-medium"]
    images, labels = found["altered-medium"]
    assert people(images) == subjects(split.test)
    assert not people(images) & subjects(np.concatenate((split.train, split.val)))
    assert images.shape == (10 * len(people(images)), 1, 97, 97)
    np.testing.assert_array_equal(np.bincount(labels), [len(people(images))] * 10)
    assert len(missing) == 1
    assert missing[0].startswith("altered-hard is left out. ")
    assert "has no folder Altered/Altered-Hard" in missing[0]


def test_images_are_prepared_as_the_data_set_is(root: Path) -> None:
    experiment, prepared, split = loaded(root, image_size=40)
    images, labels = altered(prepared, split, experiment)[0]["altered-medium"]
    assert images.shape[1:] == (1, 40, 40)
    person = min(subjects(split.test))
    name = f"{person}__{'MF'[person % 2]}_Left_thumb_finger_Obl.BMP"
    with Image.open(root / "Altered" / "Altered-Medium" / name) as picture:
        expected = prepared.preprocessing(picture)
    (row,) = [row for row, image in enumerate(images) if np.array_equal(image, expected)]
    assert prepared.classes[labels[row]] == "left thumb"


def test_who_is_in_training_too_is_left_out(root: Path) -> None:
    """The published split cuts people in two; with all of them in training, nobody is left."""
    experiment, prepared, split = loaded(root, split="published")
    found, missing = altered(prepared, split, experiment)
    assert found == {}
    assert any("no print of a person who is in the test part alone" in line for line in missing)


def test_who_shares_a_group_with_training_is_left_out(root: Path) -> None:
    experiment, prepared, _ = loaded(root)
    groups = np.repeat(np.arange(NUM_PEOPLE), 20)
    groups[20:40] = 0
    together = replace(prepared, groups=groups)
    rows = np.arange(len(prepared))
    split = Split(rows[:20], rows[:0], rows[20:60], "made up")
    images, _ = altered(together, split, experiment)[0]["altered-medium"]
    assert people(images) == {3}


def test_both_levels_and_what_cannot_be_read(root: Path) -> None:
    write_alterations(root, "Hard")
    experiment, prepared, split = loaded(root)
    assert list(altered(prepared, split, experiment)[0]) == ["altered-medium", "altered-hard"]
    person = min(subjects(split.test))
    broken = root / "Altered" / "Altered-Hard" / f"{person}__{'MF'[person % 2]}_Left_thumb_finger_Obl.BMP"
    broken.write_bytes(b"BM")
    found, missing = altered(prepared, split, experiment)
    assert list(found) == ["altered-medium"]
    assert broken.name in missing[0]


def test_other_files_than_were_prepared(root: Path) -> None:
    experiment, prepared, split = loaded(root)
    next((root / "Real").iterdir()).unlink()
    found, missing = altered(prepared, split, experiment)
    assert found == {}
    assert "altered-medium and altered-hard are left out" in missing[0]
    assert "no longer holds what was prepared from it" in missing[0]


def test_other_data_sets_have_none() -> None:
    experiment = Experiment(dataset="digits")
    prepared = data.load(experiment)
    assert altered(prepared, data.split(prepared, experiment), experiment) == ({}, [])
