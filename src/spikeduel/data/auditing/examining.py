"""The audit, top to bottom: load what can be read, split, compare images, probe, say what it means."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from spikeduel import data
from spikeduel.data import Prepared, Split, grouping
from spikeduel.data.auditing import duplicates, neighbours, origins
from spikeduel.data.auditing.findings import findings
from spikeduel.data.auditing.probe import probe
from spikeduel.results.audit import (
    Audit,
    AuditedImage,
    Counts,
    Details,
    DistanceBin,
    Distances,
    NearDuplicates,
    Quartiles,
)
from spikeduel.settings import Experiment, digest
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress

VERSION = 4
"""Raised when the same data would give another audit: kept ones are then made anew."""
NUM_BINS = 5
NUM_QUANTILES = 201


def audit(
    dataset_or_experiment: "str | Path | Experiment", near: float | None = None, progress: Progress | None = None
) -> Audit:
    """Whether results on a data set and its split can be trusted: leaks, duplicates, labels, formats, broken files.

    Takes an experiment, or a data set's name or folder; `near` changes what counts as a near duplicate. Raises
    `InputError` where the data cannot be found, or not split.
    """
    return audited(dataset_or_experiment, near, progress)[0]


def audited(
    dataset_or_experiment: "str | Path | Experiment", near: float | None = None, progress: Progress | None = None
) -> tuple[Audit, Prepared]:
    """`audit`, and the images that it looked at."""
    progress = progress or Progress()
    if isinstance(dataset_or_experiment, Experiment):
        experiment = dataset_or_experiment
    else:
        experiment = Experiment(dataset=str(dataset_or_experiment))
    if near is not None:
        experiment = replace(experiment, near_duplicate_ratio=near)
    data.resolve(experiment.dataset)
    prepared, unreadable = origins.load_readable(experiment, progress.track)
    return examine(experiment, prepared, data.split(prepared, experiment), progress, unreadable), prepared


def examine(
    experiment: Experiment,
    prepared: Prepared,
    split: Split,
    progress: Progress | None = None,
    unreadable: dict[str, str] | None = None,
) -> Audit:
    """The audit of a loaded set and its split; kept in the cache, and found there the next time.

    `unreadable` are files that had to be left out, with reasons.
    """
    progress, unreadable = progress or Progress(), unreadable or {}
    path = files.cache_dir() / "audits" / f"{_key(experiment, prepared, split, unreadable)}.json"
    try:
        # Not msgspec's own JSON: the names of files may be no Unicode.
        return typed.converted(files.read_json(path), Audit)
    except InputError:
        audit = _examine(experiment, prepared, split, progress, unreadable)
    try:
        with files.locked(path.with_suffix(".lock")):
            files.remove_left_behind(path.parent, path.name)
            typed.write_json(path, audit)
    except (InputError, OSError) as error:
        progress.say(f"the audit is not kept for the next time: {error}")
    return audit


def _key(experiment: Experiment, prepared: Prepared, split: Split, unreadable: dict[str, str]) -> str:
    sides = [
        hashlib.sha256(np.asarray(getattr(split, side), np.int64).tobytes()).hexdigest() for side in duplicates.SIDES
    ]
    source = [experiment.dataset, origins.state(experiment), sorted(unreadable)]
    return digest([VERSION, prepared.fingerprint, split.kind, sides, experiment.near_duplicate_ratio, source])[:24]


def _examine(
    experiment: Experiment, prepared: Prepared, split: Split, progress: Progress, unreadable: dict[str, str]
) -> Audit:
    labels, near = np.asarray(prepared.labels), experiment.near_duplicate_ratio
    groups = None if prepared.groups is None else np.asarray(prepared.groups)
    same = np.asarray(grouping.duplicates(prepared.images) if prepared.image_ids is None else prepared.image_ids)
    side = duplicates.sides_of(split, len(prepared))
    came_from = origins.origins(experiment, unreadable, progress.track)
    names = None if came_from is None else came_from.names
    small = neighbours.small_grey(prepared.images)
    neighbourhood = neighbours.search(small, split, progress)
    within, across = duplicates.near_ones(neighbourhood, same, near)
    groups_cut, groups_cut_test_images = duplicates.cut(groups, same, side)
    index, distance = neighbourhood.training
    test_distance = np.where(index[split.test] >= 0, distance[split.test], np.nan)
    known_test_distance = test_distance[np.isfinite(test_distance)]
    train_distance = distance[split.train][index[split.train] >= 0]
    described = _describer(prepared, side, names)
    audit = Audit(
        dataset=prepared.name,
        fingerprint=prepared.fingerprint,
        split=split.kind,
        counts=_counts(split, np.ones(len(prepared), dtype=bool)),
        exact_duplicates=duplicates.exact(same, labels, side, None if came_from is None else came_from.groups, names),
        near_duplicates=NearDuplicates(
            within=int(within.sum()),
            across=int(across.sum()),
            test_in_training=int((across & (side[neighbourhood.earlier[0]] == 0))[split.test].sum()),
        ),
        near=near,
        near_portions=neighbours.num_portions(len(split.train)),
        groups=None if groups is None else len(np.unique(groups)),
        groups_cut=groups_cut,
        groups_cut_test_images=groups_cut_test_images,
        unreadable=tuple(f"{name}: {reason}" for name, reason in sorted(unreadable.items())),
        probe=probe(small, labels, groups, same, neighbourhood, split, near, _over_files(experiment, prepared, split)),
        classes={name: int(n) for name, n in zip(prepared.classes, np.bincount(labels), strict=True)},
        class_sides={name: _counts(split, labels == k) for k, name in enumerate(prepared.classes)},
        formats=() if came_from is None else origins.file_properties(came_from.formats, labels, side),
        distances=Distances(
            test_to_train=_quartiles(known_test_distance),
            within_train=_quartiles(train_distance),
            bins=_quantiles(known_test_distance, NUM_BINS + 1),
        ),
        searched=neighbourhood.searched,
        details=Details(
            pairs=duplicates.pairs(neighbourhood, same, labels, side, near, described),
            test_distances=tuple(round(float(d), 4) if np.isfinite(d) else None for d in test_distance),
            within_quantiles=_quantiles(train_distance, NUM_QUANTILES),
        ),
    )
    return msgspec.structs.replace(audit, conclusions=findings(audit))


def _counts(split: Split, chosen: np.ndarray) -> Counts:
    """How many images of each side are `chosen`, bool `[N]`."""
    return Counts(**{side: int(chosen[getattr(split, side)].sum()) for side in duplicates.SIDES})


def _describer(prepared: Prepared, side: np.ndarray, names: Sequence[str] | None) -> Callable[[int], AuditedImage]:
    return lambda image: AuditedImage(
        index=image,
        side=duplicates.SIDES[side[image]],
        label=prepared.classes[prepared.labels[image]],
        file=None if names is None else names[image],
    )


def _over_files(experiment: Experiment, prepared: Prepared, split: Split) -> Split | None:
    """What the study's split would have been, where this one keeps groups whole."""
    if split.kind != "grouped":
        return None
    try:
        return data.split(prepared, replace(experiment, split="published"))
    except InputError:
        return None


