"""What every data set becomes: uint8 arrays, memory-mapped, with what is needed to prepare one more image alike."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeduel.data import grouping, loader
from spikeduel.data.preprocessing import Preprocessing
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

Track = Callable[[Iterable[Any], str, int | None], Iterable[Any]]
"""Shows the progress of a long loop: (items, description, total) -> items. See `Progress.track`."""

TRAIN, VALIDATION, TEST = 0, 1, 2
"""Codes of an official split."""


@dataclass(frozen=True)
class RawDataset:
    """What a data set's function returns, before it is written to the cache.

    images    uint8 [N, C, H, W]
    labels    integer [N], indices into `classes`
    groups    integer [N] or None: images of one group never lie on two sides of a split
    official  uint8 [N] of TRAIN, VALIDATION, TEST, or None where there is no official split
    samples   pictures as they were before preprocessing, (index into images, uint8 [h, w] or [h, w, 3]), one a class
    sources   the user's files and folders that were read: if they change, the set is prepared anew
    names     a name for each image that its user knows, such as its path in the folder, or None
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    groups: np.ndarray | None = None
    official: np.ndarray | None = None
    samples: list[tuple[int, np.ndarray]] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Prepared:
    """A data set ready to use: the arrays of `RawDataset`, memory-mapped, and their checksum.

    `groups` int64 `[N]` is the union of the source's groups and of exact duplicates, None where every image is alone.
    `image_ids` int64 `[N]` are equal where images are equal, None where they were not compared yet. `ungrouped` is the
    fingerprint that the set had before `--group-by` regrouped it, None where it did not.
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    groups: np.ndarray | None
    official: np.ndarray | None
    samples: list[tuple[int, np.ndarray]]
    fingerprint: str
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] | None = None
    ungrouped: str | None = None
    image_ids: np.ndarray | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)"""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @cached_property
    def held(self) -> "tuple[Tensor | np.memmap, Tensor]":
        """(images uint8 `[N, C, H, W]`, labels int64 `[N]`) to take batches from; all who share this set share them.

        Copies in memory, made at first use; images that would not fit (`loader.fits_in_memory`) stay memory-mapped.
        """
        import torch

        labels = torch.from_numpy(np.array(self.labels))
        if isinstance(self.images, np.memmap) and not loader.fits_in_memory(self.images.nbytes):
            return self.images, labels
        return torch.from_numpy(np.array(self.images)), labels

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class DataOptions:
    """What a user can say about where data comes from and how it is prepared.

    `preprocessing`, where given, is that of a trained model: a folder of images is prepared like it. `skip` holds names
    of files to leave out, as `UnreadableFiles` gives them.
    """

    data_dir: str | None = None
    image_size: int | None = None
    alterations: tuple[str, ...] = ("Easy",)
    preprocessing: Preprocessing | None = None
    skip: frozenset[str] = frozenset()
    track: Track = Progress().track
    """Wraps a long loop to show its progress."""
    say: Callable[[str], None] = Progress().say
    """Tells a line of news."""


def from_raw(name: str, raw: RawDataset) -> Prepared:
    """`raw` checked, its groups joined with exact duplicates, with its fingerprint. Raises `InputError`."""
    raw = _checked(name, raw)
    image_ids = grouping.duplicates(raw.images)
    prepared = Prepared(
        name=name,
        images=np.ascontiguousarray(raw.images),
        labels=np.asarray(raw.labels, dtype=np.int64),
        classes=tuple(raw.classes),
        preprocessing=raw.preprocessing,
        groups=grouping.united(raw.groups, image_ids),
        official=None if raw.official is None else np.asarray(raw.official, dtype=np.uint8),
        samples=[(int(index), np.asarray(picture, dtype=np.uint8)) for index, picture in raw.samples],
        fingerprint="",
        notes=(*raw.notes, *_about_copies(len(image_ids) - len(np.unique(image_ids)))),
        names=None if raw.names is None else tuple(raw.names),
        image_ids=image_ids,
    )
    return replace(prepared, fingerprint=fingerprint(prepared))


