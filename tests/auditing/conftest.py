"""Images and recordings with planted faults."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from made_events import recordings_of, seen
from spikeduel.auditing import AuditInput, SplitIndices


@pytest.fixture
def random():
    """A seeded numpy generator."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def digits():
    """Digits uint8 `[1797, 1, 8, 8]` and their labels."""
    bunch = load_digits()
    return np.rint(bunch.images * (255 / 16)).astype(np.uint8)[:, None], bunch.target


SPLIT = SplitIndices(np.arange(200), np.arange(200, 240), np.arange(240, 300))


@pytest.fixture
def make_set():
    """Makes the input of an audit: 300 smooth random images of three classes, of which any can be
    replaced.
    """

    def make(images=None, **changes):
        if images is None:
            coarse = np.random.default_rng(5).random((300, 1, 6, 6))
            images = (np.kron(coarse, np.ones((1, 1, 2, 2))) * 255).astype(np.uint8)
        labels, classes = np.arange(len(images)) % 3, ("a", "b", "c")
        values = {"images": images, "labels": labels, "classes": classes, "split": SPLIT}
        return AuditInput(**values | changes)

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
    """Makes the input of an audit: recordings of three classes from their events."""

    def make(recorded):
        recordings = recordings_of(recorded, SENSOR)
        counts = np.zeros((len(recorded), 1, *SENSOR))
        for row, events in enumerate(recorded):
            np.add.at(counts[row, 0], (events.y, events.x), 1)
        brightest = counts.max((1, 2, 3), keepdims=True)
        return AuditInput(
            images=(255 * np.sqrt(counts / brightest)).astype(np.uint8),
            recordings=recordings,
            labels=np.arange(len(recorded)) % 3,
            classes=("a", "b", "c"),
            split=SplitIndices(np.arange(80), np.arange(80, 90), np.arange(90, 120)),
            names=tuple(f"{number}.npy" for number in range(len(recorded))),
        )

    return make
