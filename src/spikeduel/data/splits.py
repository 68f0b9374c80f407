"""Which images train, choose and test: the official split, by class, by group, or in folds."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spikeduel.data.assigning import assign
from spikeduel.data.prepared import TEST, TRAIN, VALIDATION, Prepared
from spikeduel.settings import Experiment
from spikeduel.system import files
from spikeduel.system.errors import InputError

HELD_OUT = 0.1
"""The share of validation, and of test where there is no official one."""

_STREAM = 0x5B117
"""Sets these random numbers apart from others that are drawn from the same seed."""


@dataclass(frozen=True)
class Split:
    """Indices (sorted int64) into a prepared set's images.

    `kind`: "official" (there is an official test set), "grouped" (no group is cut), "stratified" (by
    class), or "published" (by class at random over files, cutting groups: results may measure memory).
    `fold` counts from 0 where this is one of several splits, each with another part of the images as its test.
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    kind: str
    fold: int | None = None


def split(prepared: Prepared, experiment: Experiment, fold: int = 0) -> Split:
    """One of `splits`: the only one where there are no folds."""
    return splits(prepared, experiment)[fold]


def splits(prepared: Prepared, experiment: Experiment) -> tuple[Split, ...]:
    """The split of `prepared` by `experiment`'s `split`, `split_seed` and `limit`; with `folds`, one for each fold.

    An official test set stays whole; validation is the official one or a tenth of the rest; what else is
    missing is a tenth as well. Each class is on each side; no group is cut where there are groups, unless
    `split` is "published" and there is no official test set. `limit` is a total over train and validation,
    never test. With K folds, each image is in the test set of exactly one; validation is a tenth of the rest.
    Raises `InputError` where a class has too few images (or groups) for that, and for folds of what is already split.
    """
    if experiment.folds is not None:
        return _folds(prepared, experiment, experiment.folds)
    rng = _generator(experiment)
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
        drawn = _drawn(prepared, rest, groups, list(share.values()), rng)
        sides[rest] = np.array(list(share))[drawn]
    train, val, test = (np.flatnonzero(sides == side) for side in (TRAIN, VALIDATION, TEST))
    train, val = _limited(prepared, train, val, experiment.limit, rng)
    if has_test:
        kind = "official"
    elif published:
        kind = "published"
    else:
        kind = _kind(groups)
    return (Split(train, val, test, kind),)


def _folds(prepared: Prepared, experiment: Experiment, num_folds: int) -> tuple[Split, ...]:
    if experiment.split == "published":
        raise InputError("folds: the published split is the study's one split; leave folds unset, or split.")
    if prepared.official is not None:
        side = "test" if (np.asarray(prepared.official) == TEST).any() else "validation"
        raise InputError(
            f"folds: {prepared.name} has a {side} set of its own, which stays whole. Leave folds unset; a folder can "
            "also have all its images in class folders with no train/, val/ or test/ above them."
        )
    groups, every = prepared.groups, np.arange(len(prepared))
    fold_of = _drawn(prepared, every, groups, [1 / num_folds] * num_folds, _generator(experiment))
    made = []
    for fold in range(num_folds):
        # Streams of their own: one fold is the same however many were made before it.
        rng = _generator(experiment, 1 + fold)
        rest = np.flatnonzero(fold_of != fold)
        drawn = _drawn(prepared, rest, groups, [1 - HELD_OUT, HELD_OUT], rng)
        train, val = _limited(prepared, rest[drawn == 0], rest[drawn == 1], experiment.limit, rng)
        made.append(Split(train, val, np.flatnonzero(fold_of == fold), _kind(groups), fold))
    return tuple(made)


def _generator(experiment: Experiment, stream: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[experiment.split_seed, _STREAM + stream]))


def _kind(groups: np.ndarray | None) -> str:
    return "stratified" if groups is None else "grouped"


def _drawn(
    prepared: Prepared, rows: np.ndarray, groups: np.ndarray | None, share: list[float], rng: np.random.Generator
) -> np.ndarray:
    labels = np.asarray(prepared.labels)[rows]
    return assign(labels, None if groups is None else np.asarray(groups)[rows], share, rng, prepared.classes)


def _limited(
    prepared: Prepared, train: np.ndarray, val: np.ndarray, limit: int | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """`train` and `val` cut down to `limit` in all, in their proportion, each class in its share."""
    if limit is None or limit >= len(train) + len(val):
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


def write_splits(path: Path, prepared: Prepared, splits: Sequence[Split]) -> None:
    """Writes a CSV with a line for each image that is used: which side it is on, in each fold where there are folds.

    Columns: `path` (relative to the data's folder), or `index` (from 0, in the order of the data's files, those for
    training first) where images have no names; `split` (train, val or test); `fold` where there are folds; `group` (a
    number) where images have groups. Atomic.
    """
    folds, groups = splits[0].fold is not None, prepared.groups
    first = "index" if prepared.names is None else "path"
    with (
        files.atomic_path(Path(path)) as temporary,
        # A file's name may be no Unicode.
        temporary.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([first, "split", *["fold"] * folds, *["group"] * (groups is not None)])
        for split in splits:
            for side in ("train", "val", "test"):
                for index in getattr(split, side).tolist():
                    row = [index if prepared.names is None else prepared.names[index], side]
                    row += [] if split.fold is None else [split.fold]
                    row += [] if groups is None else [int(groups[index])]
                    writer.writerow(row)
