import numpy as np

from spikeduel.auditing.audit_results import ExactDuplicates
from spikeduel.auditing.duplicate_checks import (
    GEOMETRIC,
    NEAR_DUPLICATES,
    cut,
    earliest,
    exact,
    pairs,
    within_limits,
)
from spikeduel.auditing.neighbours import Matches

SPLIT_CODE = np.array([0, 0, 0, 1, 1, 2, 2, -1])


def test_exact_counts_by_hand():
    # 0: train, train, test; 1: train, val (and one left out); 2: val, test
    same = np.array([0, 0, 1, 1, 2, 0, 2, 1])
    labels = np.array([0, 0, 0, 0, 0, 0, 1, 1])
    assert exact(same, labels, SPLIT_CODE, tuple("abcdefgh")) == ExactDuplicates(
        within=1,
        across=3,
        conflicting=1,
        conflicting_images=2,
        test_in_training=1,
        conflicting_files=("e", "g"),
    )


def test_the_earliest_of_equal_images():
    same, split_code = np.array([0, 1, 0, 1, 0, 1]), np.array([2, 1, 0, 0, 0, -1])
    assert earliest(same, split_code).tolist() == [2, 3, 2, 3, 2, 5]


def test_cut_groups_leave_out_those_of_equal_images():
    groups = np.array([0, 1, 2, 0, 3, 0, 1, 2])
    same = np.array([0, 1, 2, 0, 4, 9, 1, 2])
    # Group 0 lies on all sides and is no set of copies; group 1 is a pair of equal images; 2's
    # other half is left out.
    assert cut(groups, same, SPLIT_CODE) == (1, 1)
    assert cut(np.arange(8), np.arange(8), SPLIT_CODE) == (0, 0)


def matches_of(of_images):
    """Return the matches of images from (other image, ratio) or None."""
    pairs = [other or (-1, np.inf) for other in of_images]
    return Matches(*map(np.array, zip(*pairs, strict=True)))


def test_near_is_a_share_of_the_usual_distance_and_leaves_out_equal_ones():
    earlier = matches_of([None, (0, 0.1), (0, 0.29), (0, 0.34), (0, np.nan)])
    (near,) = within_limits({NEAR_DUPLICATES: earlier}, np.array([0, 0, 1, 2, 3])).values()
    assert near.nearest.tolist() == [-1, -1, 0, -1, -1]


def test_moved_copies_are_those_that_are_not_near():
    near, moved = matches_of([None, None, (0, 0.2)]), matches_of([None, (0, 0.1), (0, 0.1)])
    copies = within_limits({NEAR_DUPLICATES: near, GEOMETRIC: moved}, np.arange(3))
    assert copies[GEOMETRIC].nearest.tolist() == [-1, 0, -1]


def test_pairs_are_listed_the_gravest_first():
    near = matches_of([None, None, None, (0, 0.25), (0, 0.2), None, None])
    moved = matches_of([None, None, None, None, None, (0, 0.2), None])
    same = np.array([0, 1, 2, 3, 4, 2, 1])
    labels = np.array([0, 0, 0, 1, 1, 1, 0])
    split_code = np.array([0, 0, 0, 2, 2, 2, 0])
    listed = pairs({NEAR_DUPLICATES: near, GEOMETRIC: moved}, same, labels, split_code)
    assert [(kind, a, b) for kind, a, b, _ in listed] == [
        ("equal images, different labels", 5, 2),
        ("near-duplicates in two splits", 4, 0),
        ("near-duplicates in two splits", 3, 0),
        ("geometric duplicates in two splits", 5, 0),
        ("equal images in one split", 6, 1),
    ]
