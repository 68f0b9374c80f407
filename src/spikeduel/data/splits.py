"""Split into training, validation and test: official, by class, by group, or in folds."""

import csv
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spikeduel.data.prepared import PUBLISHED, TEST, TRAIN, VALIDATION, Prepared
from spikeduel.experiment.settings import Experiment
from spikeduel.statistics import numbered
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.system.sentences import counted

HELD_OUT = 0.1
"""Share of validation, and of test without an official one."""

_STREAM = 0x5B117
"""Separates these random numbers from others drawn with the same seed."""

MAX_NODES = 200
"""Most nodes of the exact search: seconds would depend on the machine."""
MAX_NUMBERS = 200
"""Most unknowns for which it seeks the best solution."""
NEAR_ENOUGH = 0.05
"""Share of a class's target that the exact search may miss."""

_REMEDY = (
    "Add images of it (in other groups), remove the class, make groups finer (group_by), choose "
    "fewer folds if there are folds, or give val/ and test/ folders of your own."
)


@dataclass(frozen=True, eq=False)
class Split:
    """Indices (sorted int64) into a prepared set's images.

    `kind`: "official" (test set), "grouped" (no group is cut), "stratified" (by class), or
    "published" (by class, cutting groups: results may measure memory). `fold` counts from 0.
    """

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    kind: str
    fold: int | None = None


def split(prepared: Prepared, experiment: Experiment, fold: int = 0) -> Split:
    """Return one of the `splits`."""
    return splits(prepared, experiment)[fold]


def splits(prepared: Prepared, experiment: Experiment) -> tuple[Split, ...]:
    """Split `prepared` by the `limit` and `folds` of `experiment`.

    Official sets stay whole; a missing one is a tenth of the rest. Every split has every class;
    only "published" without an official test set cuts groups. `limit` is a total over train and
    validation. Raises `InputError` if that is impossible.
    """
    if experiment.folds is not None:
        return _folds(prepared, experiment, experiment.folds)
    rng, codes = _generator(), np.full(len(prepared), TRAIN)
    if prepared.official is not None:
        codes[:] = prepared.official
    wanted = [split_name for split_name in (VALIDATION, TEST) if split_name not in codes]
    kind = "stratified"
    if TEST not in wanted:
        kind = "official"
    elif prepared.groups is not None:
        kind = "published" if prepared.name == PUBLISHED else "grouped"
    groups = None if kind == "published" else prepared.groups
    if wanted:
        rest = np.flatnonzero(codes == TRAIN)
        share = {TRAIN: 1 - HELD_OUT * len(wanted), **dict.fromkeys(wanted, HELD_OUT)}
        codes[rest] = np.array(list(share))[
            _drawn(prepared, rest, groups, list(share.values()), rng)
        ]
    train, val, test = (
        np.flatnonzero(codes == split_name) for split_name in (TRAIN, VALIDATION, TEST)
    )
    return (Split(*_limited(prepared, train, val, experiment.limit, rng), test, kind),)


