import csv
import itertools
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

from spikeduel.data.prepared import PUBLISHED, TEST, TRAIN, VALIDATION, regrouped
from spikeduel.data.splits import assign, read_splits, split, splits, write_splits
from spikeduel.experiment.settings import Experiment
from spikeduel.system.errors import InputError


def by(prepared, **settings):
    return split(prepared, Experiment(**settings))


def check_partition(made, count):
    together = np.concatenate([made.train, made.val, made.test])
    np.testing.assert_array_equal(np.sort(together), np.arange(count))
    for part in (made.train, made.val, made.test):
        assert part.dtype == np.int64
        np.testing.assert_array_equal(part, np.sort(part))


LABELS = np.repeat([0, 1, 2], [300, 200, 100])
OFFICIAL = np.where(np.arange(600) % 6 == 0, TEST, TRAIN).astype(np.uint8)


def test_without_official_split_80_10_10_of_each_class(make_prepared):
    prepared = make_prepared(LABELS)
    made = by(prepared)
    check_partition(made, 600)
    assert made.kind == "stratified"
    np.testing.assert_array_equal(np.bincount(LABELS[made.train]), [240, 160, 80])
    np.testing.assert_array_equal(np.bincount(LABELS[made.val]), [30, 20, 10])
    np.testing.assert_array_equal(np.bincount(LABELS[made.test]), [30, 20, 10])


def test_official_validation_stays_whole(make_prepared):
    official = np.where(np.arange(600) % 6 == 1, VALIDATION, OFFICIAL).astype(np.uint8)
    without_test = np.where(official == TEST, TRAIN, official).astype(np.uint8)
    for official_split, num_test in ((official, 100), (without_test, 50)):
        made = by(make_prepared(LABELS, official=official_split))
        check_partition(made, 600)
        np.testing.assert_array_equal(made.val, np.flatnonzero(official == VALIDATION))
        assert len(made.test) == num_test
    assert made.kind == "stratified"


GROUPED_LABELS = np.tile(np.repeat(np.arange(10), 4), 50)
GROUPS = np.repeat(np.arange(50), 40)


def cut(made, groups):
    parts = [set(groups[part].tolist()) for part in (made.train, made.val, made.test)]
    return len(parts[0] & parts[1]) + len(parts[0] & parts[2]) + len(parts[1] & parts[2])


def test_groups_are_never_cut(make_prepared):
    prepared = make_prepared(GROUPED_LABELS, groups=GROUPS)
    made = by(prepared)
    check_partition(made, 2000)
    assert made.kind == "grouped"
    assert cut(made, GROUPS) == 0
    assert [len(np.unique(GROUPS[part])) for part in (made.train, made.val, made.test)] == [
        40,
        5,
        5,
    ]


def test_published_split_cuts_groups_and_says_so(make_prepared):
    made = by(make_prepared(GROUPED_LABELS, groups=GROUPS, name=PUBLISHED))
    check_partition(made, 2000)
    assert made.kind == "published"
    assert cut(made, GROUPS) > 0
    np.testing.assert_array_equal(np.bincount(GROUPED_LABELS[made.test]), [20] * 10)


def test_limit_is_a_total_over_train_and_validation(make_prepared):
    for prepared in (make_prepared(LABELS), make_prepared(LABELS, official=OFFICIAL)):
        whole, made = by(prepared), by(prepared, limit=100)
        assert len(made.train) + len(made.val) == 100
        assert len(made.val) == round(100 * len(whole.val) / (len(whole.train) + len(whole.val)))
        np.testing.assert_array_equal(made.test, whole.test)
        assert set(made.train) <= set(whole.train)
        assert set(made.val) <= set(whole.val)
        np.testing.assert_allclose(
            np.bincount(LABELS[made.train]) / len(made.train), [0.5, 1 / 3, 1 / 6], atol=0.02
        )


# ---- folds


