import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from sklearn.neighbors import NearestNeighbors

from spikeduel.auditing.arrays import SplitIndices, equal_ids
from spikeduel.auditing.duplicate_checks import probe
from spikeduel.auditing.neighbours import closest, lowest, search, small_grey
from spikeduel.system.progress import Progress


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 90))
def test_as_scikit_learn_finds(seed, num_queries, num_references):
    random = np.random.default_rng(seed)
    references = random.integers(0, 256, (num_references, 1, 5, 4), dtype=np.uint8)
    queries = random.integers(0, 256, (num_queries, 1, 5, 4), dtype=np.uint8)
    oracle = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(
        references.reshape(num_references, -1)
    )
    expected, _ = oracle.kneighbors(queries.reshape(num_queries, -1))
    flat = [
        torch.from_numpy(part.reshape(len(part), -1) - 128.0).float()
        for part in (queries, references)
    ]
    found = closest(*flat).nearest
    differences = queries.astype(float) - references[found]
    distances = np.sqrt((differences**2).sum((1, 2, 3)))
    assert distances == pytest.approx(expected[:, 0], rel=1e-5, abs=1e-2)


def test_usual_is_the_median_over_portions():
    references = torch.arange(7.0)[:, None] ** 2
    nearest = closest(torch.zeros(1, 1), references)
    assert nearest.distance.tolist() == [0]
    # Portions of one image each: the median of 0, 1, 4, …, 36.
    assert nearest.usual.tolist() == [9]


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


def test_each_split_is_compared_with_earlier_ones():
    places = torch.tensor([0.0, 1.0, 10.0, 10.5, 1.2, 10.9, 30.0])[:, None]
    split = SplitIndices(np.array([0, 1, 2]), np.array([3, 4]), np.array([5, 6]))
    neighbours = search(places, split, Progress())
    assert neighbours.training.nearest.tolist() == [-1, -1, -1, 2, 1, 2, 2]
    # Test images look at validation as well.
    assert neighbours.earlier.nearest.tolist() == [-1, -1, -1, 2, 1, 3, 3]
    distances = neighbours.earlier.ratio * neighbours.usual
    assert np.allclose(distances[3:], [0.5, 0.2, 0.4, 19.5], atol=1e-4)


def test_images_without_contrast_in_grey_are_near_to_none(random):
    symbols = random.random((40, 12, 12)) < 0.3
    red_on_blue = np.stack([symbols, symbols & False, ~symbols], 1) * np.uint8(255)
    assert not small_grey(red_on_blue).any()
    split = SplitIndices(np.arange(30), np.arange(0), np.arange(30, 40))
    neighbours = search(small_grey(red_on_blue), split, Progress())
    assert (neighbours.earlier.ratio[30:] >= 1).all()
    assert probed(red_on_blue, np.arange(40) % 2, None, split).near_duplicates_in_train == 0


def probed(images, labels, groups, split):
    small = small_grey(images)
    neighbours = search(small, split, Progress())
    groups = np.arange(len(images)) if groups is None else groups
    return probe(small, labels, groups, equal_ids(images), neighbours, split)


def test_a_nearest_neighbour_knows_near_duplicates_and_nothing_without_them(random):
    # Of 40 people two almost equal pictures each. Labels are random: only memory can know them.
    people = random.integers(0, 256, (40, 1, 12, 12), dtype=np.uint8)
    images = np.concatenate([people, np.minimum(people, 250)])
    labels, groups = np.tile(random.integers(0, 4, 40), 2), np.tile(np.arange(40), 2)
    none = np.array([], np.int64)
    leaking = SplitIndices(np.arange(40), none, np.arange(40, 80))
    for known_groups in (groups, None):
        scores = probed(images, labels, known_groups, leaking)
        assert scores.accuracy == scores.balanced_accuracy == scores.near_duplicates_in_train == 1
        assert scores.accuracy_if_grouped < 0.6
        assert scores.chance_level == pytest.approx(np.bincount(labels).max() / 80)
        assert scores.n == 40
    clean = SplitIndices(np.flatnonzero(groups < 30), none, np.flatnonzero(groups >= 30))
    scores = probed(images, labels, groups, clean)
    assert scores.near_duplicates_in_train == 0
    assert scores.accuracy == scores.accuracy_if_grouped < 0.6


def test_classes_count_alike_in_the_balanced_accuracy_of_a_nearest_neighbour():
    # All images are equal, and get the first one's label: right for 4 of 4, and for 0 of 1.
    images, labels = np.zeros((7, 1, 12, 12), np.uint8), np.array([0, 1, 0, 0, 0, 0, 1])
    split = SplitIndices(np.arange(2), np.array([], np.int64), np.arange(2, 7))
    scores = probed(images, labels, None, split)
    assert (scores.accuracy, scores.balanced_accuracy) == (0.8, 0.5)


@pytest.mark.parametrize("columns", [5, 300, 1000])
def test_the_lowest_are_those_of_a_full_sort(columns):
    scores = torch.from_numpy(
        np.random.default_rng(2).permuted(np.tile(np.arange(columns), (6, 1)), axis=1)
    ).float()
    scores[:, ::7] = float("inf")
    k = min(4, columns)
    torch.testing.assert_close(scores.gather(1, lowest(scores, k)), scores.sort(1).values[:, :k])
