"""MNIST, Fashion-MNIST and EMNIST digits: four idx files each, given, installed or downloaded; two built-in sets."""

import gzip
import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import BinaryIO

import numpy as np

from spikeduel.data.download import Remote, download, downloads
from spikeduel.data.prepared import TEST, TRAIN, DataOptions, RawDataset, Track
from spikeduel.data.preprocessing import Preprocessing
from spikeduel.system.errors import InputError

_KINDS = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP = b"\x1f\x8b"
_CHUNK = 1 << 20
MAX_BYTES = 2 << 30
"""Larger arrays are refused: a header can claim anything, and a small gzip file can expand to any size."""


def read(path: Path, num_dimensions: int | None = None) -> np.ndarray:
    """The array in an idx file, gzipped or not, of `num_dimensions`. Raises `InputError` naming the file."""
    try:
        with Path(path).open("rb") as file:
            return parse(file, str(path), num_dimensions)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}).") from None


def parse(file: BinaryIO, name: str, num_dimensions: int | None = None) -> np.ndarray:
    """As `read`, from an open file; `name` is what errors call it."""
    gzipped = file.read(2) == _GZIP
    file.seek(0)
    try:
        if gzipped:
            with gzip.GzipFile(fileobj=file) as stream:
                return _parse(stream, name, num_dimensions)
        return _parse(file, name, num_dimensions)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{name}: its gzip data is damaged or cut off ({error}). Download it again.") from None


