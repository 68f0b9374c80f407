import gzip
import hashlib
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from damage import FUZZED, problem
from spikeduel.data import mnist_like, prepare
from spikeduel.data.fetching import Remote
from spikeduel.data.mnist_like import (
    EMNIST_DIGITS,
    EMNIST_STEMS,
    FASHION_MNIST,
    MNIST,
    MNIST_STEMS,
)
from spikeduel.data.prepared import TEST, TRAIN, DataOptions
from spikeduel.system.errors import InputError
from synthetic_files import idx_bytes, write_mnist_like


def options(folder):
    return DataOptions(data_dir=str(folder))


@pytest.mark.parametrize(
    ("place", "gzipped"), [(".", True), ("raw", False), ("MNIST/raw", False), ("gzip", True)]
)
def test_mnist_is_found_in_the_usual_places(tmp_path, place, gzipped):
    dotted = tuple(stem.replace("-idx", ".idx") for stem in MNIST_STEMS)
    stems = dotted if place == "raw" else MNIST_STEMS
    arrays = write_mnist_like(tmp_path / "mine" / place, stems, gzipped=gzipped)
    raw = MNIST(options(tmp_path / "mine"))
    np.testing.assert_array_equal(raw.images[:60, 0], arrays["train images"])
    np.testing.assert_array_equal(raw.images[60:, 0], arrays["test images"])
    np.testing.assert_array_equal(raw.labels[60:], arrays["test labels"])
    assert raw.official.tolist() == [TRAIN] * 60 + [TEST] * 20
    assert raw.classes == tuple("0123456789")
    assert [int(raw.labels[index]) for index, _ in raw.samples] == list(range(10))


