import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from spikeduel.data.prepared import DataOptions, RawDataset, from_raw
from spikeduel.data.socofing import CLASSES, socofing
from spikeduel.system.errors import InputError
from synthetic_files import ridges, write_real, write_socofing


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A made-up SOCOFing of four subjects."""
    write_socofing(tmp_path / "SOCOFing")
    return tmp_path / "SOCOFing"


def zipped(root: Path, path: Path, *prefixes: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for prefix in prefixes:
            for file in sorted(root.rglob("*.BMP")):
                archive.write(file, f"{prefix}{file.relative_to(root).as_posix()}")
    return path


def load(data_dir: Path, **more: object) -> RawDataset:
    return socofing(DataOptions(data_dir=str(data_dir), **more))  # type: ignore[arg-type]


def test_images_labels_and_groups(root: Path) -> None:
    raw = load(root)
    assert raw.images.shape == (80, 1, 97, 97)
    np.testing.assert_array_equal(np.bincount(raw.labels), [8] * 10)
    assert raw.groups is not None
    assert raw.groups.tolist() == np.repeat([1, 2, 3, 4], 20).tolist()
    assert raw.classes == CLASSES
    assert raw.official is None


def test_prepared_print_is_what_preprocessing_makes_of_the_file(root: Path) -> None:
    raw = load(root)
    with Image.open(root / "Real" / "1__F_Left_index_finger.BMP") as picture:
        assert picture.mode == "RGBA"
        alone = raw.preprocessing(picture)
    assert (raw.images == alone).all(axis=(1, 2, 3)).any()
    expected = 255 - ridges(101)[2:-4, 2:-4].astype(int)
    np.testing.assert_array_equal(alone[0, :, 3:93], expected)
    assert not alone[0, :, :3].any()
    assert not alone[0, :, 93:].any()


def test_samples_are_real_prints_as_they_were(root: Path) -> None:
    raw = load(root)
    assert len(raw.samples) == 10
    assert sorted(int(raw.labels[index]) for index, _ in raw.samples) == list(range(10))
    _, picture = next(sample for sample in raw.samples if raw.labels[sample[0]] == 1)
    # The scanner frame is transparent, and black.
    np.testing.assert_array_equal(picture[:-4, :-4], ridges(101)[:-4, :-4])


def test_subjects_that_share_an_image_are_one_group(root: Path) -> None:
    write_real(root / "Real" / "3__F_Right_ring_finger.BMP", ridges(101))
    prepared = from_raw("socofing", load(root))
    assert prepared.groups is not None
    assert sorted(np.bincount(prepared.groups).tolist()) == [20, 20, 40]


@pytest.mark.parametrize("given", ["SOCOFing", "."])
def test_the_folder_above_will_do(root: Path, given: str) -> None:
    assert len(load(root.parent / given).images) == 80


@pytest.mark.parametrize("prefixes", [("SOCOFing/",), ("",), ("socofing/SOCOFing/", "SOCOFing/")])
def test_zip_gives_the_same_as_the_folder(
    root: Path, tmp_path: Path, prefixes: tuple[str, ...]
) -> None:
    from_zip, from_folder = load(zipped(root, tmp_path / "a.zip", *prefixes)), load(root)
    for part in ("images", "labels", "groups"):
        np.testing.assert_array_equal(getattr(from_zip, part), getattr(from_folder, part))


def test_a_bomb_in_the_zip_is_refused(root: Path, tmp_path: Path) -> None:
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


def kaggle_error(kind: str) -> Exception:
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
def test_kaggle_that_refuses(kind: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: str) -> str:
        raise kaggle_error(kind)

    monkeypatch.setattr("kagglehub.dataset_download", refuse)
    with pytest.raises(InputError, match=problem) as caught:
        socofing(DataOptions())
    assert "--data-dir" in str(caught.value)
    assert "\n" not in str(caught.value)


def not_a_zip(place: Path) -> None:
    place.write_bytes(b"<html>")


def empty_folder(place: Path) -> None:
    (place / "Real").mkdir(parents=True)


def zip_of_something_else(place: Path) -> None:
    with zipfile.ZipFile(place, "w") as archive:
        archive.writestr("readme.txt", "hello")


def with_real(name: str, content: bytes) -> object:
    def make(place: Path) -> None:
        write_real(place / "Real" / "1__M_Left_thumb_finger.BMP", ridges(1))
        write_real(place / "Altered/Altered-Easy" / "1__M_Left_thumb_finger_CR.BMP", ridges(2))
        (place / "Real" / name).write_bytes(content)

    return make


def png() -> bytes:
    file = io.BytesIO()
    Image.new("L", (30, 30)).save(file, "PNG")
    return file.getvalue()


BROKEN = {
    "absent": (lambda place: None, "place: no such folder or archive"),
    "something else": (Path.mkdir, "place: has no fingerprints in a folder Real"),
    "no zip": (not_a_zip, "place: cannot be read as an archive"),
    "zip of something else": (zip_of_something_else, "place: has no fingerprints in a folder Real"),
    "empty": (empty_folder, "place: has no fingerprints in a folder Real"),
    "name": (with_real("my thumb.BMP", b""), r"Real/my thumb\.BMP: not a name of SOCOFing's"),
    "cut off": (with_real("2__M_Left_thumb_finger.BMP", b"BM"), r"2__M_.* cannot be read as"),
    "PNG": (with_real("2__M_Left_thumb_finger.BMP", png()), r"2__M_.* cannot be read as"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_socofing_is_named(case: str, tmp_path: Path) -> None:
    make, problem = BROKEN[case]
    make(tmp_path / "place")  # type: ignore[operator]
    with pytest.raises(InputError, match=problem):
        load(tmp_path / "place")
