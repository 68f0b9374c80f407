"""The audit, top to bottom: load what can be read, split, compare images, probe, say what it means."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel import data
from spikeduel.data import Prepared, Split, grouping, origins
from spikeduel.data.auditing import duplicates, findings, similarity
from spikeduel.data.auditing.formats import formats
from spikeduel.data.auditing.probe import probe
from spikeduel.settings import Experiment, digest
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress

VERSION = 3
"""Raised when the same data would give another audit: kept ones are then made anew."""
NUM_BINS = 5
NUM_QUANTILES = 201


@dataclass(frozen=True)
class Audit:
    """What an audit found. `results` is its JSON; `details` holds what pictures and figures need.

    `details`: `pairs` [{kind, a, b, ratio}] with a and b {index, side, label, file or null};
    `test_distances`, from each test image to the nearest training image (null where not searched);
    `within_quantiles`, of the same within training, at equal steps from 0 to 1.
    """

    results: dict[str, Any]
    details: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether nothing was found that would invalidate a result."""
        return bool(self.results["ok"])

    @property
    def problems(self) -> list[str]:
        """What would invalidate a result."""
        return list(self.results["problems"])

    @property
    def notes(self) -> list[str]:
        """What is worth knowing."""
        return list(self.results["notes"])


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
        experiment = replace(experiment, near=near)
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
        return Audit(**files.read_json(path))
    except (InputError, TypeError, OSError):
        pass
    found = _examine(experiment, prepared, split, progress, unreadable)
    try:
        with files.locked(path.with_suffix(".lock")):
            files.remove_left_behind(path.parent, path.name)
            files.write_json(path, asdict(found))
    except (InputError, OSError) as error:
        progress.say(f"the audit is not kept for the next time: {error}")
    return found


def _key(experiment: Experiment, prepared: Prepared, split: Split, unreadable: dict[str, str]) -> str:
    sides = [
        hashlib.sha256(np.asarray(getattr(split, side), np.int64).tobytes()).hexdigest() for side in duplicates.SIDES
    ]
    source = [experiment.dataset, origins.state(experiment), sorted(unreadable)]
    return digest([VERSION, prepared.fingerprint, split.kind, sides, experiment.near, source])[:24]


def _examine(
    experiment: Experiment, prepared: Prepared, split: Split, progress: Progress, unreadable: dict[str, str]
) -> Audit:
    labels = np.asarray(prepared.labels)
    groups = None if prepared.groups is None else np.asarray(prepared.groups)
    side = duplicates.sides_of(split, len(prepared))
    came_from = origins.origins(experiment, unreadable, progress.track)
    same = grouping.duplicates(prepared.images)
    small = similarity.small_grey(prepared.images)
    neighbours = similarity.search(small, split, progress)
    within, across = duplicates.near_ones(neighbours, same, experiment.near)
    groups_cut, cut_test = duplicates.cut(groups, same, side)
    index, distance = neighbours.training
    test_near = across[split.test] & (side[neighbours.earlier[0][split.test]] == 0)
    test_distance = np.where(index[split.test] >= 0, distance[split.test], np.nan)
    train_distance = distance[split.train][index[split.train] >= 0]
    found: dict[str, Any] = {
        "ok": True,
        "problems": [],
        "notes": [],
        "dataset": prepared.name,
        "fingerprint": prepared.fingerprint,
        "split": split.kind,
        "counts": {name: len(getattr(split, name)) for name in duplicates.SIDES},
        "exact_duplicates": duplicates.exact(same, labels, side, None if came_from is None else came_from.groups),
        "near_duplicates": {
            "within": int(within.sum()),
            "across": int(across.sum()),
            "test_in_training": int(test_near.sum()),
        },
        "near": experiment.near,
        "near_definition": similarity.definition(experiment.near, len(split.train)),
        "groups": None if groups is None else len(np.unique(groups)),
        "groups_cut": groups_cut,
        "groups_cut_test_images": cut_test,
        "unreadable": [f"{name}: {why}" for name, why in sorted(unreadable.items())],
        "probe": probe(
            small, labels, groups, same, neighbours, split, experiment.near, _over_files(experiment, prepared, split)
        ),
        "classes": {name: int(n) for name, n in zip(prepared.classes, np.bincount(labels), strict=True)},
        "class_sides": {
            name: {part: int((labels[getattr(split, part)] == k).sum()) for part in duplicates.SIDES}
            for k, name in enumerate(prepared.classes)
        },
        "formats": [] if came_from is None else formats(came_from.formats, labels, side),
        "distances": {
            "test_to_train": _quartiles(test_distance[np.isfinite(test_distance)]),
            "within_train": _quartiles(train_distance),
            "bins": _bins(test_distance[np.isfinite(test_distance)]),
        },
        "searched": neighbours.searched,
    }
    if came_from is not None:
        conflicting = duplicates.conflicting(same, labels, side)
        found["exact_duplicates"]["conflicting_files"] = [came_from.names[image] for image in conflicting]
    found["problems"], found["notes"] = findings.problems(found), findings.notes(found)
    found["ok"] = not found["problems"]

    def named(image: int) -> dict[str, Any]:
        return {
            "index": image,
            "side": duplicates.SIDES[side[image]],
            "label": prepared.classes[labels[image]],
            "file": None if came_from is None else came_from.names[image],
        }

    listed = duplicates.pairs(neighbours, same, labels, side, experiment.near)
    return Audit(
        found,
        {
            "pairs": [{**pair, "a": named(pair["a"]), "b": named(pair["b"])} for pair in listed],
            "test_distances": [round(float(d), 4) if np.isfinite(d) else None for d in test_distance],
            "within_quantiles": _quantiles(train_distance, NUM_QUANTILES),
        },
    )


def _over_files(experiment: Experiment, prepared: Prepared, split: Split) -> Split | None:
    """What the study's split would have been, where this one keeps groups whole."""
    if split.kind != "grouped":
        return None
    try:
        return data.split(prepared, replace(experiment, split="published"))
    except InputError:
        return None


def _quartiles(values: np.ndarray) -> dict[str, float] | None:
    if not len(values):
        return None
    low, middle, high = _quantiles(values, 5)[1:4]
    return {"p25": low, "median": middle, "p75": high}


def _quantiles(values: np.ndarray, number: int) -> list[float]:
    if not len(values):
        return []
    return [round(float(value), 4) for value in np.quantile(values, np.linspace(0, 1, number))]


def _bins(values: np.ndarray) -> list[float]:
    return _quantiles(values, NUM_BINS + 1)


def accuracy_by_distance(found: Audit, truth: Sequence[int], predicted: Sequence[int]) -> list[dict[str, Any]] | None:
    """Accuracy of answers on the test images in bins of distance to the nearest training image, nearest first.

    Bins hold about equally many images: {from, to, n, accuracy}. None where these are not the audit's test images.
    """
    distances = np.array(found.details["test_distances"], dtype=float)
    edges = found.results["distances"]["bins"]
    if len(distances) != len(truth) or not edges:
        return None
    right = np.asarray(truth) == np.asarray(predicted)
    known = np.isfinite(distances)
    number = np.clip(np.searchsorted(edges, distances, side="right") - 1, 0, len(edges) - 2)
    return [
        {
            "from": edges[k],
            "to": edges[k + 1],
            "n": int(mine.sum()),
            "accuracy": float(right[mine].mean()) if mine.any() else None,
        }
        for k in range(len(edges) - 1)
        for mine in [known & (number == k)]
    ]
