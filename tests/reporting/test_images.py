"""Pictures of a page: samples, pairs, labels, corruptions."""

import numpy as np
import pytest

from made_pages import SPLIT, pixels
from spikeduel.auditing.audit_results import AuditedImage, SuspectLabel
from spikeduel.data.audited import examine
from spikeduel.experiment.recipes import baseline
from spikeduel.reporting import images as pictures
from spikeduel.reporting.images import as_picture


@pytest.mark.parametrize(
    ("num_classes", "shape"), [(2, (1, 8, 8)), (10, (3, 9, 7)), (50, (1, 28, 28))]
)
def test_samples_show_each_class_before_and_after(make_prepared, num_classes, shape):
    prepared = make_prepared(num_classes, shape)
    shown = pictures.samples(prepared)
    number = min(num_classes, pictures.MAX_SAMPLES)
    assert [picture.title for picture in shown] == [f"class {k}" for k in range(number)]
    assert [words for _, words in shown[1].images] == [
        f"original, {shape[2] + 2}×{shape[1] + 4}",
        f"prepared, {shape[2]}×{shape[1]}",
    ]
    np.testing.assert_array_equal(pixels(shown[1].images[1][0]), as_picture(prepared.images[1]))


def test_without_originals_the_prepared_images_are_shown(make_prepared):
    shown = pictures.samples(make_prepared(3, samples=False))
    assert [len(picture.images) for picture in shown] == [1, 1, 1]


def test_pictures_of_a_pair_lie_side_by_side(planted):
    (pair,) = examine(baseline(dataset="digits"), planted, SPLIT).details.pairs[:1]
    (shown,) = pictures.pairs([pair], planted)
    assert (shown.title, shown.warns) == ("three / two: equal images, different labels", True)
    assert [words for _, words in shown.images] == ["test, image 50", "training, image 1"]
    for source, _ in shown.images:
        np.testing.assert_array_equal(pixels(source), planted.images[1, 0])


def test_a_doubtful_label_stands_beside_the_suggested_one(planted):
    image = AuditedImage(index=4, split="train", label="two", file="dir/x.png")
    suspect = SuspectLabel(
        image=image, suggested="three", given_probability=0.1, suggested_probability=0.75
    )
    (shown,) = pictures.labels([suspect], planted)
    assert (shown.title, shown.images[0][1]) == ("two → three", "75%, x.png")


def test_a_large_picture_is_made_small():
    assert max(pixels(pictures.source(np.zeros((1, 400, 200), np.uint8))).shape) == 160


@pytest.mark.parametrize("shape", [(8, 6), (1, 8, 6), (3, 8, 6), (8, 6, 3), (2, 8, 6)])
def test_every_kind_of_image_becomes_a_picture(shape):
    picture = as_picture(np.zeros(shape, np.uint8))
    assert picture.shape[:2] == (8, 6)
    assert picture.shape[2:] in ((), (3,))
