"""MNIST, Fashion-MNIST and EMNIST digits: four idx files each, given, installed or downloaded."""

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikeduel.data import idx
from spikeduel.data.download import Remote, download, downloads
from spikeduel.data.prepared import TEST, TRAIN, DataOptions, Preprocessing, RawDataset
from spikeduel.system.errors import InputError

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
PARTS = ("train images", "train labels", "test images", "test labels")
MNIST_STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
EMNIST_STEMS = (
    "emnist-digits-train-images-idx3-ubyte",
    "emnist-digits-train-labels-idx1-ubyte",
    "emnist-digits-test-images-idx3-ubyte",
    "emnist-digits-test-labels-idx1-ubyte",
)
EMNIST_ARCHIVE = "emnist-gzip.zip"
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
    return _from_idx(_MNIST, options, lambda: _downloaded_files(_MNIST, options))


def fashion_mnist(options: DataOptions) -> RawDataset:
    """Fashion-MNIST: 10 garments, 60,000 for training, 10,000 for test, 28×28 grey (Xiao et al. 2017)."""
    return _from_idx(_FASHION, options, lambda: _installed(options) or _downloaded_files(_FASHION, options))


def emnist_digits(options: DataOptions) -> RawDataset:
    """EMNIST digits: 240,000 for training, 40,000 for test, 28×28 grey (Cohen et al. 2017)."""
    return _from_idx(_EMNIST, options, lambda: _EmnistArchive(_downloaded_emnist(options)))


class _Files:
    """The four idx files of a set, each in a file of its own."""

    def __init__(self, paths: dict[str, Path], are_the_users: bool = True) -> None:
        self._paths = paths
        self.sources = tuple(paths.values()) if are_the_users else ()

    def name(self, part: str) -> str:
        return str(self._paths[part])

    def read(self, part: str, num_dimensions: int) -> np.ndarray:
        return idx.read(self._paths[part], num_dimensions)


