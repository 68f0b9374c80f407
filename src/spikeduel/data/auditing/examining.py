"""The audit, top to bottom: load what can be read, split, compare images, probe, look at files, say what it means."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image

from spikeduel import data
from spikeduel.data import Prepared, Split, cache, catalogue, socofing
from spikeduel.data.auditing import duplicates, moved, neighbours
from spikeduel.data.auditing import labels as judging
from spikeduel.data.auditing.findings import findings
from spikeduel.data.inventory import inventory
from spikeduel.data.layout import labels_file
from spikeduel.data.pictures import over_pictures
from spikeduel.data.prepared import ids_of_images
from spikeduel.data.workers import Track
from spikeduel.results import audit as audits
from spikeduel.results.audit import Audit, FileProperty
from spikeduel.settings import Experiment
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress

VERSION = 9
"""Raised when the same data would give another audit: kept ones are then made anew."""
NUM_BINS = 5
NUM_QUANTILES = 201
MOST_LISTED = 8
Format = tuple[str, str, int, int]
"""A picture file's type, mode, width and height, as Pillow names them."""


def audit(
    dataset_or_experiment: "str | Path | Experiment", near: float | None = None, progress: Progress | None = None
) -> Audit:
    """Whether results on a data set and its split can be trusted: leaks, duplicates, labels, formats, broken files.

    Takes an experiment, or a data set's name or folder; `near` changes what counts as a near duplicate. Raises
    `InputError` where the data cannot be found, or not split.
    """
    experiment = dataset_or_experiment
    if not isinstance(experiment, Experiment):
        experiment = Experiment(dataset=str(experiment))
    if near is not None:
        experiment = replace(experiment, near_duplicate_ratio=near)
    return audited(experiment, progress or Progress())[0]


def audited(experiment: Experiment, progress: Progress) -> tuple[Audit, Prepared]:
    """The audit of an experiment's data and split, as `audit` makes it, and the images that it looked at."""
    prepared, unreadable = catalogue.load_readable(experiment, progress.track)
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
    counted = file_counts(experiment, prepared, unreadable)
    path = files.cache_dir() / "audits" / f"{_key(experiment, prepared, split, unreadable, counted)}.json"
    try:
        # Not msgspec's own JSON: the names of files may be no Unicode.
        return typed.converted(files.read_json(path), Audit)
    except InputError:
        audit = _examine(experiment, prepared, split, progress, unreadable, counted)
    try:
        with files.locked(path.with_suffix(".lock")):
            files.remove_left_behind(path.parent, path.name)
            typed.write_json(path, audit)
    except (InputError, OSError) as error:
        progress.say(f"the audit is not kept for the next time: {error}")
    return audit


def _key(
    experiment: Experiment,
    prepared: Prepared,
    split: Split,
    unreadable: dict[str, str],
    counted: audits.FileCounts | None,
) -> str:
    sides = [
        hashlib.sha256(np.asarray(getattr(split, side), np.int64).tobytes()).hexdigest() for side in duplicates.SIDES
    ]
    state = cache.state(prepared.sources)
    source = [experiment.dataset, state, sorted(unreadable), typed.plain(counted)]
    ratio = experiment.near_duplicate_ratio
    return typed.digest([VERSION, prepared.fingerprint, split.kind, sides, ratio, source])[:24]


