import numpy as np

from spikeduel.data.grouping import join_groups, numbered


def test_numbers_are_given_as_keys_appear():
    assert numbered(["b", "a", "b", (1, 2)]).tolist() == [0, 1, 0, 2]


def test_join_is_transitive():
    subjects = np.array([10, 10, 20, 30, 40])
    same = np.array([0, 1, 1, 2, 2])
    np.testing.assert_array_equal(join_groups(subjects, same), [0, 0, 0, 1, 1])


def test_join_with_itself_changes_nothing_but_numbers():
    ids = np.array([7, 3, 7, 9])
    np.testing.assert_array_equal(join_groups(ids, ids), [0, 1, 0, 2])