def _about_copies(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    subject = "1 image is an exact copy of another" if count == 1 else f"{count:,} images are exact copies of others"
    return (f"{subject}; copies count as one group.",)


def regrouped(prepared: Prepared, group_by: str | None) -> Prepared:
    """`prepared` with the groups that `group_by` gives its images, joined with the groups that it has (duplicates).

    Its fingerprint covers the new groups; `ungrouped` keeps the old one. Without `group_by` it is as it was. Raises
    `InputError`, see `grouping.named_groups`.
    """
    if group_by is None:
        return prepared
    if prepared.names is None:
        raise InputError(f"group_by: {prepared.name} has no file names to group by.")
    named = grouping.named_groups(prepared.names, group_by)
    numbers = grouping.numbered([name.encode("utf-8", "surrogateescape") for name in named])
    alone = np.arange(len(numbers)) if prepared.groups is None else np.asarray(prepared.groups)
    groups = grouping.join(numbers, alone)
    num_named, num_groups = len(set(named)), int(groups.max()) + 1
    joined = (f"Some groups hold copies of the same image and are joined: {num_groups:,} are left of {num_named:,}.",)
    changed = replace(prepared, groups=groups, notes=prepared.notes + joined * (num_groups < num_named))
    return replace(changed, fingerprint=fingerprint(changed), ungrouped=prepared.fingerprint)


def fingerprint(prepared: Prepared) -> str:
    """sha256 over all that decides a result: pixels, labels, groups, official split, class names, preprocessing."""
    total = hashlib.sha256()
    described = {"classes": prepared.classes, "preprocessing": prepared.preprocessing.to_dict()}
    total.update(json.dumps(described, sort_keys=True).encode())
    for part in ("images", "labels", "groups", "official"):
        array = getattr(prepared, part)
        total.update(f"{part} none".encode() if array is None else f"{part} {array.dtype} {array.shape}".encode())
        if array is not None:
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def _checked(name: str, raw: RawDataset) -> RawDataset:
    def require(condition: bool, problem: str) -> None:
        if not condition:
            raise InputError(f"data set '{name}': {problem}")

    require(isinstance(raw, RawDataset), f"its function must return a RawDataset, not {type(raw).__name__}.")
    images, labels = raw.images, np.asarray(raw.labels)
    count = len(images)
    require(
        isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 4,
        "images must be a uint8 array [N, C, H, W].",
    )
    require(images.shape[1] in (1, 3), f"images must have 1 or 3 channels, not {images.shape[1]}.")
    shape = (raw.preprocessing.channels, raw.preprocessing.height, raw.preprocessing.width)
    require(shape == images.shape[1:], f"preprocessing makes {shape}, images are {images.shape[1:]}.")
    require(labels.shape == (count,), f"{count} images need {count} labels, there are {labels.shape}.")
    require(bool(np.issubdtype(labels.dtype, np.integer)), f"labels must be whole numbers, not {labels.dtype}.")
    require(count > 0, "there are no images.")
    require(len(raw.classes) >= 2, f"{len(raw.classes)} class: there is nothing to tell apart; two are needed.")
    require(len(set(raw.classes)) == len(raw.classes), "two classes have the same name.")
    require(
        int(labels.min()) >= 0 and int(labels.max()) < len(raw.classes),
        f"labels must lie in 0 … {len(raw.classes) - 1}.",
    )
    empty = np.flatnonzero(np.bincount(labels, minlength=len(raw.classes)) == 0)
    require(len(empty) == 0, f"class '{raw.classes[empty[0]] if len(empty) else ''}' has no images.")
    for part in ("groups", "official", "names"):
        array = getattr(raw, part)
        require(array is None or np.shape(array) == (count,), f"{part} must have one entry per image ({count}).")
    if raw.official is not None:
        present = set(np.unique(raw.official).tolist())
        require(present <= {TRAIN, VALIDATION, TEST}, "official must hold TRAIN, VALIDATION and TEST only.")
        require(TRAIN in present, "the official split has no training images.")
    return raw
