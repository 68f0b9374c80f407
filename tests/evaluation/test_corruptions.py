import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from scipy.fft import dctn, idctn
from torch import nn

from spikeduel.engine.random_keys import RandomKeys
from spikeduel.evaluation.corruptions import (
    CORRUPTIONS,
    OCCLUDER,
    SEVERITIES,
    corrupt,
    corrupted,
)


@pytest.fixture
def squares():
    """Squares in the middle of black images, every second one bright; in two batches."""
    labels = torch.arange(40) % 2
    images = torch.zeros(40, 1, 20, 20, dtype=torch.uint8)
    images[:, :, 7:13, 7:13] = torch.where(labels == 1, 250, 120)[:, None, None, None].to(
        torch.uint8
    )
    index = np.arange(40)
    return [(images[part], labels[part], index[part]) for part in (slice(0, 15), slice(15, 40))]


def test_corrupted_batches_keep_labels(squares):
    batches = corrupted(squares, "noise", 3)
    for (images, labels, index), (before, expected, rows) in zip(batches, squares, strict=True):
        assert torch.equal(images, corrupt("noise", before, 3, rows))
        assert torch.equal(labels, expected)
        assert np.array_equal(index, rows)


# ---- the corruptions


def pictures(number, shape, seed=0):
    """Smooth random pictures on black."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(number, shape[0], 4, 4, generator=random)
    fine = nn.functional.interpolate(coarse, shape[1:], mode="bilinear")
    fine *= fine > 0.3
    return (255 * fine).to(torch.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
@settings(max_examples=12, deadline=None)
@given(
    shape=st.tuples(st.sampled_from((1, 3)), st.integers(1, 30), st.integers(1, 30)),
    severity=st.sampled_from(SEVERITIES),
    part=st.integers(1, 7),
)
def test_any_size_alike_in_every_batch(name, shape, severity, part):
    images, index = pictures(7, shape), np.arange(100, 107)
    before = images.clone()
    whole = corrupt(name, images, severity, index)
    assert torch.equal(images, before)
    assert whole.dtype == torch.uint8
    assert whole.shape == images.shape
    parts = [
        corrupt(name, images[i : i + part], severity, index[i : i + part])
        for i in range(0, 7, part)
    ]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 40, 27)])
def test_a_higher_severity_changes_more(name, shape):
    images = pictures(20, shape)
    changes = [
        float((images - corrupt(name, images, severity, np.arange(20)).double()).square().mean())
        for severity in SEVERITIES
    ]
    assert changes[0] > 1
    assert changes == sorted(set(changes))


@pytest.mark.parametrize("name", ["noise", "occlusion", "rotation", "translation"])
def test_what_is_drawn_differs_by_image_and_by_corruption(name):
    images = pictures(1, (1, 24, 24)).expand(30, -1, -1, -1)
    spoilt = corrupt(name, images, 5, np.arange(30))
    assert len({image.numpy().tobytes() for image in spoilt}) >= (2 if name == "rotation" else 10)
    assert not torch.equal(
        RandomKeys.for_corruption(name, np.arange(3)).integers(1000),
        RandomKeys.for_corruption("another", np.arange(3)).integers(1000),
    )


def test_noise_has_the_strength_it_says_and_stays_the_same_noise():
    images = torch.full((10, 1, 60, 60), 128, dtype=torch.uint8)
    shifts = [
        corrupt("noise", images, severity, np.arange(10)).double() - 128 for severity in (1, 2, 3)
    ]
    for shift, share in zip(shifts, CORRUPTIONS["noise"].strengths, strict=False):
        # 36,000 pixels: the standard error of the deviation is 0.4 %. Few are cut at 0 and 255.
        assert float(shift.std()) == pytest.approx(255 * share, rel=0.02)
        assert abs(float(shift.mean())) < 0.6
    assert (
        float(torch.corrcoef(torch.stack([shifts[0].flatten(), shifts[1].flatten()]))[0, 1]) > 0.99
    )
    neighbours = torch.stack([shifts[0][..., 1:].flatten(), shifts[0][..., :-1].flatten()])
    assert abs(float(torch.corrcoef(neighbours)[0, 1])) < 0.03


def test_blur_spreads_a_point_by_its_share_of_the_side():
    image = torch.zeros(1, 1, 101, 101, dtype=torch.uint8)
    image[..., 40:61, 40:61] = 255
    blurred = corrupt("blur", image, 4, np.array([0])).double()
    weights = blurred[0, 0].sum(0) / blurred.sum()
    place = torch.arange(101).double() - 50
    # The variance of a run of 21 pixels, and of a Gaussian, add up.
    expected = (21**2 - 1) / 12 + (CORRUPTIONS["blur"].strengths[3] * 101) ** 2
    assert float((weights * place**2).sum()) == pytest.approx(expected, rel=0.03)
    bright = torch.full((1, 1, 30, 30), 200, dtype=torch.uint8)
    assert torch.equal(corrupt("blur", bright, 5, np.array([0])), bright)


@pytest.mark.parametrize(
    ("severity", "expected"), [(2, [50, 100, 100, 150]), (5, [88, 100, 100, 112])]
)
def test_contrast_by_hand(severity, expected):
    image = torch.tensor([[0, 100], [100, 200]], dtype=torch.uint8)[None, None]
    assert corrupt("contrast", image, severity, np.array([0])).flatten().tolist() == expected


def test_occlusion_covers_a_rectangle_of_its_share():
    images = torch.zeros(40, 3, 40, 20, dtype=torch.uint8)
    spoilt = corrupt("occlusion", images, 2, np.arange(40))
    assert set(spoilt.unique().tolist()) == {0, OCCLUDER}
    assert (spoilt > 0).flatten(1).sum(1).tolist() == [3 * 10 * 5] * 40
    rows = (spoilt > 0).any(3)[:, 0]
    assert rows.sum(1).tolist() == [10] * 40
    firsts = rows.int().argmax(1)
    # Anywhere, both ends included: 31 starting rows, of which 40 images meet many.
    assert firsts.min() <= 4
    assert firsts.max() >= 26


def test_rotation_turns_about_the_centre_both_ways():
    images = torch.zeros(20, 1, 41, 41, dtype=torch.uint8)
    images[:, :, 20, 30:38] = 255
    spoilt = corrupt("rotation", images, 4, np.arange(20)).double()
    y, x = torch.meshgrid(torch.arange(41) - 20.0, torch.arange(41) - 20.0, indexing="ij")
    angles = [
        float(torch.rad2deg(torch.atan2((image * y).sum(), (image * x).sum())))
        for image in spoilt[:, 0]
    ]
    assert {round(abs(angle)) for angle in angles} == {32}
    assert {angle > 0 for angle in angles} == {True, False}


def test_translation_moves_whole_pixels():
    images = pictures(30, (1, 50, 50))
    spoilt = corrupt("translation", images, 2, np.arange(30))
    met = set()
    for image, moved in zip(images[:, 0], spoilt[:, 0], strict=True):
        # The one shift that explains what is left of the image.
        shifts = [
            (down, right)
            for down in range(-4, 5)
            for right in range(-4, 5)
            if torch.equal(
                moved[max(down, 0) : 50 + min(down, 0), max(right, 0) : 50 + min(right, 0)],
                image[max(-down, 0) : 50 - max(down, 0), max(-right, 0) : 50 - max(right, 0)],
            )
        ]
        assert len(shifts) == 1
        met.add(shifts[0])
        assert 3 <= np.hypot(*shifts[0]) <= 4.6
    assert len(met) > 8


def test_jpeg_keeps_colours_in_their_channels():
    images = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    for channel in range(3):
        images[channel, channel] = 200
    spoilt = corrupt("jpeg", images, 1, np.arange(3))
    assert (spoilt.int() - images.int()).abs().max() <= 12


LUMINANCE = """
16 11 10 16 24 40 51 61
12 12 14 19 26 58 60 55
14 13 16 24 40 57 69 56
14 17 22 29 51 87 80 62
18 22 37 56 68 109 103 77
24 35 55 64 81 104 113 92
49 64 78 87 103 121 120 101
72 92 95 98 112 100 103 99
"""
"""Table of Annex K.1 of ITU-T T.81."""


@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_rounds_the_cosines_of_blocks_to_multiples_by_its_quality(severity):
    percent = 5000 // CORRUPTIONS["jpeg"].strengths[severity - 1]
    steps = ((np.loadtxt(LUMINANCE.split("\n")) * percent + 50) // 100).clip(1, 255)
    images = pictures(3, (1, 32, 32))
    blocks = images.numpy().reshape(3, 4, 8, 4, 8) - 128.0
    cosines = dctn(blocks, axes=(2, 4), norm="ortho")
    steps = steps[None, None, :, None, :]
    expected = 128 + idctn(np.round(cosines / steps) * steps, axes=(2, 4), norm="ortho")
    spoilt = corrupt("jpeg", images, severity, np.arange(3)).numpy().reshape(blocks.shape)
    differences = np.abs(spoilt - expected.clip(0, 255)).max((2, 4))
    # A cosine half way between two multiples goes either way.
    assert (differences < 0.6).mean() > 0.9
