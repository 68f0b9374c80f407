"""Makes src/spikeduel/data/fashion_mnist_mini.npz, the data set that is part of the package.

It holds a stratified tenth of the training images of Fashion-MNIST (1,000 a class) and a fifth of
its test images (200 a class), chosen with a fixed seed, without loss. Fashion-MNIST is by Zalando
Research (H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
Machine Learning Algorithms", arXiv:1708.07747, 2017), under the MIT licence, © 2017 Zalando SE. The
original files come from Debian's package dataset-fashion-mnist, or from any folder that holds them:

    python tools/build_fashion_mnist_mini.py [FOLDER]
"""

import lzma
import sys
from pathlib import Path

import numpy as np

from spikeduel.data import mnist_like

TARGET = Path(__file__).parents[1] / "src/spikeduel/data/fashion_mnist_mini.npz"
SEED = 2017
PER_CLASS = {"train": 1000, "t10k": 200}


def chosen(labels: np.ndarray, per_class: int, rng: np.random.Generator) -> np.ndarray:
    """Sorted rows, `per_class` of each class."""
    rows = [
        rng.choice(np.flatnonzero(labels == k), per_class, replace=False) for k in np.unique(labels)
    ]
    return np.sort(np.concatenate(rows))


def main(folder: Path) -> None:
    rng = np.random.default_rng(SEED)
    images, labels, rows = [], [], []
    for side, per_class in PER_CLASS.items():
        all_labels = mnist_like.read(folder / f"{side}-labels-idx1-ubyte.gz", 1)
        picked = chosen(all_labels, per_class, rng)
        images.append(mnist_like.read(folder / f"{side}-images-idx3-ubyte.gz", 3)[picked])
        labels.append(all_labels[picked])
        rows.append(picked)
    # lzma packs these pixels a quarter smaller than npz's own deflate does, and unpacks in a fifth
    # of a second.
    packed = lzma.compress(np.concatenate(images).tobytes(), preset=9 | lzma.PRESET_EXTREME)
    np.savez(
        TARGET,
        images_xz=np.frombuffer(packed, dtype=np.uint8),
        labels=np.concatenate(labels),
        rows=np.concatenate(rows).astype(np.uint16),
        num_test=np.int64(len(rows[1])),
    )
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/datasets/fashion-mnist"))
