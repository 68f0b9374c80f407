import numpy as np
import pytest
from scipy.ndimage import affine_transform

from spikeduel.auditing import SplitIndices, registration
from spikeduel.auditing.geometric_duplicates import middles, search
from spikeduel.auditing.neighbours import NEAR
from spikeduel.system.progress import Progress

SIZE, COUNT = 24, 120
SHAPE = (SIZE, SIZE)
UNKNOWN = np.empty((0, 2))


@pytest.fixture(scope="module")
def images():
    """Smooth random images, bytes `[N, 1, S, S]`, each unlike the others."""
    coarse = np.random.default_rng(3).random((COUNT, 7, 7))
    zoom = (7 - 1) / (SIZE - 1)
    smooth = [
        affine_transform(image, np.eye(2) * zoom, output_shape=SHAPE, order=3, mode="nearest")
        for image in coarse
    ]
    return (np.clip(smooth, 0, 1) * 255).astype(np.uint8)[:, None]


def turned(image, degrees, mirrored=False, scale=1.0, shift=(0.0, 0.0), border="constant"):
    """`image` mirrored, turned clockwise by `degrees`, enlarged, its middle shifted by pixels down
    and right.
    """
    angle, middle = np.deg2rad(degrees), (SIZE - 1) / 2
    forward = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    back = (np.diag([1, -1]) if mirrored else np.eye(2)) @ np.linalg.inv(forward)
    offset = middle - back @ (middle + np.array(shift))
    return (
        affine_transform(image[0].astype(float), back, offset, order=1, mode=border)
        .clip(0, 255)
        .astype(np.uint8)[None]
    )


MOVES = (
    {"degrees": 0, "shift": (2, -1)},
    {"degrees": 8},
    {"degrees": 90},
    {"degrees": 0, "mirrored": True},
    {"degrees": 0, "scale": 1.1},
    {"degrees": -90, "mirrored": True, "shift": (-2, 1)},
)


def matches_in(together, num_train, sizes=UNKNOWN, same=None):
    """Search the copies of the images after the first `num_train` among those."""
    count = np.arange(len(together))
    split = SplitIndices(count[:num_train], count[:0], count[num_train:])
    same = count if same is None else np.array(same)
    return search(together, middles(together, sizes), same, split, Progress())


def test_every_move_is_found_and_new_images_are_copies_of_none(images):
    train, new = images[: COUNT - 20], images[COUNT - 20 :]
    copies = [
        turned(train[k], border=border, **move)
        for border in ("constant", "nearest")
        for k, move in enumerate(MOVES)
    ]
    copies_of = matches_in(np.concatenate([train, copies, new]), len(train))
    moved = slice(len(train), len(train) + len(copies))
    assert copies_of.nearest[moved].tolist() == [*range(len(MOVES))] * 2
    assert (copies_of.ratio[moved] < NEAR).all()
    assert (copies_of.ratio[-len(new) :] >= NEAR).all()
    assert np.isinf(copies_of.ratio[: len(train)]).all()


def test_equal_images_and_those_of_one_split_are_left_out(images):
    together = np.concatenate([images[:40], images[:3]])
    copies = matches_in(together, 40, same=[*range(40), 0, 1, 2])
    assert (copies.ratio >= NEAR).all()
    assert (copies.nearest[:40] == -1).all()


@pytest.mark.parametrize("shape", [(3, 12, 20), (1, 4, 4), (1, 97, 97)])
def test_any_shape_and_uniform_images(shape):
    random = np.random.default_rng(0)
    images = np.concatenate(
        [np.full((3, *shape), 7, np.uint8), random.integers(0, 256, (9, *shape), dtype=np.uint8)]
    )
    assert (matches_in(images, 8, same=[0, 0, 0, *range(1, 10)]).ratio >= NEAR).all()


def test_copies_that_moved_before_they_were_padded_are_found(images):
    bar, middle = 4, np.array([(SIZE - 8 - 1) / 2, (SIZE - 1) / 2])
    padded = images.copy()
    padded[:, :, :bar] = padded[:, :, -bar:] = 0
    train, copies = padded[: COUNT - 20], padded[:12].copy()
    angle = np.deg2rad(10)
    back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for copy in copies:
        seen = copy[0, bar:-bar].astype(float)
        copy[0, bar:-bar] = affine_transform(
            seen, back, middle - back @ middle, order=1, mode="nearest"
        )
    together = np.concatenate([train, copies, padded[COUNT - 20 :]])
    shapes = np.tile([SIZE - 2 * bar, SIZE], (len(together), 1))
    for sizes, is_right in ((UNKNOWN, lambda named: named.sum() < 6), (shapes, np.all)):
        copies_of = matches_in(together, len(train), sizes)
        near = copies_of.ratio[len(train) :] < NEAR
        assert is_right(near[:12] & (copies_of.nearest[len(train) : -20] == np.arange(12)))
    assert not near[12:].any()


def test_registration_is_compiled_once(images):
    matches_in(np.concatenate([images, images[:20] // 2]), COUNT)
    assert len(registration._register.signatures) == 1


def test_moves_by_one_pixel_of_tiny_images_and_large_crops_are_found(images, digits):
    train, moved = digits[0][:1200], np.zeros((60, 1, 8, 8), np.uint8)
    moved[:, :, 1:] = train[:60, :, :-1]
    copies_of = matches_in(np.concatenate([train, moved]), len(train))
    named = copies_of.nearest[len(train) :] == np.arange(60)
    assert (named & (copies_of.ratio[len(train) :] < NEAR)).sum() >= 50
    part = slice(3, SIZE - 3)
    crops = [
        affine_transform(
            image[0, part, part].astype(float), np.eye(2) * 17 / 23, output_shape=SHAPE, order=1
        )
        for image in images[:20]
    ]
    together = np.concatenate([images, np.array(crops).astype(np.uint8)[:, None]])
    copies_of = matches_in(together, COUNT)
    named = copies_of.nearest[COUNT:] == np.arange(20)
    assert (named & (copies_of.ratio[COUNT:] < NEAR)).sum() >= 16