def _parse(stream: BinaryIO | gzip.GzipFile, name: str, num_dimensions: int | None) -> np.ndarray:
    magic = _take(stream, 4, name)
    kind = _KINDS.get(magic[2])
    if magic[:2] != b"\0\0" or kind is None or magic[3] == 0:
        raise InputError(f"{name}: not an idx file (magic number 0x{magic.hex()}). Download it again.")
    if num_dimensions is not None and magic[3] != num_dimensions:
        raise InputError(
            f"{name}: has {magic[3]} dimensions, {num_dimensions} expected. Are images and labels mixed up?"
        )
    shape = tuple(int(n) for n in np.frombuffer(_take(stream, 4 * magic[3], name), dtype=">u4"))
    dtype = np.dtype(kind)
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES or len(shape) > 32:
        # With 255 dimensions, the number of bytes is beyond what a float can say.
        claims = f"{size:.3g} bytes" if len(shape) <= 32 else f"{len(shape)} dimensions"
        raise InputError(f"{name}: its header claims {claims}, which cannot be right. Download it again.")
    content = _take(stream, size, name)
    if stream.read(1):
        raise InputError(f"{name}: is longer than its header says ({shape}). Download it again.")
    array = np.frombuffer(content, dtype=dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _take(stream: BinaryIO | gzip.GzipFile, size: int, name: str) -> bytearray:
    """Reads exactly `size` bytes, piece by piece: memory grows with what is really there."""
    content = bytearray()
    while len(content) < size:
        piece = stream.read(min(_CHUNK, size - len(content)))
        if not piece:
            raise InputError(f"{name}: cut off after {len(content)} of {size} bytes. Download it again.")
        content += piece
    return content


DIGITS = tuple("0123456789")
GARMENTS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
PARTS = ("train images", "train labels", "test images", "test labels")
MNIST_STEMS = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip
EMNIST_STEMS = tuple(f"emnist-digits-{stem.replace('t10k', 'test')}" for stem in MNIST_STEMS)
EMNIST_ARCHIVE = "emnist-gzip.zip"
EMBEDDED = "fashion_mnist_mini.npz"
_LAYOUTS = (".", "raw", "gzip")


@dataclass(frozen=True)
class _Family:
    """One MNIST-like set: how its files are called, where they usually lie, how its classes are called."""

    name: str
    stems: tuple[str, ...]
    folders: tuple[str, ...]
    classes: tuple[str, ...]
    transposed: bool = False


_MNIST = _Family("mnist", MNIST_STEMS, ("mnist", "MNIST"), DIGITS)
_FASHION = _Family(
    "fashion-mnist",
    MNIST_STEMS,
    ("fashion-mnist", "fashion_mnist", "FashionMNIST", "fashion", "data/fashion"),
    GARMENTS,
)
_EMNIST = _Family("emnist-digits", EMNIST_STEMS, ("emnist-digits", "emnist", "EMNIST"), DIGITS, transposed=True)


def mnist(options: DataOptions) -> RawDataset:
    """MNIST: handwritten digits, 60,000 for training and 10,000 for test, 28×28 grey (LeCun et al. 1998)."""
    return _from_idx(_MNIST, options)


def fashion_mnist(options: DataOptions) -> RawDataset:
    """Fashion-MNIST: 10 garments, 60,000 for training, 10,000 for test, 28×28 grey (Xiao et al. 2017)."""
    return _from_idx(_FASHION, options)


def emnist_digits(options: DataOptions) -> RawDataset:
    """EMNIST digits: 240,000 for training, 40,000 for test, 28×28 grey (Cohen et al. 2017)."""
    return _from_idx(_EMNIST, options)


@dataclass(frozen=True)
class _IdxFiles:
    """The four idx files of a set by `PARTS`: paths, or members of a zip, read in place. `sources` are the user's."""

    members: dict[str, str]
    archive: Path | None = None
    sources: tuple[Path, ...] = ()

    def name(self, part: str) -> str:
        return self.members[part] if self.archive is None else f"{self.archive}/{self.members[part]}"

    def read(self, part: str, num_dimensions: int) -> np.ndarray:
        if self.archive is None:
            return read(Path(self.members[part]), num_dimensions)
        with _opened(self.archive) as archive, archive.open(self.members[part]) as file:
            return parse(file, self.name(part), num_dimensions)  # type: ignore[arg-type]


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except InputError:
        raise
    # zipfile and each of its decompressors have errors of their own for what is damaged.
    except Exception as error:
        raise InputError(f"{path}: cannot be read as a zip file ({error}). Download it again.") from None


def _in_archive(path: Path, sources: tuple[Path, ...] = ()) -> _IdxFiles:
    """The files within EMNIST's `gzip.zip`."""
    with _opened(path) as archive:
        members = {Path(member).name: member for member in archive.namelist()}
    wanted = [f"{stem}.gz" for stem in EMNIST_STEMS]
    if missing := [name for name in wanted if name not in members]:
        raise InputError(f"{path}: has no {missing[0]}. EMNIST's gzip.zip holds {', '.join(wanted)}.")
    return _IdxFiles(dict(zip(PARTS, [members[name] for name in wanted], strict=True)), path, sources)


def _from_idx(family: _Family, options: DataOptions) -> RawDataset:
    if options.image_size not in (None, 28):
        raise InputError(f"image_size: images of {family.name} are 28×28; leave image_size unset.")
    if options.data_dir:
        idx_files = _given(family, Path(options.data_dir).expanduser())
    else:
        idx_files = _installed(family) or _downloaded(family, options.track)
    images, labels = zip(*(_read_side(idx_files, side, family) for side in ("train", "test")), strict=True)
    raw = np.concatenate(images)
    return RawDataset(
        images=(raw.transpose(0, 2, 1) if family.transposed else raw)[:, None],
        labels=np.concatenate(labels).astype(np.int64),
        classes=family.classes,
        preprocessing=Preprocessing(channels=1, height=28, width=28),
        official=np.repeat(np.array([TRAIN, TEST], dtype=np.uint8), [len(part) for part in labels]),
        samples=_first_of_each_class(raw, labels[0]),
        notes=("The raw images are transposed; they are turned upright.",) if family.transposed else (),
        sources=idx_files.sources,
    )


def _read_side(idx_files: _IdxFiles, side: str, family: _Family) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 `[N, 28, 28]` and labels uint8 `[N]`. Raises `InputError` where they do not fit."""
    pixels, labels = idx_files.read(f"{side} images", 3), idx_files.read(f"{side} labels", 1)
    images_name, labels_name = idx_files.name(f"{side} images"), idx_files.name(f"{side} labels")
    if pixels.shape[1:] != (28, 28) or pixels.dtype != np.uint8 or labels.dtype != np.uint8:
        raise InputError(f"{images_name}: holds {pixels.shape}, 28×28 bytes each expected.")
    if len(pixels) != len(labels):
        raise InputError(
            f"{labels_name}: {len(labels)} labels for the {len(pixels)} images in {images_name}. Download both again."
        )
    if not len(labels):
        raise InputError(f"{labels_name}: holds no labels. Download it again.")
    if labels.max() >= len(family.classes):
        raise InputError(
            f"{labels_name}: label {labels.max()} is not one of the {len(family.classes)} classes of {family.name}. Is "
            "it another set's file?"
        )
    return pixels, labels


def _given(family: _Family, folder: Path) -> _IdxFiles:
    if not folder.exists():
        raise InputError(f"data_dir {folder}: no such folder.")
    if folder.is_file():
        if family is _EMNIST:
            return _in_archive(folder, (folder,))
        raise InputError(f"data_dir {folder}: is a file; give the folder that holds the idx files.")
    best: dict[str, Path] = {}
    for place in (folder / base / layout for base in (".", *family.folders) for layout in _LAYOUTS):
        paths = _paths_in(family, place)
        if len(paths) == len(PARTS):
            return _IdxFiles({part: str(path) for part, path in paths.items()}, sources=tuple(paths.values()))
        best = max(best, paths, key=len)
        if family is _EMNIST and (archive := place / "gzip.zip").is_file():
            return _in_archive(archive, (archive,))
    missing = [f"{stem}[.gz]" for stem, part in zip(family.stems, PARTS, strict=True) if part not in best]
    raise InputError(
        f"data_dir {folder}: the files of {family.name} are not all there; "
        f"looked for {', '.join(missing)}, there and in sub-folders such as {family.folders[0]}/ or raw/."
    )


def _paths_in(family: _Family, folder: Path) -> dict[str, Path]:
    paths = {}
    for part, stem in zip(PARTS, family.stems, strict=True):
        dotted = stem.replace("-idx", ".idx")
        candidates = (folder / name for name in (stem, f"{stem}.gz", dotted, f"{dotted}.gz"))
        if path := next(filter(Path.is_file, candidates), None):
            paths[part] = path
    return paths


def _installed(family: _Family) -> _IdxFiles | None:
    paths = _paths_in(family, DEBIAN_FASHION_MNIST) if family is _FASHION else {}
    if len(paths) < len(PARTS):
        return None
    return _IdxFiles({part: str(path) for part, path in paths.items()}, sources=tuple(paths.values()))


def _downloaded(family: _Family, track: Track) -> _IdxFiles:
    remotes, folder = remote_files(family.name), downloads() / ("emnist" if family is _EMNIST else family.name)
    paths = {name: download(remote, folder / name, track, _remedy(family)) for name, remote in remotes.items()}
    if family is _EMNIST:
        return _in_archive(paths[EMNIST_ARCHIVE])
    return _IdxFiles({part: str(paths[f"{stem}.gz"]) for part, stem in zip(PARTS, family.stems, strict=True)})


def _remedy(family: _Family) -> str:
    return (
        f"Check the network and try again, or give a folder that holds {family.stems[0]}.gz and the other three "
        "files with --data-dir; without --data-dir or network there is fashion-mnist-mini."
    )


def remote_files(name: str) -> dict[str, Remote]:
    """The files of the set `name` on the internet, with the mirrors and checksums that torchvision carries."""
    from torchvision import datasets

    if name == "emnist-digits":
        return {EMNIST_ARCHIVE: Remote((datasets.EMNIST.url,), datasets.EMNIST.md5)}
    source = {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST}[name]
    return {file: Remote(tuple(mirror + file for mirror in source.mirrors), md5) for file, md5 in source.resources}


def fashion_mnist_mini(options: DataOptions) -> RawDataset:
    """A part of Fashion-MNIST, embedded: 10,000 images for training, 2,000 for test, 28×28 grey; offline."""
    _require_defaults("fashion-mnist-mini", options, 28)
    with resources.files("spikeduel.data").joinpath(EMBEDDED).open("rb") as file, np.load(file) as stored:
        content = {name: stored[name] for name in stored.files}
    labels = content["labels"].astype(np.int64)
    pixels = lzma.decompress(content["images_xz"].tobytes(), format=lzma.FORMAT_XZ)
    images = np.frombuffer(bytearray(pixels), dtype=np.uint8).reshape(len(labels), 1, 28, 28)
    num_test = int(content["num_test"])
    official = np.full(len(labels), TRAIN, dtype=np.uint8)
    official[len(labels) - num_test :] = TEST
    return RawDataset(
        images=images,
        labels=labels,
        classes=GARMENTS,
        preprocessing=Preprocessing(channels=1, height=28, width=28),
        official=official,
        samples=_first_of_each_class(images[:, 0], labels),
        notes=("The embedded set is a sixth of Fashion-MNIST: accuracies are below those of the full set.",),
    )


def digits(options: DataOptions) -> RawDataset:
    """scikit-learn's digits: 1,797 handwritten digits, 8×8 grey, no official split. Offline."""
    from sklearn.datasets import load_digits

    _require_defaults("digits", options, 8)
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    return RawDataset(
        images=images,
        labels=labels,
        classes=DIGITS,
        preprocessing=Preprocessing(channels=1, height=8, width=8),
        samples=_first_of_each_class(images[:, 0], labels),
    )


def _first_of_each_class(images: np.ndarray, labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    return [(int(first), images[first]) for first in np.unique(labels, return_index=True)[1]]


def _require_defaults(name: str, options: DataOptions, size: int) -> None:
    if options.data_dir is not None:
        raise InputError(f"data_dir: {name} is built in; leave data_dir unset.")
    if options.image_size not in (None, size):
        raise InputError(f"image_size: images of {name} are {size}×{size}; leave image_size unset.")