def _examine(
    experiment: Experiment,
    prepared: Prepared,
    split: Split,
    progress: Progress,
    unreadable: dict[str, str],
    counted: audits.FileCounts | None = None,
) -> Audit:
    labels, near = np.asarray(prepared.labels), experiment.near_duplicate_ratio
    groups = np.arange(len(prepared)) if prepared.groups is None else np.asarray(prepared.groups)
    same = np.asarray(ids_of_images(prepared.pictures) if prepared.image_ids is None else prepared.image_ids)
    side = duplicates.sides_of(split, len(prepared))
    formats = file_formats(experiment, prepared, progress.track)
    names = prepared.names if formats else None
    small = neighbours.small_grey(prepared.pictures)
    neighbourhood = neighbours.search(small, split, progress)
    within, across = duplicates.near_ones(neighbourhood, same, near)
    shapes = np.array([(height, width) for _, _, width, height in formats]) if formats else None
    copies = moved.search(prepared.pictures, same, split, near, progress, shapes)
    moved_across = duplicates.moved_ones(copies, neighbourhood, same, near)
    groups_cut, groups_cut_test_images = duplicates.cut(groups, same, side)
    index, distance = neighbourhood.training
    test_distance = np.where(index[split.test] >= 0, distance[split.test], np.nan)
    known_test_distance = test_distance[np.isfinite(test_distance)]
    train_distance = distance[split.train][index[split.train] >= 0]

    def described(image: int) -> audits.AuditedImage:
        file, label = names[image] if names else None, prepared.classes[labels[image]]
        return audits.AuditedImage(index=image, side=duplicates.SIDES[side[image]], label=label, file=file)

    checked, suspect_labels, label_shares = _labels(labels, same, side, prepared, described, progress)
    audit = Audit(
        dataset=prepared.name,
        fingerprint=prepared.fingerprint,
        split=split.kind,
        counts=_counts(split, np.ones(len(prepared), dtype=bool)),
        exact_duplicates=duplicates.exact(same, labels, side, _people(experiment, names), names),
        near_duplicates=audits.NearDuplicates(
            within=int(within.sum()),
            across=int(across.sum()),
            test_in_training=int((across & (side[neighbourhood.earlier[0]] == 0))[split.test].sum()),
        ),
        moved_copies=audits.MovedCopies(
            across=int(moved_across.sum()),
            test_in_training=int((moved_across & (side[copies.index] == 0))[split.test].sum()),
        ),
        near=near,
        near_portions=neighbours.num_portions(len(split.train)),
        groups=None if prepared.groups is None else len(np.unique(groups)),
        groups_cut=groups_cut,
        groups_cut_test_images=groups_cut_test_images,
        unreadable=tuple(f"{name}: {reason}" for name, reason in sorted(unreadable.items())),
        probe=neighbours.probe(
            small, labels, groups, same, neighbourhood, split, near, _over_files(experiment, prepared, split)
        ),
        classes={name: int(n) for name, n in zip(prepared.classes, np.bincount(labels), strict=True)},
        class_sides={name: _counts(split, labels == k) for k, name in enumerate(prepared.classes)},
        formats=file_properties(formats, labels, side),
        distances=audits.Distances(
            test_to_train=_quartiles(known_test_distance),
            within_train=_quartiles(train_distance),
            bins=_quantiles(known_test_distance, NUM_BINS + 1),
        ),
        searched=neighbourhood.searched,
        files=counted,
        labels=checked,
        details=audits.Details(
            pairs=duplicates.pairs(neighbourhood, copies, same, labels, side, near, described),
            test_distances=tuple(round(float(d), 4) if np.isfinite(d) else None for d in test_distance),
            within_quantiles=_quantiles(train_distance, NUM_QUANTILES),
            labels=suspect_labels,
            label_shares=label_shares,
        ),
    )
    return msgspec.structs.replace(audit, conclusions=findings(audit))


def _labels(
    labels: np.ndarray,
    same: np.ndarray,
    side: np.ndarray,
    prepared: Prepared,
    described: Callable[[int], audits.AuditedImage],
    progress: Progress,
) -> tuple[audits.LabelCheck | None, tuple[audits.SuspectLabel, ...], tuple[float | None, ...]]:
    """The labels that the nearest neighbours doubt, the surest first, and each label's share of its neighbours' votes.

    None of these where the neighbours know too little of the labels.
    """
    used = np.flatnonzero(side >= 0)
    if len(used) < 2:
        return None, (), ()
    given, best, highest = judging.votes(neighbours.gradients(prepared.pictures), labels, same, used, progress)
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
    return audits.LabelCheck(examined=len(used), agreement=agreement, suspects=len(found)), found, tuple(shares)


def _counts(split: Split, chosen: np.ndarray) -> audits.Counts:
    """How many images of each side are `chosen`, bool `[N]`."""
    return audits.Counts(**{side: int(chosen[getattr(split, side)].sum()) for side in duplicates.SIDES})


