"""Data of an audit, and results that several checks share."""

import zipfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from spikeduel.auditing import neighbours, stretches
from spikeduel.auditing.neighbours import Relatives
from spikeduel.data import Prepared, Split, catalogue, socofing
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.folder import labels_file
from spikeduel.data.inventory import FileCounts, inventory
from spikeduel.data.pictures import opened
from spikeduel.data.prepared import ids_of_images
from spikeduel.data.workers import over_files
from spikeduel.results.audit import SIDES, AuditedImage, Copies, Counts
from spikeduel.settings import Experiment
from spikeduel.system import files
from spikeduel.system.progress import Progress, Track

GAP = 0.05
"""Accuracy above chance, or lost without siblings, that matters."""
SURE = 2.0
"""Standard deviations above chance that an accuracy needs."""

Format = tuple[str, str, int, int]
"""A picture file's type, mode, width and height in Pillow's terms."""
Fields = dict[str, Any]
"""Fields of `Audit` that a check fills; under "details" fields of `Details`."""


@dataclass(frozen=True, eq=False)
class AuditContext:
    """N images and their split, for checks.

    `files`: all files of a folder or CSV, else None.
    """

    experiment: Experiment
    prepared: Prepared
    split: Split
    progress: Progress
    files: FileCounts | None

    @cached_property
    def labels(self) -> np.ndarray:
        """Class of each image, int64 `[N]`."""
        return np.asarray(self.prepared.labels)

    @cached_property
    def groups(self) -> np.ndarray:
        """Group of each image, int64 `[N]`; each image alone without groups."""
        groups = self.prepared.groups
        return np.arange(len(self.prepared)) if groups is None else np.asarray(groups)

    @cached_property
    def same(self) -> np.ndarray:
        """Numbers that equal images share, int64 `[N]`."""
        ids = self.prepared.image_ids
        return np.asarray(ids_of_images(self.prepared.images) if ids is None else ids)

    @cached_property
    def side(self) -> np.ndarray:
        """Side of each image, int64 `[N]` (`sides_of`)."""
        return sides_of(self.split, len(self.prepared))

    @cached_property
    def formats(self) -> list[Format]:
        """Formats of the images' files, if any."""
        return file_formats(self.experiment, self.prepared, self.progress.track)

    @property
    def recordings(self) -> Recordings | None:
        """Recordings of an event camera, None for images."""
        images = self.prepared.images
        return images if isinstance(images, Recordings) else None

    @cached_property
    def names(self) -> tuple[str, ...] | None:
        """Names of the images' files, or None."""
        has_files = self.formats or self.recordings or catalogue.is_packed(self.experiment.dataset)
        return self.prepared.names if has_files else None

    @cached_property
    def stretches(self) -> stretches.Stretches | None:
        """Recordings that share a stretch of events, None for images."""
        if self.recordings is None:
            return None
        return stretches.search(self.recordings, self.same, self.side, self.progress)

    @cached_property
    def joined(self) -> np.ndarray:
        """Groups joined where recordings share a stretch, int64 `[N]`."""
        return self.groups if self.stretches is None else self.stretches.joined(self.groups)

    @cached_property
    def small(self) -> Tensor:
        """Small grey versions of the images, float32 `[N, D]`."""
        pictures = self.prepared.pictures
        if self.recordings is not None:
            pictures = neighbours.blurred(pictures)
        return neighbours.small_grey(pictures)

    def counts(self, chosen: np.ndarray) -> Counts:
        """Return the number of `chosen` images, bool `[N]`, on each side."""
        return Counts(**{side: int(chosen[getattr(self.split, side)].sum()) for side in SIDES})

    def copies(self, found: Relatives) -> Copies:
        """Return the number of copies on earlier sides, and of test images' in training."""
        is_copy = found.nearest >= 0
        in_training = is_copy & (self.side[found.nearest] == 0) & (self.side == 2)
        return Copies(across=int(is_copy.sum()), test_in_training=int(in_training.sum()))

    def described(self, image: int) -> AuditedImage:
        return AuditedImage(
            index=image,
            side=SIDES[self.side[image]],
            label=self.prepared.classes[self.labels[image]],
            file=self.names[image] if self.names else None,
        )


def sides_of(split: Split, count: int) -> np.ndarray:
    """Return int64 `[N]`: 0 in training, 1 in validation, 2 in test, −1 left out."""
    side = np.full(count, -1)
    for number, name in enumerate(SIDES):
        side[getattr(split, name)] = number
    return side


def is_above_chance(accuracy: float | None, chance: float, num: int, gap: float = GAP) -> bool:
    """Return True if an accuracy on `num` images is above chance by more than luck."""
    if accuracy is None or not num:
        return False
    return accuracy - chance > max(gap, SURE * (chance * (1 - chance) / num) ** 0.5)


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


def file_formats(experiment: Experiment, prepared: Prepared, track: Track) -> list[Format]:
    """Return the formats of the images' files from their headers, if any."""
    root, names = catalogue.home(experiment.dataset), prepared.names or ()

    def look(_row: int, path: Path | zipfile.Path) -> Format:
        with opened(path) as picture:
            return picture.format or "unknown", picture.mode, picture.width, picture.height

    with ExitStack() as stack:
        paths: list[Path | zipfile.Path] = []
        if experiment.dataset == "socofing":
            prints = socofing.files_at(experiment.data_dir, stack, track)
            paths = [prints[name] for name in names]
        elif root is not None and prepared.preprocessing.binning is None:
            paths = [root / name for name in names]
        return [kind for _, kind in over_files(look, paths, track, "looking at files")]
