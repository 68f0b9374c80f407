import re

import numpy as np
import pytest
import torch

from spikeduel.engine.random_keys import RandomKeys
from spikeduel.system.errors import InputError
from spikeduel.training.augmenting import (
    AUGMENTATIONS,
    affine,
    augmenter_of,
    cutout,
    farthest,
    flip,
    moved,
    translate,
)

SHAPES = [(64, 1, 8, 8), (40, 3, 28, 20), (33, 1, 97, 40), (1, 1, 4, 4)]


def noise(*shape):
    """Images without a black pixel, so that what has entered can be told from what was there."""
    return torch.randint(
        1, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def draw(images, seed=0, epoch=0):
    return RandomKeys.for_augmentation(seed, epoch, np.arange(len(images)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_type_shape_and_the_images_themselves_stay(name, shape):
    images = noise(*shape)
    before = images.clone()
    changed = augmenter_of(name)(images, draw(images))
    assert changed.dtype == torch.uint8
    assert changed.shape == shape
    assert changed.is_contiguous()
    assert torch.equal(images, before)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_what_an_image_becomes_depends_on_neither_batch_nor_order(name):
    images, order = noise(50, 1, 8, 8), np.array([40, 3, 17])
    whole = augmenter_of(name)(images, RandomKeys.for_augmentation(2, 3, np.arange(50)))
    assert torch.equal(
        augmenter_of(name)(images[order], RandomKeys.for_augmentation(2, 3, order)), whole[order]
    )


@pytest.mark.parametrize("name", sorted(set(AUGMENTATIONS) - {"none"}))
def test_every_seed_and_epoch_changes_images_anew(name):
    images = noise(64, 1, 8, 8)
    results = [
        augmenter_of(name)(images, draw(images, seed, epoch)) for seed in (0, 1) for epoch in (0, 1)
    ]
    assert not any(torch.equal(results[i], results[j]) for i in range(4) for j in range(i))
    assert torch.equal(augmenter_of(name)(images, draw(images, 1, 1)), results[3])


def test_affine_leaves_a_quarter_of_images_as_sharp_as_they_are():
    images = noise(2000, 1, 8, 8)
    same = (affine(images, draw(images)) == images).flatten(1).all(1)
    # 500 of 2,000; 3.3 standard deviations of 19.4 (0.1 %).
    assert abs(int(same.sum()) - 500) < 64


def test_a_flip_exchanges_left_and_right_of_every_second_image():
    images = noise(2000, 2, 3, 4)
    changed = flip(images, draw(images))
    same = (changed == images).flatten(1).all(1)
    mirrored = (changed == images[:, :, :, [3, 2, 1, 0]]).flatten(1).all(1)
    assert (same ^ mirrored).all()
    # 2000 fair coins, standard deviation 22.
    assert 900 < same.sum() < 1100


def test_an_image_is_flipped_in_every_second_epoch():
    images = noise(200, 1, 3, 4)
    flipped = [
        (flip(images, draw(images, epoch=epoch)) != images).flatten(1).any(1) for epoch in range(4)
    ]
    assert torch.equal(flipped[0], ~flipped[1])
    assert torch.equal(flipped[0], flipped[2])
    # Also where it is the second of several.
    later = [augmenter_of("translate-flip")(images, draw(images, epoch=epoch)) for epoch in (0, 1)]
    assert not torch.equal(later[0], later[1])


def test_what_enters_by_translation_is_the_image_reflected_at_its_border():
    images = torch.arange(1, 65, dtype=torch.uint8).view(1, 1, 8, 8).expand(200, 1, 8, 8)
    whole = torch.nn.functional.pad(images[:1].float(), (2, 2, 2, 2), mode="reflect").to(
        torch.uint8
    )[0, 0]
    places = [whole[down : down + 8, right : right + 8] for down in range(5) for right in range(5)]
    found = {
        next(number for number, place in enumerate(places) if torch.equal(place, changed))
        for changed in translate(images, draw(images))[:, 0]
    }
    assert len(found) == 25


def test_cutout_hides_a_square_under_the_mean():
    images = noise(400, 2, 16, 12)
    changed = cutout(images, draw(images))
    hidden = (changed != images).any(1)
    means = images.float().mean((1, 2, 3)).to(torch.uint8)
    for image, mask, mean in zip(changed, hidden, means, strict=True):
        assert (image[:, mask] == mean).all()
    # A quarter of the shorter side, or less at the border.
    assert hidden.any(2).sum(1).max() == hidden.any(1).sum(1).max() == 3


def test_translation_and_flip_are_drawn_independently():
    images = torch.zeros(20_000, 1, 5, 6, dtype=torch.uint8)
    images[:, 0, 2, 2] = 1
    images[:, 0, 2, 3] = 2
    changed = augmenter_of("translate-flip")(images, draw(images))
    mirrored = (changed == 2).flatten(1).int().argmax(1) < (changed == 1).flatten(1).int().argmax(1)
    up = (changed[:, 0, :2] > 0).flatten(1).any(1)
    down = (changed[:, 0, 3:] > 0).flatten(1).any(1)
    # 8000 images each, half of them mirrored; standard deviation of the share 0.0056.
    assert mirrored[up].float().mean() == pytest.approx(0.5, abs=0.025)
    assert mirrored[down].float().mean() == pytest.approx(0.5, abs=0.025)
    assert mirrored.float().mean() == pytest.approx(0.5, abs=0.02)


def test_counts_of_events_are_moved_whole_and_hidden_under_nothing():
    counts = torch.zeros(400, 4, 12, 12, dtype=torch.uint8)
    counts[:, :, 3:9, 4:10] = torch.randint(0, 2, (400, 4, 6, 6), dtype=torch.uint8) * 7
    turned = augmenter_of("affine", of_recordings=True)(counts, draw(counts))
    assert set(turned.unique().tolist()) == {0, 7}
    # Stretched by up to 12 %, at the most.
    assert float(turned.sum()) == pytest.approx(float(counts.sum()), rel=0.05)
    assert (turned != counts).flatten(1).any(1).sum() > 200
    full = torch.full((100, 4, 12, 12), 9, dtype=torch.uint8)
    assert set(augmenter_of("cutout", of_recordings=True)(full, draw(full)).unique().tolist()) == {
        0,
        9,
    }


@pytest.mark.parametrize("name", ["translate", "flip", "affine", "cutout"])
def test_all_frames_and_polarities_are_changed_alike(name):
    frames = noise(50, 1, 12, 12).expand(50, 6, 12, 12).contiguous()
    changed = augmenter_of(name, of_recordings=True)(frames, draw(frames))
    assert torch.equal(changed, changed[:, :1].expand_as(changed))
    assert not torch.equal(changed, frames)


def test_those_of_events_are_done_before_and_leave_frames_alone():
    frames = noise(50, 4, 12, 12)
    assert augmenter_of("eventdrop-flip-jitter").events == ("eventdrop", "jitter")
    assert augmenter_of("auto").events == ()
    joined = augmenter_of("eventdrop-flip", of_recordings=True)(frames, draw(frames))
    assert torch.equal(joined, augmenter_of("flip")(frames, draw(frames)))
    with pytest.raises(InputError, match=r"eventdrops.*eventdrop"):
        augmenter_of("eventdrops")


@pytest.mark.parametrize(
    ("result", "got"),
    [
        (torch.zeros(2, 1, 4, 4), "torch.float32 [2, 1, 4, 4]"),
        (torch.zeros(2, 1, 4, 5, dtype=torch.uint8), "torch.uint8 [2, 1, 4, 5]"),
    ],
)
def test_what_does_not_return_images_is_refused(result, got, monkeypatch):
    monkeypatch.setitem(AUGMENTATIONS, "broken", lambda images, draw: result)
    with pytest.raises(
        InputError, match=rf"'broken' must return .*uint8 \[2, 1, 4, 4\], not {re.escape(got)}"
    ):
        augmenter_of("broken")(noise(2, 1, 4, 4), RandomKeys.for_augmentation(0, 0, np.arange(2)))


@pytest.mark.parametrize("edge", [1, 2, 3])
def test_the_smallest_images_can_be_moved(edge):
    images = noise(2, 1, edge, edge)
    assert moved(images, farthest(edge), 0).shape == images.shape
    assert translate(images, draw(images)).shape == images.shape
