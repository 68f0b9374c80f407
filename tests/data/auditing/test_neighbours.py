import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from spikeduel.data.auditing import neighbours
from spikeduel.data.auditing.neighbours import closest, nearest


def test_by_hand():
    references = np.array([[0, 0], [3, 4], [255, 255]], dtype=np.uint8)
    index, distance = nearest(np.array([[0, 1], [3, 9], [250, 255]], dtype=np.uint8), references)
    assert index.tolist() == [0, 1, 2]
    assert distance.tolist() == [1.0, 5.0, 5.0]
    assert (index.dtype, distance.dtype) == (np.int64, np.float32)


def test_none_is_its_own_neighbour_but_a_copy_is():
    images = np.array([[0, 0], [10, 0], [0, 0], [14, 0]], dtype=np.uint8)
    index, distance = nearest(images, images, exclude_self=True)
    assert index.tolist() == [2, 3, 0, 1]
    assert distance.tolist() == [0.0, 4.0, 0.0, 4.0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 90), st.booleans())
def test_as_scikit_learn_finds(seed, num_queries, num_references, exclude_self):
    random = np.random.default_rng(seed)
    references = random.integers(0, 256, (num_references, 1, 5, 4), dtype=np.uint8)
    queries = references if exclude_self else random.integers(0, 256, (num_queries, 1, 5, 4), dtype=np.uint8)
    index, distance = nearest(queries, references, exclude_self)
    oracle = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(references.reshape(num_references, -1))
    expected, _ = oracle.kneighbors(None if exclude_self else queries.reshape(len(queries), -1))
    assert distance == pytest.approx(expected[:, 0], rel=1e-6)
    found = queries.astype(float) - references[index]
    assert distance == pytest.approx(np.sqrt((found**2).sum((1, 2, 3))), rel=1e-6)


def test_blocks_and_portions_change_nothing(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (500, 1, 6, 6), dtype=np.uint8)
    whole = nearest(images, images, exclude_self=True)
    monkeypatch.setattr(neighbours, "QUERIES_AT_ONCE", 37)
    monkeypatch.setattr(neighbours, "PORTION", 19)
    for one, other in zip(whole, nearest(images, images, exclude_self=True), strict=True):
        assert (one == other).all()


def test_one_grey_level_apart_is_told_from_equal_at_mnists_size():
    references = np.random.default_rng(0).integers(0, 256, (50, 1, 28, 28), dtype=np.uint8)
    references[7] = references[3]
    references[7, 0, 0, 0] ^= 1
    index, distance = nearest(references[[3, 7]], references)
    assert index.tolist() == [3, 7]
    assert distance.tolist() == [0, 0]


def test_usual_is_the_median_over_portions():
    references = torch.arange(9.0)[:, None] ** 2
    found = closest(torch.zeros(1, 1), references, 9)
    assert found.distance.tolist() == [0]
    assert found.usual.tolist() == [16.0]  # portions of one image each: the median of 0, 1, 4, …, 64


@pytest.mark.parametrize(
    ("queries", "references", "exclude_self", "message"),
    [((2, 4), (2, 5), False, "shape"), ((2, 4), (3, 4), True, "same"), ((1, 4), (1, 4), True, "no image")],
)
def test_what_cannot_be_answered_is_refused(queries, references, exclude_self, message):
    with pytest.raises(ValueError, match=message):
        nearest(np.zeros(queries, np.uint8), np.zeros(references, np.uint8), exclude_self)
