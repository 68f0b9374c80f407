import numpy as np
import pytest
from PIL import Image, ImageDraw

from spikeduel.auditing import SplitIndices, examine
from spikeduel.auditing.audit_results import DuplicateCounts
from spikeduel.auditing.drawings import is_plain

NONE = DuplicateCounts(across=0, test_in_training=0)
COLOURS = ("red", "green", "blue", "yellow", "purple", "black", "white")
CORNERS = {"square": 4, "triangle": 3, "circle": 60}


def drawn(kind, random, size=32):
    """A shape in one colour on another, anywhere, turned anyhow, uint8 `[3, S, S]`."""
    ground, colour = random.choice(COLOURS, 2, replace=False)
    radius = random.uniform(0.15, 0.35) * size
    turns = random.uniform(0, 2 * np.pi) + np.arange(CORNERS[kind]) * 2 * np.pi / CORNERS[kind]
    places = random.uniform(radius, size - radius, 2) + radius * np.exp(1j * turns).view(
        float
    ).reshape(-1, 2)
    picture = Image.new("RGB", (4 * size, 4 * size), str(ground))
    ImageDraw.Draw(picture).polygon([tuple(place) for place in 4 * places], fill=str(colour))
    return np.asarray(picture.resize((size, size), Image.Resampling.BOX)).transpose(2, 0, 1)


@pytest.fixture(scope="module")
def shapes():
    random = np.random.default_rng(0)
    return np.stack([drawn(kind, random) for _ in range(100) for kind in CORNERS])


def test_drawn_shapes_are_plain_and_digits_are_not(shapes, digits):
    assert is_plain(shapes).mean() > 0.8
    assert is_plain(digits[0][:150]).mean() < 0.05


def test_drawings_that_look_alike_are_no_duplicates(shapes, make_set):
    order = np.arange(300)
    split = SplitIndices(order[:225], order[:0], order[225:])
    audit = examine(make_set(shapes, split=split))
    assert (
        audit.near_duplicates == audit.geometric_duplicates == audit.photometric_duplicates == NONE
    )
    assert audit.probe.near_duplicates_in_train == 0
    assert audit.plain_drawings > 10
    assert audit.ok
    assert [found.id for found in audit.conclusions] == ["plain_drawings"]