@pytest.mark.parametrize("groups", [None, GROUPS], ids=["by class", "by group"])
@pytest.mark.parametrize("limit", [None, 100])
def test_in_folds_every_image_is_tested_exactly_once(make_prepared, groups, limit):
    prepared = make_prepared(GROUPED_LABELS, groups=groups)
    made = splits(prepared, Experiment(folds=5, limit=limit))
    assert [fold.fold for fold in made] == [0, 1, 2, 3, 4]
    tested = np.concatenate([fold.test for fold in made])
    np.testing.assert_array_equal(np.sort(tested), np.arange(2000))
    for fold in made:
        assert fold.kind == ("stratified" if groups is None else "grouped")
        assert len(fold.test) == 400
        if limit is None:
            check_partition(fold, 2000)
            assert len(fold.val) == 160
        assert len(fold.train) + len(fold.val) == (limit or 1600)
        assert groups is None or cut(fold, groups) == 0
        for part in (fold.train, fold.val, fold.test):
            assert len(np.unique(GROUPED_LABELS[part])) == 10


ALTERNATING, FOURS = np.tile([0, 1], 20), np.repeat(np.arange(10), 4)


def test_groups_keep_the_users_names(make_prepared, tmp_path):
    prepared = replace(
        make_prepared(ALTERNATING, groups=FOURS),
        names=tuple(f"anna_{k // 4}_{k}.png" for k in range(40)),
    )
    prepared = regrouped(prepared, r"(anna_\d)_")
    write_splits(tmp_path / "split.csv", prepared, splits(prepared, Experiment()))
    with (tmp_path / "split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["path"].startswith(row["group"] + "_") for row in rows)


def test_files_are_listed_by_path_with_fold_and_group(make_prepared, tmp_path):
    names = tuple(f'a "b", {k}\udcff.png' for k in range(40))
    prepared = replace(make_prepared(ALTERNATING, groups=FOURS), names=names)
    made = splits(prepared, Experiment(folds=2))
    write_splits(tmp_path / "split.csv", prepared, made)
    with (tmp_path / "split.csv").open(errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "split", "fold", "group", "image"]
    assert len(rows) == 2 * 40
    assert sorted(row["path"] for row in rows if row["split"] == "test") == sorted(names)
    for row in rows:
        index = names.index(row["path"])
        assert index in getattr(made[int(row["fold"])], row["split"])
        assert int(row["group"]) == FOURS[index]
        assert [row["image"]] == prepared.hashes_of(np.array([index]))
    for number, fold in enumerate(made):
        assert {
            (row.image, row.split)
            for row in read_splits(tmp_path / "split.csv")
            if row.fold == str(number)
        } == {
            (image, split_name)
            for split_name in ("train", "val", "test")
            for image in prepared.hashes_of(getattr(fold, split_name))
        }


def assigned(labels, groups, share=(0.8, 0.1, 0.1), seed=0):
    labels = np.asarray(labels)
    classes = tuple(f"class {k}" for k in range(int(labels.max()) + 1))
    groups = None if groups is None else np.asarray(groups)
    return assign(labels, groups, share, np.random.default_rng(seed), classes)


def check(split_of, labels, groups, share):
    """Complete, no group in two splits, each class in each split."""
    assert len(split_of) == len(labels)
    assert set(split_of.tolist()) <= set(range(len(share)))
    for group in np.unique(groups):
        assert len(set(split_of[groups == group])) == 1
    for label in np.unique(labels):
        assert set(split_of[labels == label]) == set(range(len(share)))


def possible(labels, groups, num_splits):
    """Return True if any assignment of groups to splits has every class in every split."""
    in_group = np.array(
        [np.bincount(labels[groups == group], minlength=3) > 0 for group in set(groups)]
    )
    classes = np.unique(labels)
    return any(
        all(in_group[np.array(codes) == code].any(0)[classes].all() for code in range(num_splits))
        for codes in itertools.product(range(num_splits), repeat=len(in_group))
    )


@settings(max_examples=60, deadline=None)
@given(
    contents=st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=2, max_size=7),
    num_splits=st.integers(2, 3),
    seed=st.integers(0, 100),
)
# Three classes that share their groups crosswise: placing one at a time leads into a corner.
@example(contents=[[0, 1], [1, 2], [0, 2], [0], [1], [2]], num_splits=3, seed=0)
def test_whatever_can_be_split_is_split_and_what_cannot_is_refused(contents, num_splits, seed):
    labels = np.concatenate([np.array(content) for content in contents])
    _, labels = np.unique(labels, return_inverse=True)
    groups = np.repeat(np.arange(len(contents)), [len(content) for content in contents])
    share = [1 - 0.1 * (num_splits - 1)] + [0.1] * (num_splits - 1)
    if possible(labels, groups, num_splits):
        check(assigned(labels, groups, share, seed), labels, groups, share)
    else:
        with pytest.raises(InputError, match="class"):
            assigned(labels, groups, share, seed)