def _quartiles(values: np.ndarray) -> Quartiles | None:
    if not len(values):
        return None
    low, middle, high = _quantiles(values, 5)[1:4]
    return Quartiles(p25=low, median=middle, p75=high)


def _quantiles(values: np.ndarray, number: int) -> tuple[float, ...]:
    if not len(values):
        return ()
    return tuple(round(float(value), 4) for value in np.quantile(values, np.linspace(0, 1, number)))


def accuracy_by_distance(audit: Audit, truth: Sequence[int], predicted: Sequence[int]) -> list[DistanceBin] | None:
    """Accuracy of answers on the test images in bins of distance to the nearest training image, nearest first.

    Bins hold about equally many images. None where `truth` and `predicted` are not those of the audit's test images.
    """
    distances = np.array(audit.details.test_distances, dtype=float)
    edges = audit.distances.bins
    if len(distances) != len(truth) or not edges:
        return None
    right = np.asarray(truth) == np.asarray(predicted)
    bin_of = np.clip(np.searchsorted(edges, distances, side="right") - 1, 0, len(edges) - 2)
    bin_of[~np.isfinite(distances)] = -1
    bins = [right[bin_of == k] for k in range(len(edges) - 1)]
    return [
        DistanceBin(low=low, high=high, n=len(inside), accuracy=float(inside.mean()) if len(inside) else None)
        for low, high, inside in zip(edges, edges[1:], bins, strict=False)
    ]
