import numpy as np
import torch

from spikeduel.auditing import SplitIndices
from spikeduel.auditing.duplicate_checks import LIMITS, PHOTOMETRIC
from spikeduel.auditing.geometric_duplicates import middles
from spikeduel.auditing.photometric_duplicates import search, unexplained
from spikeduel.system.progress import Progress


def test_equal_and_uniform_images_are_no_edited_copies():
    random = np.random.default_rng(0).integers(0, 256, (12, 1, 9, 14), dtype=np.uint8)
    images = np.concatenate([random, random[:2], np.full((2, 1, 9, 14), 7, np.uint8)])
    same = np.array([*range(12), 0, 1, 12, 13])
    order = np.arange(16)
    split = SplitIndices(order[:12], order[:0], order[12:])
    copies = search(images, same, split, Progress())
    assert (copies.ratio >= LIMITS[PHOTOMETRIC]).all()


def test_black_bars_are_no_common_edge_or_tone():
    """Among square photographs two wide ones have their bars in common, and nothing else."""
    random = np.random.default_rng(0)
    small = torch.from_numpy(random.integers(0, 256, (62, 1, 8, 8)).astype(np.float32))
    images = torch.nn.functional.interpolate(small, size=32, mode="bilinear").byte().numpy()
    shapes, wide = np.full((62, 2), 640), [59, 60, 61]
    images[wide, :, :10], images[wide, :, 22:], shapes[wide] = 0, 0, (240, 640)
    images[61] = np.where(images[59] > 0, 255 - images[59], 0)
    order = np.arange(62)
    split = SplitIndices(order[:60], order[:0], order[60:])
    unknown = search(images, order, split, Progress())
    known = search(middles(images, shapes), order, split, Progress())
    assert unknown.ratio[60] < LIMITS[PHOTOMETRIC] < 0.7 < known.ratio[60]
    assert (known.nearest[61], known.ratio[61] < LIMITS[PHOTOMETRIC]) == (59, True)


def test_tones_explain_an_image_whatever_one_becomes():
    queries = torch.tensor([[10, 10, 200, 90]], dtype=torch.uint8)
    # Each tone of the first becomes one; the second has one tone for 10, 10 and 200.
    others = torch.tensor([[[250, 250, 0, 100], [7, 7, 7, 90]]], dtype=torch.uint8)
    mean = (10 + 10 + 200) / 3
    remains = 2 * (10 - mean) ** 2 + (200 - mean) ** 2
    whole = 2 * (10 - 77.5) ** 2 + (200 - 77.5) ** 2 + (90 - 77.5) ** 2
    expected = [[0.0, (remains / whole) ** 0.5]]
    np.testing.assert_allclose(unexplained(queries, others).numpy(), expected, rtol=1e-5)
