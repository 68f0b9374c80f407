"""MNIST, Fashion-MNIST and EMNIST digits: four idx files each, given, installed or downloaded; two
built-in sets.
"""

import gzip
import lzma
import math
import zipfile
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
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20
MAX_BYTES = 2 << 30
"""Larger arrays are refused: a header can claim anything, and a small gzip file can expand to any
size.
"""


def read(path: IdxFile, num_dimensions: int) -> np.ndarray:
    """The bytes in an idx file, gzipped or not: uint8, of `num_dimensions`. Raises `InputError`
    naming the file.
    """
    try:
        with path.open("rb") as file:
            is_gzipped = file.read(2) == _GZIP
            file.seek(0)
            stream = gzip.GzipFile(fileobj=file) if is_gzipped else file
            magic = _take(stream, 4)
            if magic[:3] != b"\0\0\x08":
                raise InputError(
                    f"not an idx file (magic number 0x{magic.hex()}) of bytes. Download it again."
                )
            if magic[3] != num_dimensions:
                problem = f"has {magic[3]} dimensions, {num_dimensions} expected"
                raise InputError(f"{problem}. Are images and labels mixed up?")
            shape = tuple(
                int(n) for n in np.frombuffer(_take(stream, 4 * num_dimensions), dtype=">u4")
            )
            if (size := math.prod(shape)) > MAX_BYTES:
                raise InputError(
                    f"its header claims {size:.3g} bytes, which cannot be right. Download it again."
                )
            content = _take(stream, size)
            if stream.read(1):
                raise InputError(f"is longer than its header says ({shape}). Download it again.")
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    # gzip, zipfile and each of its decompressors have errors of their own for what is damaged.
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
        raise InputError(
            f"{path}: its gzip data is damaged or cut off ({error}). Download it again."
        ) from None
    return np.frombuffer(content, dtype=np.uint8).reshape(shape)


def _take(stream: IO[bytes] | gzip.GzipFile, size: int) -> bytearray:
    """Reads exactly `size` bytes, piece by piece: memory grows with what is really there."""
    content = bytearray()
    while piece := stream.read(min(_CHUNK, size - len(content))):
        content += piece
    if len(content) < size:
        raise InputError(f"cut off after {len(content)} of {size} bytes. Download it again.")
    return content


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


class _Family(NamedTuple):
    """One MNIST-like set: how its classes are called, where its files usually lie, how they are
    called.
    """

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
    train_images, train_labels, test_images, test_labels = idx_files or _downloaded(
        family, options.track
    )
    train, test = (
        _read_side(family, train_images, train_labels),
        _read_side(family, test_images, test_labels),
    )
    images, labels = (np.concatenate(sides) for sides in zip(train, test, strict=True))
    is_transposed = family is _EMNIST
    return RawDataset(
        images=(images.transpose(0, 2, 1) if is_transposed else images)[:, None],
        labels=labels.astype(np.int64),
        classes=family.classes,
        preprocessing=Preprocessing(channels=1, height=28, width=28),
        official=np.repeat(np.array([TRAIN, TEST], dtype=np.uint8), [len(train[1]), len(test[1])]),
        samples=_first_of_each_class(*train),
        notes=("The raw images are transposed; they are turned upright.",) if is_transposed else (),
        sources=tuple(dict.fromkeys(sources)),
    )