@pytest.mark.parametrize(
    ("stem", "array", "expected"),
    [
        ("train-labels-idx1-ubyte", np.zeros(59), "59 labels for the 60 images"),
        ("t10k-labels-idx1-ubyte", np.full(20, 10), "label 10 is not one of the 10 classes"),
        ("t10k-labels-idx1-ubyte", np.zeros((20, 2)), "bytes in 1 dimensions"),
        ("train-images-idx3-ubyte", np.zeros((60, 20, 28)), "28×28 bytes"),
        ("train-images-idx3-ubyte", np.zeros(60), "bytes in 3 dimensions"),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path, stem, array, expected):
    write_mnist_like(tmp_path)
    (tmp_path / f"{stem}.gz").write_bytes(gzip.compress(idx_bytes(array)))
    with pytest.raises(InputError, match=expected) as caught:
        MNIST(options(tmp_path))
    assert f"{stem}.gz" in str(caught.value)


def test_no_network_says_what_to_do(tmp_path, monkeypatch):
    nowhere = Remote(((tmp_path / "absent").as_uri(),), "")
    files = {f"{stem}.gz": nowhere for stem in MNIST_STEMS} | {mnist_like.EMNIST_ARCHIVE: nowhere}
    monkeypatch.setattr(mnist_like, "remote_files", lambda name: files)
    for dataset in (MNIST, FASHION_MNIST, EMNIST_DIGITS):
        with pytest.raises(InputError, match="--data-dir"):
            dataset(DataOptions())


def emnist_zip(tmp_path):
    arrays = write_mnist_like(tmp_path / "unpacked", EMNIST_STEMS)
    path = tmp_path / "gzip.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("gzip/emnist-letters-train-images-idx3-ubyte.gz", b"not read")
        archive.writestr("../../outside.txt", b"not written")
        for file in (tmp_path / "unpacked").iterdir():
            archive.write(file, f"gzip/{file.name}")
    return path, arrays


def test_emnist_archive_is_read_in_place(tmp_path, monkeypatch):
    path, arrays = emnist_zip(tmp_path)
    remote = Remote((path.as_uri(),), hashlib.md5(path.read_bytes()).hexdigest())
    monkeypatch.setattr(
        mnist_like, "remote_files", lambda name: {mnist_like.EMNIST_ARCHIVE: remote}
    )
    before = set(tmp_path.parent.iterdir())
    for chosen in (DataOptions(), options(path), options(tmp_path)):
        raw = EMNIST_DIGITS(chosen)
        # Turned upright; samples are as they were.
        np.testing.assert_array_equal(raw.images[60, 0], arrays["test images"][0].T)
        np.testing.assert_array_equal(raw.samples[0][1], arrays["train images"][0])
    assert set(tmp_path.parent.iterdir()) == before


def test_emnist_archive_with_a_bomb(tmp_path):
    path, _ = emnist_zip(tmp_path)
    bomb = gzip.compress(idx_bytes(np.zeros((2, 28, 28))) + bytes(2 << 20))
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w") as archive, zipfile.ZipFile(path) as good:
        for name in good.namelist():
            archive.writestr(name, bomb if "digits-train-images" in name else good.read(name))
    with pytest.raises(
        InputError,
        match=r"digits-train-images-idx3-ubyte\.gz: holds .* bytes where its header says",
    ):
        EMNIST_DIGITS(options(tmp_path / "bomb.zip"))


@pytest.mark.parametrize("name", ["digits", "fashion-mnist-mini"])
def test_built_in_sets_need_no_cache(name, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("SPIKEDUEL_CACHE", str(tmp_path / "file"))
    assert len(prepare(name)) > 1000


ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


GOOD = idx_bytes(ARRAY)
LIE = struct.pack(">BBBBIII", 0, 0, 8, 3, 2**31, 2**31, 2**31)
BROKEN = {
    "empty": (b"", "where an idx file"),
    "text": (b"<html>not found</html>", "begins with 0x"),
    "wrong magic": (b"\0\0\x07\x03" + GOOD[4:], "begins with 0x"),
    "truncated": (GOOD[:-1], "holds 39 bytes where its header says 40"),
    "too long": (GOOD + b"x", "holds 41 bytes"),
    "lying header": (LIE, "holds 16 bytes"),
    "truncated gzip": (gzip.compress(GOOD)[:-12], "holds .* bytes where"),
    "damaged gzip": (
        gzip.compress(GOOD)[:15] + b"\xff\xff\xff" + gzip.compress(GOOD)[18:],
        "cannot be read",
    ),
    "gzip in name only": (b"\x1f\x8bnothing of the kind", "cannot be read"),
}


@pytest.mark.parametrize("content", BROKEN)
def test_broken_file_is_named(tmp_path, content):
    path = tmp_path / "train-images-idx3-ubyte.gz"
    path.write_bytes(BROKEN[content][0])
    with pytest.raises(InputError, match=BROKEN[content][1]) as caught:
        mnist_like.read(path, 3)
    assert str(path) in str(caught.value)


@settings(FUZZED, max_examples=25)
@given(
    content=st.one_of(
        st.binary(max_size=60), st.binary(max_size=40).map(lambda tail: b"\0\0\x08" + tail)
    )
)
def test_random_bytes_give_an_array_or_an_input_error(tmp_path, content):
    path = tmp_path / "random"
    for written in (content, gzip.compress(content)):
        path.write_bytes(written)
        assert str(path) in (problem(mnist_like.read, path, 3) or str(path))


def test_places_and_options_that_cannot_be_are_named(tmp_path):
    (tmp_path / "gzip.zip").write_bytes(b"<html>")
    write_mnist_like(tmp_path / "files")
    write_mnist_like(tmp_path / "three")
    (tmp_path / "three" / "t10k-labels-idx1-ubyte.gz").unlink()
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("gzip/other.gz", b"")
    cases = [
        (MNIST, options(tmp_path / "absent"), "absent: the files of mnist are not all there"),
        (MNIST, options(tmp_path / "gzip.zip"), "gzip.zip: cannot be read as a zip file"),
        (MNIST, DataOptions(data_dir=str(tmp_path / "files"), image_size=32), "image_size"),
        (MNIST, options(tmp_path / "three"), r"looked for .*t10k-labels-idx1-ubyte\[\.gz\],"),
        (EMNIST_DIGITS, options(tmp_path / "files"), EMNIST_STEMS[0]),
        (EMNIST_DIGITS, options(tmp_path), r"gzip\.zip: cannot be read as a zip file"),
        (
            EMNIST_DIGITS,
            options(tmp_path / "other.zip"),
            "other.zip: the files of emnist-digits are not all there",
        ),
    ]
    for dataset, chosen, expected in cases:
        with pytest.raises(InputError, match=expected):
            dataset(chosen)
