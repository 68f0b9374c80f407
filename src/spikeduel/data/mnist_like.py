"""MNIST, Fashion-MNIST and EMNIST digits: four idx files each, given, installed or downloaded; two
built-in sets.
"""

import gzip
import lzma
import math
import zipfile
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from spikeduel.data.downloading import Remote, download
from spikeduel.data.prepared import TEST, TRAIN, DataOptions, RawDataset
from spikeduel.data.workers import Track
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.system import files
from spikeduel.system.errors import InputError

IdxFile = Path | zipfile.Path
DIGITS = tuple("0123456789")
GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
MNIST_STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
EMNIST_STEMS = tuple(f"emnist-digits-{stem.replace('t10k', 'test')}" for stem in MNIST_STEMS)
EMNIST_ARCHIVE = "emnist-gzip.zip"
EMBEDDED = "fashion_mnist_mini.npz"
MAX_BYTES = 2 << 30
"""Larger arrays are refused: a header can claim anything, and a small gzip file can expand to any
size.
"""
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20


class _Family(NamedTuple):
    """An MNIST-like set: its classes, the folders where its files usually lie, and their names."""

    name: str
    classes: tuple[str, ...]
    folders: tuple[str, ...]
    stems: tuple[str, ...] = MNIST_STEMS


_MNIST = _Family("mnist", DIGITS, ("mnist", "MNIST"))
_FASHION = _Family(
    "fashion-mnist",
    GARMENTS,
    ("fashion-mnist", "fashion_mnist", "FashionMNIST", "fashion", "data/fashion"),
)
_EMNIST = _Family("emnist-digits", DIGITS, ("emnist-digits", "emnist", "EMNIST"), EMNIST_STEMS)


def mnist(options: DataOptions) -> RawDataset:
    """MNIST: handwritten digits, 60,000 for training and 10,000 for test, 28×28 grey (LeCun et al.
    1998).
    """
    return _from_idx(_MNIST, options)


def fashion_mnist(options: DataOptions) -> RawDataset:
    """Fashion-MNIST: 10 garments, 60,000 for training, 10,000 for test, 28×28 grey (Xiao et al.
    2017).
    """
    return _from_idx(_FASHION, options)


def emnist_digits(options: DataOptions) -> RawDataset:
    """EMNIST digits: 240,000 for training, 40,000 for test, 28×28 grey (Cohen et al. 2017)."""
    return _from_idx(_EMNIST, options)


def fashion_mnist_mini(options: DataOptions) -> RawDataset:
    """A part of Fashion-MNIST, embedded: 10,000 images for training, 2,000 for test, 28×28 grey;
    offline.
    """
    _require_defaults("fashion-mnist-mini", options, 28)
    stored_at = resources.files("spikeduel.data").joinpath(EMBEDDED)
    with stored_at.open("rb") as file, np.load(file) as stored:
        labels, num_test = stored["labels"], int(stored["num_test"])
        pixels = lzma.decompress(stored["images_xz"].tobytes(), format=lzma.FORMAT_XZ)
    images = np.frombuffer(bytearray(pixels), dtype=np.uint8).reshape(-1, 28, 28)
    notes = (
        "The embedded set is a sixth of Fashion-MNIST: accuracies are below those of the full set.",
    )
    return _grey(images, labels, GARMENTS, num_test, notes)


def digits(options: DataOptions) -> RawDataset:
    """scikit-learn's digits: 1,797 handwritten digits, 8×8 grey, no official split. Offline."""
    from sklearn.datasets import load_digits

    _require_defaults("digits", options, 8)
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    return _grey(images, bunch.target, DIGITS, num_test=0)


def remote_files(name: str) -> dict[str, Remote]:
    """Return the files of the set `name` on the internet, with the mirrors and checksums that
    torchvision carries.
    """
    from torchvision import datasets

    if name == "emnist-digits":
        return {EMNIST_ARCHIVE: Remote((datasets.EMNIST.url,), datasets.EMNIST.md5)}
    source = {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST}[name]
    return {
        file: Remote(tuple(mirror + file for mirror in source.mirrors), md5)
        for file, md5 in source.resources
    }


