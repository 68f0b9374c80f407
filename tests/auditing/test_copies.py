import numpy as np

from spikeduel.auditing.copies import _earliest, exact, moved_ones, near_ones, pairs
from spikeduel.auditing.moved import Moved
from spikeduel.auditing.neighbours import Neighbourhood
from spikeduel.auditing.siblings import cut
from spikeduel.results.audit import Counts, ExactDuplicates

SIDE = np.array([0, 0, 0, 1, 1, 2, 2, -1])


def test_exact_counts_by_hand():
    same = np.array(
        [0, 0, 1, 1, 2, 0, 2, 1]
    )  # 0: train, train, test; 1: train, val (and one left out); 2: val, test
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    files = tuple("abcdefgh")
    assert exact(same, labels, SIDE, np.array([0, 0, 0, 1, 1, 0, 1, 5]), files) == ExactDuplicates(
        within=1,
        across=3,
        conflicting=1,
        conflicting_images=2,
        sets=3,
        images=7,
        test_in_training=1,
        across_groups=1,
        conflicting_files=("e", "g"),
    )
    without = exact(same, labels, SIDE, None)
    assert without.across_groups is None
    assert without.conflicting_files is None


def test_the_earliest_of_equal_images():
    assert _earliest(np.array([0, 1, 0, 1, 0]), np.array([2, 1, 0, 0, 0])).tolist() == [
        2,
        3,
        2,
        3,
        2,
    ]


def test_cut_groups_leave_out_those_of_equal_images():
    groups = np.array([0, 1, 2, 0, 3, 0, 1, 2])
    same = np.array([0, 1, 2, 0, 4, 9, 1, 2])
    # Group 0 lies on all sides and is no set of copies; group 1 is a pair of equal images; 2's
    # other half is left out.
    assert cut(groups, same, SIDE) == (1, 1)
    assert cut(np.arange(8), np.arange(8), SIDE) == (0, 0)


def neighbourhood(own, earlier, usual=1.0):
    count = len(own)

    def of(neighbours):
        index = np.array([-1 if n is None else n[0] for n in neighbours])
        return index, np.array(
            [np.inf if n is None else n[1] for n in neighbours], dtype=np.float32
        )

    return Neighbourhood(
        of(own),
        of(earlier),
        of(own),
        np.full(count, usual, np.float32),
        Counts(train=0, val=0, test=0),
    )


def moved_copies(copies):
    """Of each image (other, ratio) or None."""
    index = np.array([-1 if n is None else n[0] for n in copies])
    return Moved(index, np.array([np.inf if n is None else n[1] for n in copies], dtype=np.float32))


def test_near_is_a_share_of_the_usual_distance_and_leaves_out_equal_ones():
    own = [(1, 0.1), (0, 0.1), (1, 0.0), None]
    earlier = [None, None, (0, 0.29), (0, 0.34)]
    same = np.array([0, 1, 1, 3])
    within, across = near_ones(neighbourhood(own, earlier), same)
    assert within.tolist() == [True, True, False, False]
    assert across.tolist() == [False, False, True, False]
    unknown = neighbourhood(own, earlier, usual=np.nan)
    assert not np.any(near_ones(unknown, same))


def test_moved_copies_are_those_that_are_not_near():
    near = neighbourhood([(1, 0.1), None, None], [None, None, (0, 0.2)])
    moved = moved_copies([None, (0, 0.1), (0, 0.1)])
    assert moved_ones(moved, near, np.arange(3)).tolist() == [False, True, False]


def test_pairs_are_listed_the_gravest_first_and_once():
    own = [(1, 0.1), (0, 0.1), None, None, None, None]
    earlier = [None, None, None, (0, 0.25), (0, 0.2), None]
    same = np.array([0, 1, 2, 3, 4, 2])
    labels = np.array([0, 0, 0, 1, 1, 1])
    side = np.array([0, 0, 0, 2, 2, 2])
    # Image 3 is near already, and is not listed twice.
    moved = moved_copies([None, None, None, (2, 0.1), None, (0, 0.2)])

    listed = pairs(neighbourhood(own, earlier), moved, same, labels, side)
    assert [(kind, a, b) for kind, a, b, _ in listed] == [
        ("equal images, different labels", 5, 2),
        ("near on two sides", 4, 0),
        ("near on two sides", 3, 0),
        ("moved on two sides", 5, 0),
        ("near on one side", 0, 1),
    ]