def _read_side(
    family: _Family, images_file: IdxFile, labels_file: IdxFile
) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[N, 28, 28]` and labels uint8 `[N]`. Raises `InputError` where they do not
    fit.
    """
    pixels, labels = read(images_file, 3), read(labels_file, 1)
    if pixels.shape[1:] != (28, 28):
        raise InputError(f"{images_file}: holds {pixels.shape}, 28×28 bytes each expected.")
    if len(pixels) != len(labels):
        problem = f"{len(labels)} labels for the {len(pixels)} images in {images_file}"
        raise InputError(f"{labels_file}: {problem}. Download both again.")
    if not len(labels):
        raise InputError(f"{labels_file}: holds no labels. Download it again.")
    if labels.max() >= len(family.classes):
        classes = f"{len(family.classes)} classes of {family.name}"
        raise InputError(
            f"{labels_file}: label {labels.max()} is not one of the {classes}. Is it another set's "
            f"file?"
        )
    return pixels, labels


def _given(family: _Family, folder: Path) -> list[IdxFile]:
    """The user's four files: in `folder`, below it, or for EMNIST in a zip. Raises `InputError`."""
    if not folder.exists():
        raise InputError(f"data_dir {folder}: no such folder.")
    if folder.is_file():
        if family is _EMNIST:
            return _in_archive(folder)
        raise InputError(f"data_dir {folder}: is a file; give the folder that holds the idx files.")
    best: dict[str, Path] = {}
    for place in (
        folder / base / layout for base in (".", *family.folders) for layout in (".", "raw", "gzip")
    ):
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
    """Those of the family's files that are in `folder`, by stem."""
    paths = {}
    for stem in family.stems:
        names = (name + end for name in (stem, stem.replace("-idx", ".idx")) for end in ("", ".gz"))
        if found := [folder / name for name in names if (folder / name).is_file()]:
            paths[stem] = found[0]
    return paths


def _in_archive(path: Path) -> list[IdxFile]:
    """The files within EMNIST's `gzip.zip`, read in place."""
    try:
        archive = zipfile.ZipFile(path)
        members = {Path(member).name: member for member in archive.namelist()}
    # zipfile stumbles on a damaged directory in many ways.
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a zip ({error}). Download it again.") from None
    wanted = [f"{stem}.gz" for stem in EMNIST_STEMS]
    if missing := [name for name in wanted if name not in members]:
        raise InputError(
            f"{path}: has no {missing[0]}. EMNIST's gzip.zip holds {', '.join(wanted)}."
        )
    return [zipfile.Path(archive, members[name]) for name in wanted]


def _downloaded(family: _Family, track: Track) -> list[IdxFile]:
    folder = files.cache_dir() / "downloads" / ("emnist" if family is _EMNIST else family.name)
    remedy = (
        f"Check the network and try again, or give a folder that holds {family.stems[0]}.gz and "
        f"the other three "
        "files with --data-dir; without --data-dir or network there is fashion-mnist-mini."
    )
    remotes = remote_files(family.name)
    paths = {
        name: download(remote, folder / name, track, remedy) for name, remote in remotes.items()
    }
    return (
        _in_archive(paths[EMNIST_ARCHIVE])
        if family is _EMNIST
        else [paths[f"{stem}.gz"] for stem in family.stems]
    )


def remote_files(name: str) -> dict[str, Remote]:
    """The files of the set `name` on the internet, with the mirrors and checksums that torchvision
    carries.
    """
    from torchvision import datasets

    if name == "emnist-digits":
        return {EMNIST_ARCHIVE: Remote((datasets.EMNIST.url,), datasets.EMNIST.md5)}
    source = {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST}[name]
    return {
        file: Remote(tuple(mirror + file for mirror in source.mirrors), md5)
        for file, md5 in source.resources
    }


def fashion_mnist_mini(options: DataOptions) -> RawDataset:
    """A part of Fashion-MNIST, embedded: 10,000 images for training, 2,000 for test, 28×28 grey;
    offline.
    """
    _require_defaults("fashion-mnist-mini", options, 28)
    with (
        resources.files("spikeduel.data").joinpath(EMBEDDED).open("rb") as file,
        np.load(file) as stored,
    ):
        labels, num_test = stored["labels"].astype(np.int64), int(stored["num_test"])
        pixels = lzma.decompress(stored["images_xz"].tobytes(), format=lzma.FORMAT_XZ)
    images = np.frombuffer(bytearray(pixels), dtype=np.uint8).reshape(len(labels), 1, 28, 28)
    return RawDataset(
        images=images,
        labels=labels,
        classes=GARMENTS,
        preprocessing=Preprocessing(channels=1, height=28, width=28),
        official=np.repeat(
            np.array([TRAIN, TEST], dtype=np.uint8), [len(labels) - num_test, num_test]
        ),
        samples=_first_of_each_class(images[:, 0], labels),
        notes=(
            "The embedded set is a sixth of Fashion-MNIST: accuracies are below those of the full "
            "set.",
        ),
    )


def digits(options: DataOptions) -> RawDataset:
    """scikit-learn's digits: 1,797 handwritten digits, 8×8 grey, no official split. Offline."""
    from sklearn.datasets import load_digits

    _require_defaults("digits", options, 8)
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)
    labels = bunch.target.astype(np.int64)
    return RawDataset(
        images=images[:, None],
        labels=labels,
        classes=DIGITS,
        preprocessing=Preprocessing(channels=1, height=8, width=8),
        samples=_first_of_each_class(images, labels),
    )


def _first_of_each_class(images: np.ndarray, labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    return [(int(first), images[first]) for first in np.unique(labels, return_index=True)[1]]


def _require_defaults(name: str, options: DataOptions, size: int) -> None:
    if options.data_dir is not None and name in ("digits", "fashion-mnist-mini"):
        raise InputError(f"data_dir: {name} is built in; leave data_dir unset.")
    if options.image_size not in (None, size):
        raise InputError(f"image_size: images of {name} are {size}×{size}; leave image_size unset.")