def read(path: IdxFile, num_dimensions: int) -> np.ndarray:
    """Return the bytes in an idx file, gzipped or not: uint8, of `num_dimensions`. Raises
    `InputError` naming the file.
    """
    try:
        with path.open("rb") as file:
            is_gzipped = file.read(2) == _GZIP
            file.seek(0)
            return _array(gzip.GzipFile(fileobj=file) if is_gzipped else file, num_dimensions)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    # gzip, zipfile and each of its decompressors have errors of their own for what is damaged.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
        raise InputError(
            f"{path}: its gzip data is damaged or cut off ({error}). Download it again."
        ) from None


def _array(stream: IO[bytes] | gzip.GzipFile, num_dimensions: int) -> np.ndarray:
    magic = _take(stream, 4)
    if magic[:3] != b"\0\0\x08":
        raise InputError(
            f"not an idx file (magic number 0x{magic.hex()}) of bytes. Download it again."
        )
    if magic[3] != num_dimensions:
        raise InputError(
            f"has {magic[3]} dimensions, {num_dimensions} expected. Are images and labels mixed up?"
        )
    shape = tuple(np.frombuffer(_take(stream, 4 * num_dimensions), dtype=">u4").tolist())
    if (size := math.prod(shape)) > MAX_BYTES:
        raise InputError(
            f"its header claims {size:.3g} bytes, which cannot be right. Download it again."
        )
    content = _take(stream, size)
    if stream.read(1):
        raise InputError(f"is longer than its header says ({shape}). Download it again.")
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _take(stream: IO[bytes] | gzip.GzipFile, size: int) -> bytearray:
    """Read exactly `size` bytes, piece by piece: memory grows with what is really there."""
    content = bytearray()
    while piece := stream.read(min(_CHUNK, size - len(content))):
        content += piece
    if len(content) < size:
        raise InputError(f"cut off after {len(content)} of {size} bytes. Download it again.")
    return content


def _from_idx(family: _Family, options: DataOptions) -> RawDataset:
    _require_defaults(family.name, options, 28)
    idx_files: list[IdxFile] = []
    if options.data_dir:
        idx_files = _given(family, Path(options.data_dir).expanduser())
    elif family is _FASHION and len(installed := _paths_in(family, DEBIAN_FASHION_MNIST)) == 4:
        idx_files = list(installed.values())
    sources = [
        Path(str(file.root.filename)) if isinstance(file, zipfile.Path) else file
        for file in idx_files
    ]
    train_images, train_labels, *test_files = idx_files or _downloaded(family, options.track)
    train, test = _read_side(family, train_images, train_labels), _read_side(family, *test_files)
    images, labels = (np.concatenate(sides) for sides in zip(train, test, strict=True))
    raw = _grey(images, labels, family.classes, len(test[1]))
    raw = replace(raw, sources=tuple(dict.fromkeys(sources)))
    if family is not _EMNIST:
        return raw
    notes = ("The raw images are transposed; they are turned upright.",)
    return replace(raw, images=images.transpose(0, 2, 1)[:, None], notes=notes)


def _grey(
    images: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...],
    num_test: int,
    notes: tuple[str, ...] = (),
) -> RawDataset:
    """Return a set of grey `images` `[N, H, W]`, the last `num_test` of them for test."""
    num_train = len(labels) - num_test
    firsts = np.unique(labels, return_index=True)[1].tolist()
    official = np.repeat(np.array([TRAIN, TEST], np.uint8), [num_train, num_test])
    return RawDataset(
        images=images[:, None],
        labels=labels.astype(np.int64),
        classes=classes,
        preprocessing=Preprocessing(1, *images.shape[1:]),
        official=official if num_test else None,
        samples=[(first, images[first]) for first in firsts],
        notes=notes,
    )


