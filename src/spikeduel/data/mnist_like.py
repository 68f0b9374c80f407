"""MNIST, Fashion-MNIST and EMNIST digits as idx files; two built-in sets."""

import lzma
import math
import zipfile
import zlib
from contextlib import ExitStack
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np

from spikeduel.data.fetching import File, Remote, download_all, tree
from spikeduel.data.prepared import TEST, TRAIN, DataOptions, RawDataset
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Track

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
MAX_BYTES = 1 << 28
"""Larger unpacked idx files are refused: EMNIST's have 188 MB."""
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True)
class IdxSet:
    """An MNIST-like set: its classes, usual folders, archives and file names."""

    name: str
    about: str
    classes: tuple[str, ...]
    folders: tuple[str, ...]
    stems: tuple[str, ...] = MNIST_STEMS
    archives: tuple[str, ...] = ()

    def __call__(self, options: DataOptions) -> RawDataset:
        """Return the set, from given files, Debian's package or the internet. Raises
        `InputError`.
        """
        _require_defaults(self.name, options, 28)
        place = None if options.data_dir is None else Path(options.data_dir).expanduser()
        if place is None and self.name == "fashion-mnist" and DEBIAN_FASHION_MNIST.is_dir():
            place = DEBIAN_FASHION_MNIST
        with ExitStack() as stack:
            there = self._files(place or self._downloaded(options.track), stack, options.track)
            train, test = self._part(*there[:2]), self._part(*there[2:])
        images, labels = (np.concatenate(parts) for parts in zip(train, test, strict=True))
        raw = _grey(images, labels, self.classes, len(test[1]))
        if place is not None:
            sources = (
                Path(str(file.root.filename)) if isinstance(file, zipfile.Path) else file
                for file in there
            )
            raw = replace(raw, sources=tuple(dict.fromkeys(sources)))
        if self.stems == MNIST_STEMS:
            return raw
        notes = ("The raw images are transposed; they are turned upright.",)
        return replace(raw, images=images.transpose(0, 2, 1)[:, None], notes=notes)

    def _part(self, images_file: File, labels_file: File) -> tuple[np.ndarray, np.ndarray]:
        pixels, labels = read(images_file, 3), read(labels_file, 1)
        if pixels.shape[1:] != (28, 28):
            raise InputError(f"{images_file}: holds {pixels.shape}, 28×28 bytes each expected.")
        if len(pixels) != len(labels) or not len(labels):
            raise InputError(
                f"{labels_file}: {len(labels)} labels for the {len(pixels)} images in "
                f"{images_file}. Download both again."
            )
        if labels.max() >= len(self.classes):
            raise InputError(
                f"{labels_file}: label {labels.max()} is not one of the {len(self.classes)} "
                f"classes of {self.name}. Is it another set's file?"
            )
        return pixels, labels

    def _files(self, place: Path, stack: ExitStack, track: Track) -> list[File]:
        """Return the four files of a folder, a usual sub-folder, or an archive."""
        inner = (".", "raw", "gzip", *self.archives)
        for folder in [place / base / name for base in (".", *self.folders) for name in inner]:
            names: dict[str, File] = {}
            if folder.is_dir():
                names = {path.name: path for path in folder.iterdir() if path.is_file()}
            elif folder.is_file():
                entries = tree(folder, frozenset({".gz"}), stack)
                names = {Path(path).name: file for path, file in entries.items()}
            there: list[File] = []
            for stem in self.stems:
                dotted = stem.replace("-idx", ".idx")
                known = (stem, f"{stem}.gz", dotted, f"{dotted}.gz")
                there += [names[name] for name in known if name in names][:1]
            if len(there) == len(self.stems):
                return there
        raise InputError(
            f"data_dir {place}: the files of {self.name} are not all there; looked for "
            f"{', '.join(f'{stem}[.gz]' for stem in self.stems)}, there and in sub-folders such as "
            f"{self.folders[0]}/ or raw/."
        )

    def _downloaded(self, track: Track) -> Path:
        remedy = (
            f"Check the network and try again, or give a folder that holds {self.stems[0]}.gz and "
            f"the other three files with --data-dir; without --data-dir or network there is "
            f"fashion-mnist-mini."
        )
        return download_all(self.name, remote_files(self.name), track, remedy)


MNIST = IdxSet(
    "mnist",
    "MNIST: handwritten digits, 60,000 for training and 10,000 for test, 28×28 grey (LeCun et al. "
    "1998).",
    DIGITS,
    ("mnist", "MNIST"),
)
FASHION_MNIST = IdxSet(
    "fashion-mnist",
    "Fashion-MNIST: 10 garments, 60,000 for training, 10,000 for test, 28×28 grey (Xiao et al. "
    "2017).",
    GARMENTS,
    ("fashion-mnist", "fashion_mnist", "FashionMNIST", "fashion", "data/fashion"),
)
EMNIST_DIGITS = IdxSet(
    "emnist-digits",
    "EMNIST digits: 240,000 for training, 40,000 for test, 28×28 grey (Cohen et al. 2017).",
    DIGITS,
    ("emnist-digits", "emnist", "EMNIST"),
    EMNIST_STEMS,
    ("gzip.zip", EMNIST_ARCHIVE),
)


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
        "The embedded set is a sixth of Fashion-MNIST (10,000 of 60,000 images for training, 2,000 "
        "of 10,000 test images): accuracies are below those of the full set.",
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
    """Return a set's files, with torchvision's mirrors and checksums."""
    from torchvision import datasets

    if name == "emnist-digits":
        return {EMNIST_ARCHIVE: Remote((datasets.EMNIST.url,), datasets.EMNIST.md5)}
    source = {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST}[name]
    return {
        file: Remote(tuple(mirror + file for mirror in source.mirrors), md5)
        for file, md5 in source.resources
    }


def read(path: File, num_dimensions: int) -> np.ndarray:
    """Return an idx file's bytes, gzipped or not, uint8. Raises `InputError` naming the file."""
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            content = zlib.decompressobj(wbits=31).decompress(content, MAX_BYTES)
    # zipfile and its decompressors raise many errors for damaged files.
    except Exception as error:
        raise InputError(f"{path}: cannot be read ({error}). Download it again.") from None
    magic, end = bytes([0, 0, 8, num_dimensions]), 4 + 4 * num_dimensions
    shape = [int.from_bytes(content[start : start + 4], "big") for start in range(4, end, 4)]
    if content[:4] != magic:
        raise InputError(
            f"{path}: begins with 0x{content[:4].hex()} where an idx file of bytes in "
            f"{num_dimensions} dimensions begins with 0x{magic.hex()}. Are images and labels mixed "
            f"up? Otherwise download it again."
        )
    if len(content) != (size := end + math.prod(shape)):
        raise InputError(
            f"{path}: holds {len(content):,} bytes where its header says {size:,}. Download it "
            f"again."
        )
    return np.frombuffer(bytearray(content[end:]), np.uint8).reshape(shape)


def _grey(
    images: np.ndarray,
    labels: np.ndarray,
    classes: tuple[str, ...],
    num_test: int,
    notes: tuple[str, ...] = (),
) -> RawDataset:
    """Return a set of grey `images` `[N, H, W]`, the last `num_test` for test."""
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
