import numpy as np

from spikeduel.data import grouping


def test_duplicates_are_exact() -> None:
    images = np.zeros((4, 1, 3, 3), dtype=np.uint8)
    images[1, 0, 0, 0] = 1
    images[3, 0, 0, 0] = 1
    np.testing.assert_array_equal(grouping.duplicates(images), [0, 1, 0, 1])


def test_join_is_transitive() -> None:
    subjects = np.array([10, 10, 20, 30, 40])
    same = np.array([0, 1, 1, 2, 2])
    np.testing.assert_array_equal(grouping.join(subjects, same), [0, 0, 0, 1, 1])


def test_united_is_nothing_where_every_image_is_alone() -> None:
    alone, same = np.array([0, 1, 2]), np.array([0, 1, 0])
    assert grouping.united(None, alone) is None
    assert grouping.united(np.array([7, 5, 6]), alone) is None
    np.testing.assert_array_equal(grouping.united(None, same), [0, 1, 0])
    np.testing.assert_array_equal(grouping.united(np.array([4, 4, 5]), alone), [0, 0, 1])
    np.testing.assert_array_equal(grouping.united(np.array([4, 4, 5]), same), [0, 0, 0])


def test_join_with_itself_changes_nothing_but_numbers() -> None:
    ids = np.array([7, 3, 7, 9])
    np.testing.assert_array_equal(grouping.join(ids, ids), [0, 1, 0, 2])
    np.testing.assert_array_equal(grouping.by_appearance(ids), [0, 1, 0, 2])
