"""Synthetic data, and no data set that the machine happens to have."""

import numpy as np
import pytest

from spikeduel.data import mnist_like
from spikeduel.data.prepared import RawDataset, from_raw
from spikeduel.inputs.preprocessing import Preprocessing
from synthetic_files import write_pictures


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder of this test; no set that this machine has is read."""
    monkeypatch.setattr(mnist_like, "DEBIAN_FASHION_MNIST", tmp_path / "not-installed")
    return tmp_path / "cache"


@pytest.fixture
def image_folder(tmp_path):
    """Two classes, six grey pictures each."""
    root = tmp_path / "pets"
    write_pictures(root / "cat", 6, seed=1)
    write_pictures(root / "dog", 6, seed=2)
    return root


@pytest.fixture
def make_prepared():
    """Makes a small set of noise from its labels, with groups and an official split if wanted."""

    def make(labels, groups=None, official=None, name="noise"):
        rng = np.random.default_rng(0)
        classes = tuple(f"class {k}" for k in range(int(np.max(labels)) + 1))
        images = rng.integers(0, 256, (len(labels), 1, 4, 4), dtype=np.uint8)
        raw = RawDataset(
            images, np.asarray(labels), classes, Preprocessing(1, 4, 4), groups, official
        )
        return from_raw(name, raw)

    return make
