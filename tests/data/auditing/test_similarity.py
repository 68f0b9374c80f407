import numpy as np
import torch

from spikeduel.data import Split
from spikeduel.data.auditing import similarity
from spikeduel.data.auditing.similarity import num_portions, search, small_grey
from spikeduel.system.progress import Progress


def test_small_versions_by_hand():
    image = np.array([[[[0, 100], [100, 200]]]], dtype=np.uint8)
    expected = torch.tensor([[-100.0, 0, 0, 100]]) / (2 * 100**2) ** 0.5
    assert torch.allclose(small_grey(image), expected)


def test_brightness_and_contrast_drop_out_and_uniform_images_become_zero():
    dark = np.random.default_rng(0).integers(0, 100, (1, 1, 28, 28), dtype=np.uint8)
    small = small_grey(np.concatenate([dark, dark * 2 + 30, np.full_like(dark, 7)]))
    assert small.shape == (3, 14 * 14)
    assert torch.allclose(small[0], small[1], atol=1e-6)
    assert (small[2] == 0).all()


def test_colours_are_averaged():
    grey = np.random.default_rng(0).integers(0, 250, (2, 1, 8, 8), dtype=np.uint8)
    colour = np.concatenate([grey - grey // 2, grey, grey + grey // 2 % 6], axis=1)
    mean = colour.astype(float).mean(1).reshape(2, -1)
    mean -= mean.mean(1, keepdims=True)
    assert np.allclose(small_grey(colour), mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)


def test_longer_side_becomes_25_or_less():
    for side, expected in ((8, 8), (25, 25), (26, 13), (28, 14), (64, 22), (97, 25)):
        assert small_grey(np.zeros((1, 1, side, side), np.uint8)).shape == (1, expected**2)


def test_each_side_is_searched_where_it_should_be():
    places = torch.tensor([0.0, 1.0, 10.0, 10.5, 1.2, 10.9, 30.0])[:, None]
    split = Split(np.array([0, 1, 2]), np.array([3, 4]), np.array([5, 6]), "official")
    found = search(places, split, Progress())
    assert found.training[0].tolist() == [1, 0, 1, 2, 1, 2, 2]
    assert found.own[0].tolist() == [1, 0, 1, 4, 3, 6, 5]
    assert found.earlier[0].tolist() == [-1, -1, -1, 2, 1, 3, 3]  # test images look at validation as well
    assert np.allclose(found.earlier[1][3:], [0.5, 0.2, 0.4, 19.5], atol=1e-4)
    assert found.searched == {"train": 3, "val": 2, "test": 2}


def test_too_much_work_is_sampled_always_alike(monkeypatch):
    small = torch.from_numpy(np.random.default_rng(0).random((60, 10), dtype=np.float32))
    split = Split(np.arange(40), np.arange(40, 50), np.arange(50, 60), "official")
    whole = search(small, split, Progress())
    monkeypatch.setattr(similarity, "MOST_PRODUCTS", 40 * 10 * 7)
    found, again = (search(small, split, Progress()) for _ in range(2))
    assert found.searched == {"train": 7, "val": 7, "test": 7}
    assert (found.training[0] == again.training[0]).all()
    known = found.training[0] >= 0
    assert known.sum() == 21
    assert (found.training[0][known] == whole.training[0][known]).all()
    assert np.isnan(found.usual[~known]).all()


def test_portions_grow_with_the_set_up_to_a_bound():
    assert [num_portions(n) for n in (10, 700, 60_000)] == [7, 10, 72]
