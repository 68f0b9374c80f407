import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spikeduel.data.assigning import assign
from spikeduel.system.errors import InputError

THREE = [0.8, 0.1, 0.1]


def sides_of(labels, groups, share=THREE, seed=0):
    labels = np.asarray(labels)
    classes = tuple(f"class {k}" for k in range(int(labels.max()) + 1))
    groups = None if groups is None else np.asarray(groups)
    return assign(labels, groups, share, np.random.default_rng(seed), classes)


def check(side, labels, groups, share):
    """Complete, no group on two sides, each class on each side."""
    assert len(side) == len(labels)
    assert set(side.tolist()) <= set(range(len(share)))
    for group in np.unique(groups):
        assert len(set(side[groups == group])) == 1
    for label in np.unique(labels):
        assert set(side[labels == label]) == set(range(len(share)))


def possible(labels, groups, num_sides):
    """Whether any of all assignments of groups to sides has every class on every side."""
    has = np.array([[((groups == g) & (labels == k)).any() for k in np.unique(labels)] for g in np.unique(groups)])
    for sides in itertools.product(range(num_sides), repeat=len(has)):
        chosen = np.array(sides)
        if all(has[chosen == side].any(0).all() for side in range(num_sides)):
            return True
    return False


@settings(max_examples=60, deadline=None)
@given(
    contents=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=2, max_size=7),
    num_sides=st.integers(2, 3),
    seed=st.integers(0, 100),
)
# Three classes that share their groups crosswise: placing one at a time leads into a corner.
@example(contents=[[0, 1], [1, 2], [0, 2], [0], [1], [2]], num_sides=3, seed=0)
def test_whatever_can_be_split_is_split_and_what_cannot_is_refused(contents, num_sides, seed):
    labels = np.concatenate([np.array(content) for content in contents])
    _, labels = np.unique(labels, return_inverse=True)
    groups = np.repeat(np.arange(len(contents)), [len(content) for content in contents])
    share = [1 - 0.1 * (num_sides - 1)] + [0.1] * (num_sides - 1)
    if possible(labels, groups, num_sides):
        check(sides_of(labels, groups, share, seed), labels, groups, share)
    else:
        with pytest.raises(InputError, match="class"):
            sides_of(labels, groups, share, seed)


@st.composite
def populations(draw):
    """Groups of very different sizes and habits: pure ones, mixed ones, a giant, single images, a rare class."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    num_classes, num_groups = draw(st.integers(2, 5)), draw(st.integers(40, 120))
    sizes = rng.integers(1, draw(st.integers(2, 12)), num_groups)
    if draw(st.booleans()):
        sizes[0] = max(1, sizes.sum() // 4)
    pure = draw(st.booleans())
    labels, groups = [], []
    for group, size in enumerate(sizes):
        own = rng.integers(num_classes)
        labels.append(np.full(size, own) if pure else rng.integers(0, num_classes, size))
        groups.append(np.full(size, group))
    # A class in as few groups as there can be.
    for group in range(num_groups, num_groups + 5):
        labels.append(np.array([num_classes] * int(rng.integers(1, 4))))
        groups.append(np.full(len(labels[-1]), group))
    labels, groups = np.concatenate(labels), np.concatenate(groups)
    _, labels = np.unique(labels, return_inverse=True)
    order = rng.permutation(len(labels))
    return labels[order], groups[order]


@settings(max_examples=40, deadline=None)
@given(population=populations(), folds=st.sampled_from([None, 2, 5]), seed=st.integers(0, 1000))
def test_hard_populations(population, folds, seed):
    labels, groups = population
    share = THREE if folds is None else [1 / folds] * folds
    enough = all(len(np.unique(groups[labels == k])) >= 8 for k in range(int(labels.max())))
    if not enough:
        return
    side = sides_of(labels, groups, share, seed)
    check(side, labels, groups, share)
    np.testing.assert_array_equal(side, sides_of(labels, groups, share, seed))
    # As near to its share as the largest group allows; that can only lie in one place.
    largest = np.bincount(groups).max()
    found = np.bincount(side, minlength=len(share))
    for number, part in zip(found, share, strict=True):
        assert abs(number - part * len(labels)) <= max(largest, 0.05 * len(labels))


def test_groups_come_nearest_to_the_targets_by_hand():
    # Ten groups of ten: 80, 10 and 10 images leave one group for each of the smaller sides.
    groups = np.repeat(np.arange(10), 10)
    labels = np.tile(np.arange(2), 50)
    for seed in range(5):
        assert np.bincount(sides_of(labels, groups, seed=seed)).tolist() == [80, 10, 10]


def test_a_naive_stratified_split_would_cut_what_this_keeps_whole():
    labels, groups = np.tile([0, 1], 60), np.repeat(np.arange(30), 4)
    naive = sides_of(labels, None)
    assert any(len(set(naive[groups == group])) > 1 for group in range(30))
    check(sides_of(labels, groups), labels, groups, THREE)


def test_what_cannot_be_divided_is_shared_out_among_the_sides():
    # Seven images a class for five folds: two are left over, and must not always go to the first folds.
    labels = np.repeat(np.arange(10), 7)
    found = np.bincount(sides_of(labels, None, [0.2] * 5))
    assert found.tolist() == [14] * 5


def test_the_exact_search_finds_the_only_way():
    # A, B and C hold all classes but for one of them; only {A}, {B, c}, … as one group each can work for three sides.
    contents = [[0, 1], [2], [0, 2], [1], [1, 2], [0]]
    labels = np.concatenate(contents)
    groups = np.repeat(np.arange(6), [len(content) for content in contents])
    side = sides_of(labels, groups)
    check(side, labels, groups, THREE)
    assert [side[groups == one][0] == side[groups == other][0] for one, other in ((0, 1), (2, 3), (4, 5))] == [True] * 3


def test_a_rare_class_among_many_groups_that_are_all_different():
    # Placing the largest groups first puts the rare class where the large groups go: the search has to mend that.
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), 20)
    labels = rng.integers(0, 10, len(groups))
    labels[[0, 20, 40, 60, 80]] = 10
    for seed in range(4):
        side = sides_of(labels, groups, [0.2] * 5, seed)
        check(side, labels, groups, [0.2] * 5)
        np.testing.assert_allclose(np.bincount(side) / len(side), 0.2, atol=0.02)


def test_too_few_groups_are_counted():
    with pytest.raises(
        InputError, match=r"class 'class 1' has too few groups .* 4 images lie in 2 groups, and 3 sides"
    ):
        sides_of([0, 0, 0, 1, 1, 1, 1], [0, 1, 2, 3, 3, 4, 4])
    with pytest.raises(InputError, match=r"class 'class 0' has 1 image, and a split needs at least 3"):
        sides_of([0, 1, 1, 1], None)


def test_enough_groups_for_each_class_and_yet_no_way():
    # Three groups hold each class, but of four groups, two on one side leave too little for the other two.
    contents = [[0, 1], [0, 2], [1, 2], [0, 1, 2]]
    labels, groups = np.concatenate(contents), np.repeat(np.arange(4), [len(content) for content in contents])
    assert not possible(labels, groups, 3)
    with pytest.raises(InputError, match=r"no split into 3 sides .* Add images of it in other groups"):
        sides_of(labels, groups)