def _people(experiment: Experiment, names: Sequence[str] | None) -> np.ndarray | None:
    """The subject of each of SOCOFing's prints, which its names say: groups, before copies are joined."""
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
    return audits.Quartiles(p25=quantiles[1], median=quantiles[2], p75=quantiles[3]) if quantiles else None


def _quantiles(values: np.ndarray, number: int) -> tuple[float, ...]:
    if not len(values):
        return ()
    return tuple(round(float(value), 4) for value in np.quantile(values, np.linspace(0, 1, number)))


def file_counts(
    experiment: Experiment, prepared: Prepared, unreadable: Collection[str] = ()
) -> audits.FileCounts | None:
    """What became of every file under a folder, or that of a CSV; None where the data is neither."""
    if (root := catalogue.home(experiment.dataset)) is None:
        return None
    return inventory(
        root,
        [root / name for name in prepared.names or ()],
        [Path(name) for name in unreadable],
        is_recorded=prepared.preprocessing.binning is not None,
        is_listed=labels_file(files.located(experiment.dataset)) is not None,
    )


def file_formats(experiment: Experiment, prepared: Prepared, track: Track) -> list[Format]:
    """The formats of the files behind the images, read from their headers; none where images have no file each."""
    place: AbstractContextManager[socofing.Source]
    if prepared.preprocessing.binning is not None:
        return []
    if experiment.dataset == "socofing":
        place = socofing.source_at(experiment.data_dir)
    elif (root := catalogue.home(experiment.dataset)) is not None:
        place = nullcontext(root)
    else:
        return []

    def look(_row: int, picture: Image.Image) -> Format:
        return picture.format or "unknown", picture.mode, picture.width, picture.height

    with place as source:
        return over_pictures(look, [source / name for name in prepared.names or ()], track, "looking at files")


def file_properties(formats: Sequence[Format], labels: np.ndarray, side: np.ndarray) -> tuple[FileProperty, ...]:
    """How each property of the N files that has several values is tied to `labels` `[N]` and `side` `[N]`."""
    properties = {
        "file type": [kind for kind, _, _, _ in formats],
        "colour mode": [mode for _, mode, _, _ in formats],
        "size": [f"{width}×{height}" for _, _, width, height in formats],
    }
    tied = []
    for name, texts in properties.items():
        values, code, counts = np.unique(texts, return_inverse=True, return_counts=True)
        if len(values) < 2:
            continue
        train, test = side == 0, side == 2
        table = np.zeros((len(values), int(labels.max()) + 1))
        np.add.at(table, (code[train], labels[train]), 1)
        usual = int(table.sum(0).argmax())
        named = np.where(table.sum(1) > 0, table.argmax(1), usual)
        order = np.argsort(-counts, kind="stable")[:MOST_LISTED]
        tied.append(
            FileProperty(
                property=name,
                num_values=len(values),
                values={str(values[k]): int(counts[k]) for k in order},
                class_accuracy=float((named[code[test]] == labels[test]).mean()) if test.any() else None,
                class_chance=float((labels[test] == usual).mean()) if test.any() else None,
                split_association=cramers_v(code[side >= 0], side[side >= 0]),
            )
        )
    return tuple(tied)


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """The bias-corrected Cramér's V of two lists of codes: 0 for no association, 1 where one decides the other."""
    from scipy.stats.contingency import crosstab, expected_freq

    table = crosstab(a, b).count
    expected, n, (r, k) = expected_freq(table), len(a), table.shape
    if n < 2 or min(r, k) < 2:
        return 0.0
    phi2 = max(0.0, ((table - expected) ** 2 / expected).sum() / n - (r - 1) * (k - 1) / (n - 1))
    r, k = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    return float(min(1.0, np.sqrt(phi2 / max(min(r, k) - 1, 1e-9))))


def accuracy_by_distance(
    audit: Audit, truth: Sequence[int], predicted: Sequence[int]
) -> list[audits.DistanceBin] | None:
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
        audits.DistanceBin(low=low, high=high, n=len(inside), accuracy=float(inside.mean()) if len(inside) else None)
        for low, high, inside in zip(edges, edges[1:], bins, strict=False)
    ]
