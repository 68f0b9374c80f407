"""Images with planted faults."""

from pathlib import Path

import numpy as np
import pytest

from made_recordings import kept, seen
from spikeduel.data import Prepared, Preprocessing
from synthetic_files import write_pictures


@pytest.fixture
def image_folder(tmp_path) -> Path:
    """Two classes, six grey pictures each."""
    write_pictures(tmp_path / "pets" / "cat", 6, seed=1)
    write_pictures(tmp_path / "pets" / "dog", 6, seed=2)
    return tmp_path / "pets"


@pytest.fixture
def make_set():
    """Makes a prepared set: smooth random images of three classes, of which any can be replaced."""

    def make(images=None, labels=None, groups=None, count=300, official=None):
        random = np.random.default_rng(5)
        if images is None:
            coarse = random.random((count, 1, 6, 6))
            images = (np.kron(coarse, np.ones((1, 1, 2, 2))) * 255).astype(np.uint8)
        labels = np.arange(len(images)) % 3 if labels is None else labels
        channels, height, width = images.shape[1:]
        return Prepared(
            name="planted",
            images=images,
            labels=labels,
            classes=("a", "b", "c"),
            preprocessing=Preprocessing(channels, height, width),
            groups=groups,
            official=official,
            samples=[],
            fingerprint="f" * 64,
        )

    return make


SENSOR = (16, 16)


def drawn_picture(seed):
    """A smooth random picture, `SENSOR`, of which a third is dark."""
    coarse = np.random.default_rng(seed).random((4, 4))
    return np.kron(np.maximum(coarse - 0.33, 0), np.ones((4, 4)))


@pytest.fixture
def recorded_events():
    """Events of 120 recordings, each of a picture of its own."""
    return [seen(drawn_picture(number), seed=1000 + number) for number in range(120)]


@pytest.fixture
def make_recorded():
    """Makes a prepared set of recordings of three classes from their events."""

    def make(recorded, labels=None, groups=None):
        images = kept(recorded, SENSOR)
        return Prepared(
            name="planted",
            images=images,
            labels=np.arange(len(recorded)) % 3 if labels is None else labels,
            classes=("a", "b", "c"),
            preprocessing=Preprocessing.of_recordings(images.binning),
            groups=groups,
            samples=[],
            fingerprint="f" * 64,
            names=tuple(f"{number}.bs2" for number in range(len(recorded))),
        )

    return make