def _require_defaults(name: str, options: DataOptions, size: int) -> None:
    if options.data_dir is not None and name in ("digits", "fashion-mnist-mini"):
        raise InputError(f"data_dir: {name} is built in; leave data_dir unset.")
    if options.image_size not in (None, size):
        raise InputError(f"image_size: images of {name} are {size}×{size}; leave image_size unset.")


def _read_side(
    family: _Family, images_file: IdxFile, labels_file: IdxFile
) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = read(images_file, 3), read(labels_file, 1)
    if pixels.shape[1:] != (28, 28):
        raise InputError(f"{images_file}: holds {pixels.shape}, 28×28 bytes each expected.")
    if len(pixels) != len(labels):
        raise InputError(
            f"{labels_file}: {len(labels)} labels for the {len(pixels)} images in {images_file}. "
            f"Download both again."
        )
    if not len(labels):
        raise InputError(f"{labels_file}: holds no labels. Download it again.")
    if labels.max() >= len(family.classes):
        raise InputError(
            f"{labels_file}: label {labels.max()} is not one of the {len(family.classes)} classes "
            f"of {family.name}. Is it another set's file?"
        )
    return pixels, labels


def _given(family: _Family, folder: Path) -> list[IdxFile]:
    if not folder.exists():
        raise InputError(f"data_dir {folder}: no such folder.")
    if folder.is_file():
        if family is _EMNIST:
            return _in_archive(folder)
        raise InputError(f"data_dir {folder}: is a file; give the folder that holds the idx files.")
    best: dict[str, Path] = {}
    for base in (".", *family.folders):
        for place in (folder / base, folder / base / "raw", folder / base / "gzip"):
            paths = _paths_in(family, place)
            if len(paths) == 4:
                return list(paths.values())
            best = max(best, paths, key=len)
            if family is _EMNIST and (archive := place / "gzip.zip").is_file():
                return _in_archive(archive)
    missing = [f"{stem}[.gz]" for stem in family.stems if stem not in best]
    raise InputError(
        f"data_dir {folder}: the files of {family.name} are not all there; looked for "
        f"{', '.join(missing)}, there and in sub-folders such as {family.folders[0]}/ or raw/."
    )


def _paths_in(family: _Family, folder: Path) -> dict[str, Path]:
    names = {
        stem: [
            f"{name}{end}" for name in (stem, stem.replace("-idx", ".idx")) for end in ("", ".gz")
        ]
        for stem in family.stems
    }
    there = {
        stem: [folder / name for name in names[stem] if (folder / name).is_file()] for stem in names
    }
    return {stem: paths[0] for stem, paths in there.items() if paths}


def _in_archive(path: Path) -> list[IdxFile]:
    try:
        archive = zipfile.ZipFile(path)
        members = {Path(member).name: member for member in archive.namelist()}
    # zipfile stumbles on a damaged directory in many ways.
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a zip ({error}). Download it again.") from None
    names = [f"{stem}.gz" for stem in EMNIST_STEMS]
    if missing := [name for name in names if name not in members]:
        raise InputError(
            f"{path}: has no {missing[0]}. EMNIST's gzip.zip holds {', '.join(names)}."
        )
    return [zipfile.Path(archive, members[name]) for name in names]


def _downloaded(family: _Family, track: Track) -> list[IdxFile]:
    folder = files.cache_dir() / "downloads" / ("emnist" if family is _EMNIST else family.name)
    remedy = (
        f"Check the network and try again, or give a folder that holds {family.stems[0]}.gz and "
        f"the other three files with --data-dir; without --data-dir or network there is "
        f"fashion-mnist-mini."
    )
    paths = {
        name: download(remote, folder / name, track, remedy)
        for name, remote in remote_files(family.name).items()
    }
    if family is _EMNIST:
        return _in_archive(paths[EMNIST_ARCHIVE])
    return [paths[f"{stem}.gz"] for stem in family.stems]
