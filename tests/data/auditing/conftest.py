"""Images with planted faults."""

import numpy as np
import pytest

from spikeduel.data import Prepared, Preprocessing


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
            name="planted", images=images, labels=labels, classes=("a", "b", "c"),
            preprocessing=Preprocessing(channels, height, width), groups=groups, official=official, samples=[],
            fingerprint="f" * 64,
        )  # fmt: skip

    return make