def evenly(indices: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` of `indices` `[N]`, evenly spread."""
    return indices[np.linspace(0, len(indices) - 1, min(most, len(indices))).astype(int)]


def can_fold(prepared: Prepared, experiment: Experiment, num_folds: int) -> bool:
    """Return True if `num_folds` folds are possible where there are none."""
    with suppress(InputError):
        return experiment.folds is None and bool(_folds(prepared, experiment, num_folds))
    return False


def _folds(prepared: Prepared, experiment: Experiment, num_folds: int) -> tuple[Split, ...]:
    if prepared.name == PUBLISHED:
        raise InputError(
            f"folds: {PUBLISHED} has the study's one split. Leave folds unset, or take socofing."
        )
    if prepared.official is not None:
        split_name = "test" if (np.asarray(prepared.official) == TEST).any() else "validation"
        raise InputError(
            f"folds: {prepared.name} has a {split_name} set of its own, which stays whole. Leave "
            "folds unset; a folder can also have all its images in class folders with no train/, "
            "val/ or test/ above them."
        )
    groups, kind = prepared.groups, "stratified" if prepared.groups is None else "grouped"
    everything, share = np.arange(len(prepared)), [1 / num_folds] * num_folds
    fold_of = _drawn(prepared, everything, groups, share, _generator())
    made = []
    for fold in range(num_folds):
        # Streams of their own: a fold does not depend on those before it.
        rng = _generator(1 + fold)
        rest = np.flatnonzero(fold_of != fold)
        drawn = _drawn(prepared, rest, groups, [1 - HELD_OUT, HELD_OUT], rng)
        train, val = _limited(prepared, rest[drawn == 0], rest[drawn == 1], experiment.limit, rng)
        made.append(Split(train, val, np.flatnonzero(fold_of == fold), kind, fold))
    return tuple(made)


def _generator(stream: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=[0, _STREAM + stream]))


def _drawn(
    prepared: Prepared,
    rows: np.ndarray,
    groups: np.ndarray | None,
    share: list[float],
    rng: np.random.Generator,
) -> np.ndarray:
    labels = np.asarray(prepared.labels)[rows]
    return assign(
        labels, None if groups is None else np.asarray(groups)[rows], share, rng, prepared.classes
    )


def _limited(
    prepared: Prepared,
    train: np.ndarray,
    val: np.ndarray,
    limit: int | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut `train` and `val` to `limit` in all, in proportion and by class."""
    if limit is None or limit >= len(train) + len(val):
        return train, val
    labels = np.asarray(prepared.labels)
    fewest_train, fewest_val = (len(np.unique(labels[part])) for part in (train, val))
    if limit < fewest_train + fewest_val:
        raise InputError(
            f"limit {limit} is too small: {len(prepared.classes)} classes need at least "
            f"{fewest_train + fewest_val}, "
            "an image each for training and for validation."
        )
    num_val = round(limit * len(val) / (len(train) + len(val)))
    num_val = min(max(num_val, fewest_val), limit - fewest_train)
    return _sample(train, labels, limit - num_val, rng), _sample(val, labels, num_val, rng)


def _sample(
    rows: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    present, sizes = np.unique(labels[rows], return_counts=True)
    quota = np.maximum(np.floor(sizes * count / len(rows)).astype(np.int64), 1)
    while quota.sum() != count:
        lacking = sizes * count / len(rows) - quota
        step = 1 if quota.sum() < count else -1
        lacking[(quota >= sizes) if step > 0 else (quota <= 1)] = -np.inf * step
        quota[np.argmax(lacking * step)] += step
    drawn = [
        rng.permutation(rows[labels[rows] == label])[:n]
        for label, n in zip(present, quota, strict=True)
    ]
    return np.sort(np.concatenate(drawn))


def write_splits(path: Path, prepared: Prepared, splits: Sequence[Split]) -> None:
    """Write a CSV with a line for each used image and fold, atomically: `path` (relative to the
    data's folder) or `index` (from 0), `split` (train, val or test), any `fold` and `group`, by
    the user's name for it if there is one, and `image` (`Prepared.hashes_of`).
    """
    has_folds, names = splits[0].fold is not None, prepared.names
    groups = prepared.groups if prepared.group_names is None else prepared.group_names
    more = ["fold"] * has_folds + ["group"] * (groups is not None) + ["image"]
    rows: list[list[object]] = [["index" if names is None else "path", "split", *more]]
    for split in splits:
        for split_name in ("train", "val", "test"):
            indices = getattr(split, split_name)
            for index, image in zip(indices, prepared.hashes_of(indices), strict=True):
                fold = [split.fold] * has_folds
                group = [] if groups is None else [groups[index]]
                rows.append([names[index] if names else index, split_name, *fold, *group, image])
    files.write_csv(path, rows)


class PlacedImage(NamedTuple):
    """A line of a CSV of `write_splits`; `name`: its path or index."""

    name: str
    split: str
    image: str
    fold: str | None = None
    group: str | None = None


def read_splits(path: Path) -> list[PlacedImage]:
    """Return the lines of a CSV of `write_splits`. Raises `InputError`."""
    try:
        with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            placed = [
                PlacedImage(row.pop("path", None) or row.pop("index"), **row)
                for row in csv.DictReader(file)
            ]
            if {row.split for row in placed} == {"train", "val", "test"}:
                return placed
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}).") from None
    except (KeyError, TypeError, ValueError, csv.Error):
        pass
    raise InputError(f"{path}: damaged, or no split of a run.")


def assign(
    labels: np.ndarray,
    groups: np.ndarray | None,
    share: list[float],
    rng: np.random.Generator,
    classes: tuple[str, ...],
) -> np.ndarray:
    """Return a split for each image, int64 `[N]`: an index into `share`, the approximate part of
    each class. Every split has every class, and no group is cut.

    Large groups are placed first, single images fill up, and an exact search mends missing classes.
    Raises `InputError` if that is impossible.
    """
    group = np.arange(len(labels)) if groups is None else numbered(groups.tolist())
    content = np.zeros((int(group.max(initial=-1)) + 1, len(classes)), dtype=np.int64)
    np.add.at(content, (group, labels), 1)
    groups_of, num_splits = (content > 0).sum(0), len(share)
    fewest = int(np.argmin(groups_of))
    name, num_groups = classes[fewest], int(groups_of[fewest])
    if num_groups < num_splits:
        images = counted(int(content[:, fewest].sum()), "image")
        where = "" if groups is None else f" in {counted(num_groups, 'group')}, which are not cut"
        raise InputError(
            f"class '{name}' has {images}{where}: too few for {num_splits} splits, which "
            f"need one each. {_REMEDY}"
        )
    target = np.outer(share, content.sum(0))
    split_of = _placed(content, target, rng)
    is_lacking = (_filled(split_of, content, num_splits) == 0).any()
    if is_lacking and not _mend(split_of, content, target, rng):
        raise InputError(
            f"no division into {num_splits} splits was found that has every class in each and "
            f"cuts no group. The class in fewest groups is '{name}', in {num_groups}. {_REMEDY}"
        )
    return split_of[group]


def _placed(content: np.ndarray, target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Place groups of `content` `[groups, classes]` to bring counts nearest to `target` `[splits,
    classes]`, then single images.
    """
    size = content.sum(1)
    split_of = np.full(len(size), -1, dtype=np.int64)
    filled = np.zeros_like(target)
    if (size > 1).any():
        weight = 1 / np.maximum(target, 1e-9)
        order = rng.permutation(len(size))
        order = order[np.argsort(-size[order], kind="stable")]
        for group in order[size[order] > 1]:
            images = content[group]
            # Growth of the squared distance to the target, relative to the target.
            growth = (images * (2 * (filled - target) + images) * weight).sum(axis=1)
            split_of[group] = int(np.argmin(growth))
            filled[split_of[group]] += images
    is_single, label = size == 1, content.argmax(1)
    for k in range(content.shape[1]):
        rows = rng.permutation(np.flatnonzero(is_single & (label == k)))
        behind = (target - filled)[:, :k].sum(1)
        quota = _quota(len(rows), target[:, k], filled[:, k], behind)
        split_of[rows] = np.repeat(np.arange(len(target)), quota)
        filled[:, k] += quota
    return split_of


def _quota(count: int, target: np.ndarray, filled: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Return the number of `count` single images for each split, at least one where none is.

    A remainder goes to the splits furthest `behind` in other classes.
    """
    lacking = np.maximum(target - filled, 0)
    ideal = lacking * count / max(lacking.sum(), 1e-9)
    quota = np.floor(ideal).astype(np.int64)
    first = np.lexsort((-behind.round(6), (quota - ideal).round(9)))
    quota[first[: count - quota.sum()]] += 1
    needs_one = filled == 0
    for split_name in np.flatnonzero(needs_one & (quota == 0)):
        donor = int(np.argmax(quota - needs_one))
        if quota[donor] > needs_one[donor]:
            quota[donor] -= 1
            quota[split_name] += 1
    return quota


def _filled(split_of: np.ndarray, content: np.ndarray, num_splits: int) -> np.ndarray:
    counts = np.zeros((num_splits, content.shape[1]), dtype=np.int64)
    np.add.at(counts, split_of, content)
    return counts


def _mend(
    split_of: np.ndarray, content: np.ndarray, target: np.ndarray, rng: np.random.Generator
) -> bool:
    """Bring every class into every split, and return True if possible: place groups with a missing
    class anew, else all.
    """
    lacking = (_filled(split_of, content, len(target)) == 0).any(0)
    for free in ((content[:, lacking] > 0).any(1), np.ones(len(content), dtype=bool)):
        others = _filled(split_of[~free], content[~free], len(target))
        codes = _searched(content[free], target, others, rng)
        if codes is not None:
            split_of[free] = codes
            return True
    return False


def _searched(
    content: np.ndarray, target: np.ndarray, others: np.ndarray, rng: np.random.Generator
) -> np.ndarray | None:
    """Place groups by integer programming: every class in every split, near to `target`; None if
    impossible. `others` `[splits, classes]` counts placed images. Unknowns are how many groups of
    equal content go to each split.
    """
    import scipy

    kinds, kind, count = np.unique(content, axis=0, return_inverse=True, return_counts=True)
    num_splits, num_classes = target.shape
    num_numbers, num_counts = num_splits * len(kinds), num_splits * num_classes
    codes = scipy.sparse.eye_array(num_splits)
    placed = scipy.sparse.kron(np.ones((1, num_splits)), scipy.sparse.eye_array(len(kinds)))
    images, presence = scipy.sparse.kron(codes, kinds.T), scipy.sparse.kron(codes, (kinds > 0).T)
    # Variables: the number of each kind in each split, then how far each class is from near enough.
    matrix = scipy.sparse.block_array(
        [
            [placed, None],
            [presence, None],
            [images, scipy.sparse.eye_array(num_counts)],
            [images, -scipy.sparse.eye_array(num_counts)],
        ]
    )
    wanted, present = (target - others).ravel(), (others > 0).ravel()
    slack = np.maximum(1, NEAR_ENOUGH * target.ravel())
    lower = np.concatenate([count, 1 - present, wanted - slack, np.full(num_counts, -np.inf)])
    upper = np.concatenate([count, np.full(2 * num_counts, np.inf), wanted + slack])
    solution = scipy.optimize.milp(
        np.concatenate([np.zeros(num_numbers), 1 / np.maximum(target.ravel(), 1)]),
        constraints=scipy.optimize.LinearConstraint(matrix.tocsc(), lower, upper),
        integrality=np.repeat([1, 0], [num_numbers, num_counts]),
        bounds=scipy.optimize.Bounds(
            0, np.concatenate([np.tile(count, num_splits), np.full(num_counts, np.inf)])
        ),
        # For a large problem, the first solution has to do.
        options={
            "node_limit": MAX_NODES,
            "mip_rel_gap": 0.02 if num_numbers <= MAX_NUMBERS else 1.0,
        },
    )
    if solution.x is None:
        return None
    numbers = np.rint(solution.x[:num_numbers]).astype(np.int64).reshape(num_splits, len(kinds))
    split_of = np.empty(len(content), dtype=np.int64)
    for number in range(len(kinds)):
        split_of[rng.permutation(np.flatnonzero(kind == number))] = np.repeat(
            np.arange(num_splits), numbers[:, number]
        )
    return split_of
