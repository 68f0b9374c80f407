"""The audit, top to bottom: load what can be read, split, compare images, probe, look at files, say
what it means.
"""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from spikeduel import data
from spikeduel.auditing import duplicates, group_inference, moved, neighbours, statistics, stretches
from spikeduel.auditing import labels as judging
from spikeduel.auditing.file_formats import (
    Format,
    file_counts,
    file_formats,
    file_properties,
    properties_of,
)
from spikeduel.auditing.findings import findings
from spikeduel.data import Prepared, Split, cache, catalogue, socofing
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.inventory import FileCounts
from spikeduel.data.prepared import ids_of_images
from spikeduel.results import audit as audits
from spikeduel.results.audit import Audit
from spikeduel.settings import Experiment
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

VERSION = 13
"""Raised when the same data would give another audit: kept ones are then made anew."""
NEAR = 0.33
"""Images nearer than this share of the usual distance are near-duplicates."""
NUM_BINS = 5
NUM_QUANTILES = 201


def audit(
    dataset_or_experiment: "str | Path | Experiment",
    progress: Progress | None = None,
) -> Audit:
    """Whether results on a data set and its split can be trusted: leaks, duplicates, labels,
    formats, broken files.

    Takes an experiment, or a data set's name or folder. Raises `InputError` where the data cannot
    be found, or not split.
    """
    experiment = dataset_or_experiment
    if not isinstance(experiment, Experiment):
        experiment = Experiment(dataset=str(experiment))
    return audited(experiment, progress or Progress())[0]


def audited(experiment: Experiment, progress: Progress) -> tuple[Audit, Prepared]:
    """The audit of an experiment's data and split, as `audit` makes it, and the images that it
    looked at.
    """
    prepared, unreadable = catalogue.load_readable(experiment, progress.track)
    return examine(
        experiment, prepared, data.split(prepared, experiment), progress, unreadable
    ), prepared


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
    counted = file_counts(experiment, prepared, unreadable)
    path = kept_in() / f"{_key(experiment, prepared, split, unreadable, counted)}.json"
    try:
        # Not msgspec's own JSON: the names of files may be no Unicode.
        audit = typed.converted(files.read_json(path), Audit)
        files.touch(path)
        return audit
    except InputError:
        audit = _examine(experiment, prepared, split, progress, unreadable, counted)
    try:
        with files.locked(path.with_suffix(".lock")):
            files.remove_left_behind(path.parent, path.name)
            typed.write_json(path, audit)
    except (InputError, OSError) as error:
        progress.say(f"the audit is not kept for the next time: {error}")
    return audit


def kept_in() -> Path:
    """The folder of the audits that `examine` keeps, a file each."""
    return files.cache_dir() / "audits"


def _key(
    experiment: Experiment,
    prepared: Prepared,
    split: Split,
    unreadable: dict[str, str],
    counted: FileCounts | None,
) -> str:
    sides = [
        hashlib.sha256(np.asarray(getattr(split, side), np.int64).tobytes()).hexdigest()
        for side in duplicates.SIDES
    ]
    state = cache.state(prepared.sources)
    source = [experiment.dataset, state, sorted(unreadable), typed.plain(counted)]
    return typed.digest([VERSION, prepared.fingerprint, split.kind, sides, NEAR, source])[:24]


