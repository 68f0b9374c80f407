import numpy as np
import pytest

from spikeduel.data import Split, grouping
from spikeduel.data.auditing.neighbours import search, small_grey
from spikeduel.data.auditing.probe import probe
from spikeduel.system.progress import Progress


def probed(images, labels, groups, split, near=0.33, over_files=None):
    small = small_grey(images)
    found = search(small, split, Progress())
    return probe(small, labels, groups, grouping.duplicates(images), found, split, near, over_files)


@pytest.fixture
def siblings(random):
    """40 people with two almost equal pictures each, whose labels are chance: nothing but memory can know them."""
    people = random.integers(0, 256, (40, 1, 12, 12), dtype=np.uint8)
    images = np.concatenate([people, np.minimum(people, 250)])
    labels = np.tile(random.integers(0, 4, 40), 2)
    return images, labels, np.tile(np.arange(40), 2)


def test_a_nearest_neighbour_remembers_siblings_and_knows_nothing_without_them(siblings):
    images, labels, groups = siblings
    split = Split(np.arange(40), np.array([], np.int64), np.arange(40, 80), "published")
    for known in (groups, None):
        found = probed(images, labels, known, split)
        assert (found.accuracy, found.siblings_in_train, found.n) == (1.0, 1.0, 40)
        assert found.accuracy_if_grouped < 0.6
        most_frequent = np.bincount(labels).max() / 80
        assert found.chance == pytest.approx(most_frequent)


def test_a_clean_split_has_no_siblings_and_is_set_against_one_over_files(siblings):
    images, labels, groups = siblings
    both = np.concatenate([np.arange(30), np.arange(40, 70)])
    clean = Split(both, np.array([], np.int64), np.concatenate([np.arange(30, 40), np.arange(70, 80)]), "grouped")
    over_files = Split(np.arange(40), np.array([], np.int64), np.arange(40, 80), "published")
    found = probed(images, labels, groups, clean, over_files=over_files)
    assert found.siblings_in_train == 0
    assert found.accuracy == found.accuracy_if_grouped < 0.6
    assert found.accuracy_if_ungrouped == 1.0


def test_whoever_has_only_siblings_in_training_is_wrong():
    images = np.zeros((3, 1, 2, 2), np.uint8)
    images[:, 0, 0, 0] = 255
    split = Split(np.array([0, 1]), np.array([], np.int64), np.array([2]), "official")
    found = probed(images, np.zeros(3, np.int64), None, split)
    assert (found.accuracy, found.accuracy_if_grouped, found.siblings_in_train) == (1.0, 0.0, 1.0)
