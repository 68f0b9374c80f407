"""Input of an audit, and results that several checks share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from spikeduel.auditing import neighbours, shared_segments
from spikeduel.auditing.arrays import EventRecordings, SplitIndices, equal_ids
from spikeduel.auditing.audit_results import (
    SPLITS,
    AuditedImage,
    Counts,
    DuplicateCounts,
    FileCounts,
)
from spikeduel.auditing.neighbours import Matches
from spikeduel.system.progress import Progress

GAP = 0.05
"""Accuracy above chance, or lost without near-duplicates, that matters."""
SURE = 2.0
"""Standard deviations above chance that an accuracy needs."""

Fields = dict[str, Any]
"""Fields of `Audit` that a check fills; under "details" fields of `Details`."""


class FileFormat(NamedTuple):
    """Format of a picture's file in Pillow's terms: type, mode, and size in pixels."""

    type: str
    mode: str
    width: int
    height: int


@dataclass(frozen=True, eq=False, kw_only=True)
class AuditInput:
    """N images of K classes and their split, with what is known of their files.

    Parameters
    ----------
    images
        uint8 `[N, 1 or 3, H, W]`; pictures of the events of `recordings`.
    labels
        int64 `[N]`, indices into `classes`.
    classes
        K names.
    split
        Indices of the training, validation and test images. Other images are not audited.
    groups
        int64 `[N]`: equal for images of one person or object. None if not known.
    names
        Paths of the images' files, relative, with forward slashes. None without files.
    formats
        Format of each image's file, to find formats that tell the class. Empty if not known.
    unreadable
        Reason by path, of files that were left out.
    is_skipped
        True if the user asked to leave out unreadable files.
    files
        Counts of all files of the folder, if the images come from one.
    recordings
        Recordings of an event camera. None for images.
    image_ids
        int64 `[N]`: equal for equal images. None to compare their pixels.
    split_kind
        "official" (the data's own split), "grouped" (no group is cut), "stratified" or
        "published" (groups are cut): decides the advice on leaks.
    own_validation
        True if the data have a validation set, but no test set.
    name, fingerprint
        Name and hash of the data, for the report.
    progress
        Receives the progress of long searches.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    split: SplitIndices
    groups: np.ndarray | None = None
    names: tuple[str, ...] | None = None
    formats: tuple[FileFormat, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    is_skipped: bool = False
    files: FileCounts | None = None
    recordings: EventRecordings | None = None
    image_ids: np.ndarray | None = None
    split_kind: str = "official"
    own_validation: bool = False
    name: str = "images"
    fingerprint: str = ""
    progress: Progress = field(default_factory=Progress)

    @cached_property
    def group_ids(self) -> np.ndarray:
        """Group of each image, int64 `[N]`; each image alone without groups."""
        return np.arange(len(self.labels)) if self.groups is None else np.asarray(self.groups)

    @cached_property
    def same(self) -> np.ndarray:
        """Numbers that equal images share, int64 `[N]`."""
        if self.image_ids is not None:
            return np.asarray(self.image_ids)
        if self.recordings is None:
            return equal_ids(self.images)
        return equal_ids(map(self.recordings.events_of, range(len(self.labels))))

    @cached_property
    def split_code(self) -> np.ndarray:
        """Part of the split of each image, int64 `[N]` (`SplitIndices.codes`)."""
        return self.split.codes(len(self.labels))

    @cached_property
    def shared_segments(self) -> shared_segments.SharedSegments | None:
        """Recordings that share a segment of events, None for images."""
        if self.recordings is None:
            return None
        return shared_segments.search(self.recordings, self.same, self.split_code, self.progress)

    @cached_property
    def joined(self) -> np.ndarray:
        """Groups joined where recordings share a segment, int64 `[N]`."""
        return (
            self.group_ids
            if self.shared_segments is None
            else self.shared_segments.joined(self.group_ids)
        )

    @cached_property
    def small(self) -> Tensor:
        """Small grey versions of the images, float32 `[N, D]`."""
        images = self.images if self.recordings is None else neighbours.blurred(self.images)
        return neighbours.small_grey(images)

    def counts(self, chosen: np.ndarray) -> Counts:
        """Return the number of `chosen` images, bool `[N]`, in each part of the split."""
        return Counts(**{name: int(chosen[getattr(self.split, name)].sum()) for name in SPLITS})

    def duplicate_counts(self, duplicates: Matches) -> DuplicateCounts:
        """Return the number of duplicates in earlier splits, and of test images in training."""
        is_duplicate = duplicates.nearest >= 0
        is_test_in_training = is_duplicate & (self.split_code == 2)
        is_test_in_training &= self.split_code[duplicates.nearest] == 0
        return DuplicateCounts(
            across=int(is_duplicate.sum()), test_in_training=int(is_test_in_training.sum())
        )

    def described(self, image: int) -> AuditedImage:
        return AuditedImage(
            index=image,
            split=SPLITS[self.split_code[image]],
            label=self.classes[self.labels[image]],
            file=self.names[image] if self.names else None,
        )


def is_above_chance(
    accuracy: float | None, chance_level: float, num: int, gap: float = GAP
) -> bool:
    """Return True if an accuracy on `num` images is above chance by more than luck."""
    if accuracy is None or not num:
        return False
    return accuracy - chance_level > max(
        gap, SURE * (chance_level * (1 - chance_level) / num) ** 0.5
    )
