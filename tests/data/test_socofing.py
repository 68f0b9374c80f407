import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spikeduel.data.prepared import DataOptions, from_raw
from spikeduel.data.socofing import CLASSES, socofing
from spikeduel.system.errors import InputError
from synthetic_files import noisy_png, ridges, write_real, write_socofing


@pytest.fixture
def root(tmp_path):
    """A made-up SOCOFing of four subjects."""
    write_socofing(tmp_path / "SOCOFing")
    return tmp_path / "SOCOFing"


def zipped(root, path, *prefixes):
    with zipfile.ZipFile(path, "w") as archive:
        for prefix in prefixes:
            for file in sorted(root.rglob("*.BMP")):
                archive.write(file, f"{prefix}{file.relative_to(root).as_posix()}")
    return path


def load(data_dir, **more):
    return socofing(DataOptions(data_dir=str(data_dir), **more))


@pytest.mark.parametrize("folder", ["SOCOFing", "."])
def test_images_labels_and_groups(root, folder):
    raw = load(root.parent / folder)
    assert raw.images.shape == (80, 1, 97, 97)
    np.testing.assert_array_equal(np.bincount(raw.labels), [8] * 10)
    assert raw.groups.tolist() == np.repeat([1, 2, 3, 4], 20).tolist()
    assert raw.classes == CLASSES
    assert raw.official is None


def test_prints_are_what_preprocessing_makes_of_the_file_and_samples_as_they_were(root):
    raw = load(root)
    with Image.open(root / "Real" / "1__F_Left_index_finger.BMP") as picture:
        assert picture.mode == "RGBA"
        alone = raw.preprocessing(picture)
    assert (raw.images == alone).all(axis=(1, 2, 3)).any()
    expected = 255 - ridges(101)[2:-4, 2:-4].astype(int)
    np.testing.assert_array_equal(alone[0, :, 3:93], expected)
    assert not alone[0, :, :3].any()
    assert not alone[0, :, 93:].any()
    samples = {int(raw.labels[index]): sample for index, sample in raw.samples}
    assert (sorted(samples), len(raw.samples)) == (list(range(10)), 10)
    # The scanner frame is transparent, and black.
    np.testing.assert_array_equal(samples[1][:-4, :-4], ridges(101)[:-4, :-4])


def test_subjects_that_share_an_image_are_one_group(root):
    write_real(root / "Real" / "3__F_Right_ring_finger.BMP", ridges(101))
    prepared = from_raw("socofing", load(root))
    assert sorted(np.bincount(prepared.groups).tolist()) == [20, 20, 40]


@pytest.mark.parametrize("prefixes", [("SOCOFing/",), ("",), ("socofing/SOCOFing/", "SOCOFing/")])
def test_zip_gives_the_same_as_the_folder(root, tmp_path, prefixes):
    from_zip, from_folder = load(zipped(root, tmp_path / "a.zip", *prefixes)), load(root)
    for part in ("images", "labels", "groups"):
        np.testing.assert_array_equal(getattr(from_zip, part), getattr(from_folder, part))


def test_a_bomb_in_the_zip_is_refused(root, tmp_path):
    name = "SOCOFing/Real/9__M_Left_index_finger.BMP"
    claims = struct.pack(
        "<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0
    )
    for content, problem in (
        (bytes(17 << 20), "larger than"),
        (claims, "more than the 80,000,000 pixels"),
    ):
        path = zipped(root, tmp_path / "a.zip", "SOCOFing/")
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(name, content)
        assert path.stat().st_size < 3 << 20
        with pytest.raises(InputError, match=rf"9__M_Left_index_finger.*{problem}"):
            load(path)


def kaggle_error(kind):
    import requests

    if kind == "network":
        return requests.exceptions.ConnectionError("Max retries exceeded")
    if kind == "other":
        return ValueError("Invalid Kaggle credentials file at\n ~/.kaggle/kaggle.json")
    response = requests.Response()
    response.status_code = int(kind)
    return requests.exceptions.HTTPError("Client Error.\n\nmore", response=response)


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("401", "KAGGLE_API_TOKEN"),
        ("403", "~/.kaggle/access_token"),
        ("404", "HTTP 404"),
        ("network", "Max retries exceeded"),
        ("other", "credentials file"),
    ],
)
def test_kaggle_that_refuses(kind, problem, monkeypatch):
    def refuse(handle):
        raise kaggle_error(kind)

    monkeypatch.setattr("kagglehub.dataset_download", refuse)
    with pytest.raises(InputError, match=problem) as caught:
        socofing(DataOptions())
    assert "--data-dir" in str(caught.value)
    assert "\n" not in str(caught.value)


def zip_of_something_else(place):
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("readme.txt", "hello")


def with_real(name, content):
    def make(place):
        write_real(place / "Real" / "1__M_Left_thumb_finger.BMP", ridges(1))
        write_real(place / "Altered/Altered-Easy" / "1__M_Left_thumb_finger_CR.BMP", ridges(2))
        (place / "Real" / name).write_bytes(content)

    return make


BROKEN = {
    "absent": (lambda place: None, "place: no such folder or zip file"),
    "something else": (Path.mkdir, "place: has no fingerprints in a folder Real"),
    "no zip": (lambda place: place.write_bytes(b"<html>"), "place: cannot be read as a zip file"),
    "zip of something else": (zip_of_something_else, "place: has no fingerprints in a folder Real"),
    "empty": (
        lambda place: (place / "Real").mkdir(parents=True),
        "place: has no fingerprints in a folder Real",
    ),
    "name": (with_real("my thumb.BMP", b""), r"Real/my thumb\.BMP: not a name of SOCOFing's"),
    "cut off": (with_real("2__M_Left_thumb_finger.BMP", b"BM"), r"2__M_.* cannot be read as"),
    "PNG": (with_real("2__M_Left_thumb_finger.BMP", noisy_png(0)), r"2__M_.* cannot be read as"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_socofing_is_named(case, tmp_path):
    make, problem = BROKEN[case]
    make(tmp_path / "place")
    with pytest.raises(InputError, match=problem):
        load(tmp_path / "place")
