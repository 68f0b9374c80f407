"""Which images train, choose and test: the official split, by class, or by group."""

from dataclasses import dataclass

import numpy as np

from spikeduel.data.prepared import TEST, TRAIN, VALIDATION, Prepared
from spikeduel.errors import InputError
from spikeduel.settings import Experiment

HELD_OUT = 0.1
"""The share of validation, and of test where there is no official one."""


@dataclass(frozen=True)
class Split:
    """Indices (sorted int64) into a prepared set's images.

    `kind`: "official" (there is an official test set), "grouped" (no group is cut), "stratified" (by
    class), or "published" (by class at random over files, cutting groups: results may measure memory).
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    kind: str


def split(prepared: Prepared, experiment: Experiment) -> Split:
    """The split of `prepared` by `experiment`'s `split`, `split_seed` and `limit`.

    An official test set stays whole; validation is the official one or a tenth of the rest; what else is
    missing is a tenth as well. Each class is on each side; no group is cut where there are groups, unless
    `split` is "published" and there is no official test set. `limit` is a total over train and validation,
    never test. Raises `InputError` where a class has too few images (or groups) for that.
    """
    rng = np.random.Generator(np.random.Philox(key=[experiment.split_seed, 0x5B117]))
    count = len(prepared)
    official = np.zeros(count, dtype=np.uint8) if prepared.official is None else np.asarray(prepared.official)
    has_test = bool((official == TEST).any())
    published = experiment.split == "published" and prepared.groups is not None and not has_test
    groups = None if published else prepared.groups
    sides = official.astype(np.int64)
    wanted = [side for side in (VALIDATION, TEST) if not (official == side).any()]
    rest = np.flatnonzero(official == TRAIN)
    if wanted:
        share = {TRAIN: 1 - HELD_OUT * len(wanted), **dict.fromkeys(wanted, HELD_OUT)}
        labels = np.asarray(prepared.labels)[rest]
        parts = None if groups is None else np.asarray(groups)[rest]
        drawn = _assign(labels, parts, list(share.values()), rng, prepared.classes)
        sides[rest] = np.array(list(share))[drawn]
    train, val, test = (np.flatnonzero(sides == side) for side in (TRAIN, VALIDATION, TEST))
    if experiment.limit is not None:
        train, val = _limited(prepared, train, val, experiment.limit, rng)
    if has_test:
        kind = "official"
    elif published:
        kind = "published"
    else:
        kind = "stratified" if groups is None else "grouped"
    return Split(train, val, test, kind)


def _assign(
    labels: np.ndarray,
    groups: np.ndarray | None,
    share: list[float],
    rng: np.random.Generator,
    classes: tuple[str, ...],
) -> np.ndarray:
    """A side (index into `share`) for each image: groups first, greedily; single images fill up by class."""
    num_classes, num_sides = len(classes), len(share)
    side = np.full(len(labels), -1, dtype=np.int64)
    target = np.outer(share, np.bincount(labels, minlength=num_classes))
    filled = np.zeros_like(target)
    single = np.ones(len(labels), dtype=bool)
    if groups is not None:
        _, group, size = np.unique(groups, return_inverse=True, return_counts=True)
        single = size[group] == 1
        content = np.zeros((len(size), num_classes))
        np.add.at(content, (group, labels), 1)
        side_of = _assign_groups(content, size, target, filled, rng)
        side[~single] = side_of[group[~single]]
    for label in range(num_classes):
        rows = rng.permutation(np.flatnonzero(single & (labels == label)))
        side[rows] = np.repeat(np.arange(num_sides), _quota(len(rows), target[:, label], filled[:, label]))
    _require_every_class(side, labels, num_sides, groups is not None, classes)
    return side


def _assign_groups(
    content: np.ndarray, size: np.ndarray, target: np.ndarray, filled: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """A side for each group of several images, largest first, where it brings the counts nearest to `target`.

    `target` and `filled` (which is counted up) are `[sides, classes]`, `content` is `[groups, classes]`.
    """
    side_of = np.full(len(size), -1, dtype=np.int64)
    weight = 1 / np.maximum(target, 1e-9)
    order = rng.permutation(len(size))
    order = order[np.argsort(-size[order], kind="stable")]
    order = order[size[order] > 1]
    for group in order:
        images = content[group]
        # The growth of the squared distance to the target, relative to the target.
        growth = (images * (2 * (filled - target) + images) * weight).sum(axis=1)
        side_of[group] = int(np.argmin(growth))
        filled[side_of[group]] += images
    singles = content[size == 1].sum(axis=0)
    for poor in range(len(target)):
        for label in np.flatnonzero((filled[poor] == 0) & (singles < len(target))):
            _move_one(side_of, content, filled, poor, int(label), order)
    return side_of


def _move_one(
    side_of: np.ndarray, content: np.ndarray, filled: np.ndarray, poor: int, label: int, order: np.ndarray
) -> None:
    """Moves the smallest group with `label`, whose side can spare it, to the side that has none."""
    if filled[poor, label]:
        return
    for group in order[::-1]:
        rich = side_of[group]
        left = filled[rich] - content[group]
        if rich != poor and content[group, label] and not ((left == 0) & (filled[rich] > 0)).any():
            side_of[group] = poor
            filled[rich] -= content[group]
            filled[poor] += content[group]
            return


def _quota(count: int, target: np.ndarray, filled: np.ndarray) -> np.ndarray:
    """How many of `count` single images go to each side: as the targets ask, at least one where none is."""
    lacking = np.maximum(target - filled, 0)
    ideal = lacking * count / max(lacking.sum(), 1e-9)
    quota = np.floor(ideal).astype(np.int64)
    quota[np.argsort(quota - ideal, kind="stable")[: count - quota.sum()]] += 1
    needs_one = filled == 0
    for side in np.flatnonzero(needs_one & (quota == 0)):
        donor = int(np.argmax(quota - needs_one))
        if quota[donor] > needs_one[donor]:
            quota[donor] -= 1
            quota[side] += 1
    return quota


def _require_every_class(
    side: np.ndarray, labels: np.ndarray, num_sides: int, grouped: bool, classes: tuple[str, ...]
) -> None:
    counts = np.zeros((num_sides, len(classes)), dtype=np.int64)
    np.add.at(counts, (side, labels), 1)
    if (counts > 0).all():
        return
    label = int(np.argmin(counts.min(axis=0)))
    have = int(counts[:, label].sum())
    if have >= num_sides and grouped:
        raise InputError(
            f"class '{classes[label]}' has too few groups for a split that cuts none: its {have} images must form "
            f"at least {num_sides} groups. Add images, or give val/ and test/ folders."
        )
    raise InputError(
        f"class '{classes[label]}' has {have} images, and a split needs at least {num_sides} of each class. "
        "Add images, or remove the class."
    )


def _limited(
    prepared: Prepared, train: np.ndarray, val: np.ndarray, limit: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """`train` and `val` cut down to `limit` in all, in their proportion, each class in its share."""
    if limit >= len(train) + len(val):
        return train, val
    labels = np.asarray(prepared.labels)
    num_train_classes, num_val_classes = (len(np.unique(labels[part])) for part in (train, val))
    if limit < num_train_classes + num_val_classes:
        raise InputError(
            f"limit {limit} is too small: {len(prepared.classes)} classes need at least "
            f"{num_train_classes + num_val_classes}, an image each for training and for validation."
        )
    num_val = round(limit * len(val) / (len(train) + len(val)))
    num_val = min(max(num_val, num_val_classes), limit - num_train_classes)
    return _sample(train, labels, limit - num_val, rng), _sample(val, labels, num_val, rng)


def _sample(rows: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` of `rows`, each class in its share and at least once."""
    present, sizes = np.unique(labels[rows], return_counts=True)
    quota = np.maximum(np.floor(sizes * count / len(rows)).astype(np.int64), 1)
    while quota.sum() != count:
        lacking = sizes * count / len(rows) - quota
        step = 1 if quota.sum() < count else -1
        lacking[(quota >= sizes) if step > 0 else (quota <= 1)] = -np.inf * step
        quota[np.argmax(lacking * step)] += step
    picked = [
        rng.permutation(rows[labels[rows] == label])[:number] for label, number in zip(present, quota, strict=True)
    ]
    return np.sort(np.concatenate(picked))
