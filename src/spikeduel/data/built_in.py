"""The sets that need neither network nor cache: scikit-learn's digits, embedded Fashion-MNIST."""

import lzma
from importlib import resources

import numpy as np

from spikeduel.data.mnist_like import DIGITS, GARMENTS
from spikeduel.data.prepared import TEST, TRAIN, DataOptions, Preprocessing, RawDataset
from spikeduel.system.errors import InputError

EMBEDDED = "fashion_mnist_mini.npz"


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
        samples=_firsts(images, labels),
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
        samples=_firsts(images, labels),
    )


def _firsts(images: np.ndarray, labels: np.ndarray) -> list[tuple[int, np.ndarray]]:
    firsts = [int(np.argmax(labels == k)) for k in range(int(labels.max()) + 1)]
    return [(first, images[first, 0]) for first in firsts]


def _require_defaults(name: str, options: DataOptions, size: int) -> None:
    if options.data_dir is not None:
        raise InputError(f"data_dir: {name} is built in; leave data_dir unset.")
    if options.image_size not in (None, size):
        raise InputError(f"image_size: images of {name} are {size}×{size}; leave image_size unset.")