def _examine(
    experiment: Experiment,
    prepared: Prepared,
    split: Split,
    progress: Progress,
    unreadable: dict[str, str],
    counted: FileCounts | None = None,
) -> Audit:
    labels, near = np.asarray(prepared.labels), NEAR
    groups = np.arange(len(prepared)) if prepared.groups is None else np.asarray(prepared.groups)
    same = np.asarray(
        ids_of_images(prepared.images) if prepared.image_ids is None else prepared.image_ids
    )
    side = duplicates.sides_of(split, len(prepared))
    formats = file_formats(experiment, prepared, progress.track)
    recordings = prepared.images if isinstance(prepared.images, Recordings) else None
    names = (
        prepared.names if formats or recordings or catalogue.is_packed(experiment.dataset) else None
    )
    found = _copies(prepared, same, side, split, near, formats, progress)
    neighbourhood, shared, copies = found.neighbourhood, found.shared, found.moved
    joined = groups if shared is None else shared.joined(groups)
    within, across = duplicates.near_ones(neighbourhood, same, near, shared)
    moved_across = duplicates.moved_ones(copies, neighbourhood, same, near, shared)
    groups_cut, groups_cut_test_images = duplicates.cut(groups, same, side)
    index, distance = neighbourhood.training
    test_distance = np.where(index[split.test] >= 0, distance[split.test], np.nan)
    known_test_distance = test_distance[np.isfinite(test_distance)]
    train_distance = distance[split.train][index[split.train] >= 0]

    def across_sides(flagged: np.ndarray, index: np.ndarray) -> dict[str, int]:
        """How many of the images `flagged` `[N]` have their partner `index` `[N]` on an earlier
        side, and which.
        """
        in_training = int((flagged & (side[index] == 0))[split.test].sum())
        return {"across": int(flagged.sum()), "test_in_training": in_training}

    def described(image: int) -> audits.AuditedImage:
        file, label = names[image] if names else None, prepared.classes[labels[image]]
        return audits.AuditedImage(
            index=image, side=duplicates.SIDES[side[image]], label=label, file=file
        )

    checked, suspect_labels, label_shares = _labels(
        labels, same, side, prepared, described, progress
    )
    audit = Audit(
        dataset=prepared.name,
        fingerprint=prepared.fingerprint,
        split=split.kind,
        counts=_counts(split, np.ones(len(prepared), dtype=bool)),
        exact_duplicates=duplicates.exact(same, labels, side, _people(experiment, names), names),
        near_duplicates=audits.NearDuplicates(
            within=int(within.sum()), **across_sides(across, neighbourhood.earlier[0])
        ),
        moved_copies=audits.MovedCopies(**across_sides(moved_across, copies.index)),
        near=near,
        near_portions=neighbours.num_portions(len(split.train)),
        groups=None if prepared.groups is None else len(np.unique(groups)),
        groups_cut=groups_cut,
        groups_cut_test_images=groups_cut_test_images,
        groups_tested=None
        if prepared.groups is None
        else len(np.unique(prepared.groups[split.test])),
        unreadable=tuple(f"{name}: {reason}" for name, reason in sorted(unreadable.items())),
        probe=neighbours.probe(
            found.small,
            labels,
            joined,
            same,
            neighbourhood,
            split,
            near,
            _over_files(experiment, prepared, split),
        ),
        classes={
            name: int(n) for name, n in zip(prepared.classes, np.bincount(labels), strict=True)
        },
        class_sides={name: _counts(split, labels == k) for k, name in enumerate(prepared.classes)},
        formats=file_properties(_properties(formats, names if recordings else None), labels, side),
        distances=audits.Distances(
            test_to_train=_quartiles(known_test_distance),
            within_train=_quartiles(train_distance),
            bins=_quantiles(known_test_distance, NUM_BINS + 1),
        ),
        searched=neighbourhood.searched,
        files=counted,
        labels=checked,
        noun="recording" if recordings else "image",
        suggested_groups=group_inference.suggested(names, labels)
        if names and prepared.groups is None
        else None,
        stretches=None
        if shared is None
        else audits.SharedStretches(
            within=int(shared.within.sum()), **across_sides(shared.across, shared.earlier[0])
        ),
        statistics=None
        if recordings is None
        else statistics.examine(recordings, labels, prepared.classes, groups, split, progress),
        details=audits.Details(
            pairs=duplicates.pairs(
                neighbourhood, copies, same, labels, side, near, described, shared
            ),
            test_distances=tuple(
                round(float(d), 4) if np.isfinite(d) else None for d in test_distance
            ),
            within_quantiles=_quantiles(train_distance, NUM_QUANTILES),
            labels=suspect_labels,
            label_shares=label_shares,
            groups=tuple(joined.tolist())
            if shared and (shared.within | shared.across).any()
            else (),
        ),
    )
    return msgspec.structs.replace(audit, conclusions=findings(audit))


class _Copies(NamedTuple):
    """What was found of images that are alike, and the small grey versions by which."""

    small: "Tensor"
    neighbourhood: neighbours.Neighbourhood
    moved: moved.Moved
    shared: stretches.Stretches | None


