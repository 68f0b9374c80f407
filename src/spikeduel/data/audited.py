"""Audits of an experiment's data and split, kept in the cache."""

import zipfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np

from spikeduel.auditing.arrays import EventRecordings, SplitIndices
from spikeduel.auditing.audit_results import Audit, FileCounts
from spikeduel.auditing.context import AuditInput, FileFormat
from spikeduel.auditing.examining import VERSION, examine as examined
from spikeduel.auditing.neighbours import NEAR
from spikeduel.data import cache, catalogue, socofing
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.folder import labels_file
from spikeduel.data.inventory import inventory
from spikeduel.data.pictures import opened
from spikeduel.data.prepared import PUBLISHED, Prepared
from spikeduel.data.splits import Split, split as split_of
from spikeduel.data.workers import over_files
from spikeduel.experiment.settings import Experiment
from spikeduel.system import files, typed
from spikeduel.system.progress import Progress, Track


def audit(
    dataset_or_experiment: "str | Path | Experiment",
    progress: Progress | None = None,
) -> Audit:
    """Check a data set and its split for leaks, duplicates, label issues and unreadable files.

    Parameters
    ----------
    dataset_or_experiment : str, Path or Experiment
        Name of a data set, a folder of images, or an experiment with its split.
    progress : Progress, optional
        Where to show progress.

    Returns
    -------
    Audit
        What was found. `print` shows it.

    Raises
    ------
    InputError
        If the data cannot be read.

    Examples
    --------
    >>> import spikeduel as sd
    >>> sd.audit("digits").counts.test
    179
    """
    experiment = dataset_or_experiment
    if not isinstance(experiment, Experiment):
        experiment = Experiment(dataset=str(experiment))
    return audited(experiment, progress or Progress())[0]


def audited(experiment: Experiment, progress: Progress) -> tuple[Audit, Prepared]:
    """Return the audit of an experiment's data and split, and the audited images."""
    prepared = catalogue.load(replace(experiment, skip_unreadable=True), progress.track)
    return examine(experiment, prepared, split_of(prepared, experiment), progress), prepared


def examine(
    experiment: Experiment,
    prepared: Prepared,
    split: Split,
    progress: Progress | None = None,
) -> Audit:
    """Return the audit of a loaded set and its split, kept in the cache."""
    progress, counts = progress or Progress(), file_counts(experiment, prepared)
    parts = [cache.digest_of(indices) for indices in indices_of(split)]
    state, unreadable = cache.state(prepared.sources), sorted(prepared.unreadable)
    is_skipped = experiment.skip_unreadable
    source = [experiment.dataset, state, unreadable, is_skipped, typed.plain(counts)]
    key = typed.digest([VERSION, prepared.fingerprint, split.kind, parts, NEAR, source])[:24]
    return cache.cached_or_made(
        cache.audits() / f"{key}.json",
        Audit,
        lambda: examined(audit_input(experiment, prepared, split, counts, progress)),
        progress,
    )


def audit_input(
    experiment: Experiment,
    prepared: Prepared,
    split: Split,
    counts: FileCounts | None,
    progress: Progress,
) -> AuditInput:
    """Return a loaded set and its split as the audit takes them."""
    recordings, images = None, prepared.images
    if isinstance(images, Recordings):
        recordings = EventRecordings(images.packed, images.offsets, images.binning.sensor)
    formats = file_formats(experiment, prepared, progress.track)
    has_files = formats or recordings or catalogue.is_packed(experiment.dataset)
    return AuditInput(
        images=prepared.pictures,
        labels=np.asarray(prepared.labels),
        classes=prepared.classes,
        split=indices_of(split),
        groups=prepared.groups,
        names=prepared.names if has_files else None,
        formats=formats,
        unreadable=prepared.unreadable,
        is_skipped=experiment.skip_unreadable,
        files=counts,
        recordings=recordings,
        image_ids=prepared.image_ids,
        split_kind=split.kind,
        own_validation=prepared.own_validation,
        name=prepared.name,
        fingerprint=prepared.fingerprint,
        progress=progress,
    )


def indices_of(split: Split) -> SplitIndices:
    return SplitIndices(split.train, split.val, split.test)


def file_counts(experiment: Experiment, prepared: Prepared) -> FileCounts | None:
    """Count all files of a folder or CSV by use; None for other data."""
    if (root := catalogue.home(experiment.dataset)) is None:
        return None
    return inventory(
        root,
        [root / name for name in prepared.names or ()],
        [Path(name) for name in prepared.unreadable],
        is_recorded=prepared.preprocessing.binning is not None,
        table=labels_file(files.located(experiment.dataset)),
    )


def file_formats(
    experiment: Experiment, prepared: Prepared, track: Track
) -> tuple[FileFormat, ...]:
    """Return the formats of the images' files from their headers, if any."""
    root, names = catalogue.home(experiment.dataset), prepared.names or ()

    def look(_row: int, path: Path | zipfile.Path) -> FileFormat:
        with opened(path) as picture:
            return FileFormat(picture.format or "unknown", picture.mode, *picture.size)

    with ExitStack() as stack:
        paths: list[Path | zipfile.Path] = []
        if experiment.dataset in ("socofing", PUBLISHED):
            prints = socofing.files_at(experiment.data_dir, stack)
            paths = [prints[name] for name in names]
        elif root is not None and prepared.preprocessing.binning is None:
            paths = [root / name for name in names]
        return tuple(kind for _, kind in over_files(look, paths, track, "looking at files"))