def test_a_rare_class_among_many_groups_that_are_all_different():
    # Placing the largest groups first puts the rare class where the large groups go: the search has
    # to mend that.
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(300), 20)
    labels = rng.integers(0, 10, len(groups))
    labels[[0, 20, 40, 60, 80]] = 10
    for seed in range(4):
        split_of = assigned(labels, groups, [0.2] * 5, seed)
        check(split_of, labels, groups, [0.2] * 5)
        np.testing.assert_allclose(np.bincount(split_of) / len(split_of), 0.2, atol=0.02)


@pytest.mark.parametrize(
    ("labels", "groups", "problem"),
    [
        (
            [0, 0, 0, 1, 1, 1, 1],
            [0, 1, 2, 3, 3, 4, 4],
            r"class 'class 1' has 4 images in 2 groups, .*too few for 3 splits, which need",
        ),
        ([0, 1, 1, 1], None, r"class 'class 0' has 1 image: too few for 3 splits, which need"),
    ],
)
def test_too_few_groups_are_counted(labels, groups, problem):
    with pytest.raises(InputError, match=problem):
        assigned(labels, groups)


@pytest.mark.parametrize("official", [None, OFFICIAL], ids=["drawn", "official"])
def test_copies_among_many_single_images_stay_together(make_prepared, official, monkeypatch):
    groups = np.arange(600)
    groups[[1, 2, 309]] = 1
    groups[[310, 550, 551]] = 310
    for seed in range(10):
        monkeypatch.setattr(sys.modules["spikeduel.data.splits"], "_STREAM", seed)
        made = by(make_prepared(LABELS, groups=groups, official=official))
        check_partition(made, 600)
        assert not set(groups[made.train]) & set(groups[made.val])
        if official is None:
            assert cut(made, groups) == 0
            np.testing.assert_allclose(np.bincount(LABELS[made.test]), [30, 20, 10], atol=2)
        else:
            assert made.kind == "official"
            np.testing.assert_array_equal(made.test, np.flatnonzero(OFFICIAL == TEST))


VALIDATED = np.where(OFFICIAL == TEST, VALIDATION, TRAIN).astype(np.uint8)
REFUSED = {
    "few for a limit": ({}, {"limit": 5}, "limit 5 is too small: 3 classes need at least 6"),
    "official test": ({"official": OFFICIAL}, {"folds": 3}, "noise has a test set of its own"),
    "official val": ({"official": VALIDATED}, {"folds": 3}, "noise has a validation set of its"),
    "published": ({"name": PUBLISHED}, {"folds": 3}, "socofing-published has the study's one"),
    "few groups": (
        {"groups": np.arange(600) // 60},
        {"folds": 5},
        r"2 groups, .* 5 splits, which need",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_splits_that_cannot_be_are_refused(case, make_prepared):
    more, settings, problem = REFUSED[case]
    with pytest.raises(InputError, match=problem):
        splits(make_prepared(LABELS, **more), Experiment(**settings))