class _EmnistArchive:
    """The four idx files within EMNIST's `gzip.zip`, read in place: nothing is unpacked to disk."""

    def __init__(self, path: Path, are_the_users: bool = False) -> None:
        self._path = path
        self.sources = (path,) if are_the_users else ()
        with self._opened() as archive:
            members = {Path(member).name: member for member in archive.namelist()}
        wanted = [f"{stem}.gz" for stem in EMNIST_STEMS]
        missing = [name for name in wanted if name not in members]
        if missing:
            raise InputError(f"{path}: has no {missing[0]}. EMNIST's gzip.zip holds {', '.join(wanted)}.")
        self._members = dict(zip(PARTS, [members[name] for name in wanted], strict=True))

    @contextmanager
    def _opened(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                yield archive
        except InputError:
            raise
        # zipfile and each of its decompressors have errors of their own for what is damaged.
        except Exception as error:
            raise InputError(f"{self._path}: cannot be read as a zip file ({error}). Download it again.") from None

    def name(self, part: str) -> str:
        return f"{self._path}/{self._members[part]}"

    def read(self, part: str, num_dimensions: int) -> np.ndarray:
        with self._opened() as archive, archive.open(self._members[part]) as file:
            return idx.parse(file, self.name(part), num_dimensions)  # type: ignore[arg-type]


def _from_idx(family: _Family, options: DataOptions, elsewhere: Callable[[], _Files | _EmnistArchive]) -> RawDataset:
    if options.image_size not in (None, 28):
        raise InputError(f"image_size: images of {family.name} are 28×28; leave image_size unset.")
    files = _given(family, Path(options.data_dir).expanduser()) if options.data_dir else elsewhere()
    images, labels = [], []
    for side in ("train", "test"):
        pixels, digits = files.read(f"{side} images", 3), files.read(f"{side} labels", 1)
        if pixels.shape[1:] != (28, 28) or pixels.dtype != np.uint8 or digits.dtype != np.uint8:
            raise InputError(f"{files.name(f'{side} images')}: holds {pixels.shape}, 28×28 bytes each expected.")
        if len(pixels) != len(digits):
            raise InputError(
                f"{files.name(f'{side} labels')}: {len(digits)} labels for the {len(pixels)} images in "
                f"{files.name(f'{side} images')}. Download both again."
            )
        if not len(digits):
            raise InputError(f"{files.name(f'{side} labels')}: holds no labels. Download it again.")
        if digits.max() >= len(family.classes):
            raise InputError(
                f"{files.name(f'{side} labels')}: label {digits.max()} is not one of the {len(family.classes)} "
                f"classes of {family.name}. Is it another set's file?"
            )
        images.append(pixels)
        labels.append(digits)
    raw = np.concatenate(images)
    firsts = [int(np.argmax(labels[0] == k)) for k in range(len(family.classes)) if (labels[0] == k).any()]
    return RawDataset(
        images=(raw.transpose(0, 2, 1) if family.transposed else raw)[:, None],
        labels=np.concatenate(labels).astype(np.int64),
        classes=family.classes,
        preprocessing=Preprocessing(channels=1, height=28, width=28),
        official=np.repeat(np.array([TRAIN, TEST], dtype=np.uint8), [len(part) for part in labels]),
        samples=[(first, raw[first]) for first in firsts],
        notes=("The raw images are transposed; they are turned upright.",) if family.transposed else (),
        sources=files.sources,
    )


def _given(family: _Family, folder: Path) -> _Files | _EmnistArchive:
    if not folder.exists():
        raise InputError(f"data_dir {folder}: no such folder.")
    if folder.is_file():
        if family is _EMNIST:
            return _EmnistArchive(folder, are_the_users=True)
        raise InputError(f"data_dir {folder}: is a file; give the folder that holds the idx files.")
    best: dict[str, Path] = {}
    for place in _places(family, folder):
        found = _found(family, place)
        if len(found) == len(PARTS):
            return _Files(found)
        best = max(best, found, key=len)
        if family is _EMNIST and (archive := place / "gzip.zip").is_file():
            return _EmnistArchive(archive, are_the_users=True)
    missing = [f"{stem}[.gz]" for stem, part in zip(family.stems, PARTS, strict=True) if part not in best]
    raise InputError(
        f"data_dir {folder}: the files of {family.name} are not all there; "
        f"looked for {', '.join(missing)}, there and in sub-folders such as {family.folders[0]}/ or raw/."
    )


def _places(family: _Family, folder: Path) -> list[Path]:
    return [
        folder / base / layout
        for base in (".", *family.folders)
        for layout in _LAYOUTS
        if (folder / base / layout).is_dir()
    ]


def _found(family: _Family, folder: Path) -> dict[str, Path]:
    found = {}
    for part, stem in zip(PARTS, family.stems, strict=True):
        dotted = stem.replace("-idx", ".idx")
        for name in (stem, f"{stem}.gz", dotted, f"{dotted}.gz"):
            if (folder / name).is_file():
                found[part] = folder / name
                break
    return found


def _installed(options: DataOptions) -> _Files | None:
    found = _found(_FASHION, DEBIAN_FASHION_MNIST)
    return _Files(found) if len(found) == len(PARTS) else None


def _downloaded_files(family: _Family, options: DataOptions) -> _Files:
    remotes = remote_files(family.name)
    paths = {}
    for part, stem in zip(PARTS, family.stems, strict=True):
        target = downloads() / family.name / f"{stem}.gz"
        paths[part] = download(remotes[target.name], target, options.track, _remedy(family))
    return _Files(paths, are_the_users=False)


def _downloaded_emnist(options: DataOptions) -> Path:
    target = downloads() / "emnist" / EMNIST_ARCHIVE
    return download(remote_files("emnist-digits")[EMNIST_ARCHIVE], target, options.track, _remedy(_EMNIST))


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