def _copies(
    prepared: Prepared,
    same: np.ndarray,
    side: np.ndarray,
    split: Split,
    near: float,
    formats: Sequence[Format],
    progress: Progress,
) -> _Copies:
    shapes = np.array([(height, width) for _, _, width, height in formats]) if formats else None
    if isinstance(prepared.images, Recordings):
        shared = stretches.search(prepared.images, same, side, progress)
        small = neighbours.small_grey(neighbours.blurred(prepared.pictures))
    else:
        shared, small = None, neighbours.small_grey(prepared.pictures)
    found = neighbours.search(small, split, progress)
    return _Copies(
        small, found, moved.search(prepared.pictures, same, split, near, progress, shapes), shared
    )


def _properties(formats: Sequence[Format], recorded: Sequence[str] | None) -> dict[str, list[str]]:
    """What `file_properties` looks at: of pictures their formats, of files of recordings their
    endings.
    """
    if recorded is None:
        return properties_of(formats)
    return {"file type": [Path(name).suffix.lower() for name in recorded]}


def _labels(
    labels: np.ndarray,
    same: np.ndarray,
    side: np.ndarray,
    prepared: Prepared,
    described: Callable[[int], audits.AuditedImage],
    progress: Progress,
) -> tuple[audits.LabelCheck | None, tuple[audits.SuspectLabel, ...], tuple[float | None, ...]]:
    """The labels that the nearest neighbours doubt, the surest first, and each label's share of its
    neighbours' votes.

    None of these where the neighbours know too little of the labels; nor of recordings, whose
    pictures have no time.
    """
    used = np.flatnonzero(side >= 0)
    if len(used) < 2 or isinstance(prepared.images, Recordings):
        return None, (), ()
    given, best, highest = judging.votes(
        neighbours.gradients(prepared.pictures), labels, same, used, progress
    )
    agreement = float((best == labels[used]).mean())
    if agreement < judging.LEAST_AGREEMENT:
        return audits.LabelCheck(examined=len(used), agreement=agreement, suspects=0), (), ()
    found = tuple(
        audits.SuspectLabel(
            image=described(int(used[row])),
            suggested=prepared.classes[best[row]],
            given_probability=round(float(given[row]), 4),
            suggested_probability=round(float(highest[row]), 4),
        )
        for row in judging.suspects(labels[used], given, best, highest, judging.MOST_BY_NEIGHBOURS)
    )
    shares: list[float | None] = [None] * len(labels)
    for image, share in zip(used.tolist(), given.tolist(), strict=True):
        shares[image] = round(share, 4)
    return (
        audits.LabelCheck(examined=len(used), agreement=agreement, suspects=len(found)),
        found,
        tuple(shares),
    )


def _counts(split: Split, chosen: np.ndarray) -> audits.Counts:
    """How many images of each side are `chosen`, bool `[N]`."""
    return audits.Counts(
        **{side: int(chosen[getattr(split, side)].sum()) for side in duplicates.SIDES}
    )


def _people(experiment: Experiment, names: Sequence[str] | None) -> np.ndarray | None:
    """The subject of each of SOCOFing's prints, which its names say: groups, before copies are
    joined.
    """
    if experiment.dataset != "socofing" or names is None:
        return None
    return np.array([socofing.parse(Path(name).name, "").subject for name in names])


def _over_files(experiment: Experiment, prepared: Prepared, split: Split) -> Split | None:
    """What the study's split would have been, where this one keeps groups whole."""
    if split.kind == "grouped":
        with suppress(InputError):
            return data.split(prepared, replace(experiment, split="published"))
    return None


def _quartiles(values: np.ndarray) -> audits.Quartiles | None:
    quantiles = _quantiles(values, 5)
    return (
        audits.Quartiles(p25=quantiles[1], median=quantiles[2], p75=quantiles[3])
        if quantiles
        else None
    )


def _quantiles(values: np.ndarray, number: int) -> tuple[float, ...]:
    if not len(values):
        return ()
    return tuple(round(float(value), 4) for value in np.quantile(values, np.linspace(0, 1, number)))


def accuracy_by_distance(
    audit: Audit, truth: Sequence[int], predicted: Sequence[int]
) -> list[audits.DistanceBin] | None:
    """Accuracy of answers on the test images in bins of distance to the nearest training image,
    nearest first.

    Bins hold about equally many images. None where `truth` and `predicted` are not those of the
    audit's test images.
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
        audits.DistanceBin(
            low=low,
            high=high,
            n=len(inside),
            accuracy=float(inside.mean()) if len(inside) else None,
        )
        for low, high, inside in zip(edges, edges[1:], bins, strict=False)
    ]
