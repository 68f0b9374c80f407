"""Synthetic data, and no data set that the machine happens to have."""

from pathlib import Path

import numpy as np
import pytest

from spikeduel.data import mnist_like
from spikeduel.data.prepared import Prepared, RawDataset, from_raw
from spikeduel.networks.preprocessing import Preprocessing
from synthetic_files import MakePrepared, write_pictures


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test; nothing outside `tmp_path` is read or written."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SPIKEDUEL_CACHE", str(folder))
    monkeypatch.setattr(mnist_like, "DEBIAN_FASHION_MNIST", tmp_path / "not-installed")
    return folder


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Two classes, six grey pictures each."""
    root = tmp_path / "pets"
    write_pictures(root / "cat", 6, seed=1)
    write_pictures(root / "dog", 6, seed=2)
    return root


@pytest.fixture
def make_prepared() -> MakePrepared:
    """Makes a small set of noise from its labels, with groups and an official split if wanted."""

    def make(
        labels: np.ndarray, groups: np.ndarray | None = None, official: np.ndarray | None = None
    ) -> Prepared:
        rng = np.random.default_rng(0)
        classes = tuple(f"class {k}" for k in range(int(np.max(labels)) + 1))
        images = rng.integers(0, 256, (len(labels), 1, 4, 4), dtype=np.uint8)
        raw = RawDataset(
            images, np.asarray(labels), classes, Preprocessing(1, 4, 4), groups, official
        )
        return from_raw("noise", raw)

    return make
