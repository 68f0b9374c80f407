"""Data sets as arrays: uint8 images or events, labels, groups, fingerprint (step 2 of data)."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeduel.data import loader
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.grouping import group_rule, join_groups
from spikeduel.inputs.preprocessing import Preprocessing
from spikeduel.statistics import numbered
from spikeduel.system import files
from spikeduel.system.errors import InputError, visible
from spikeduel.system.progress import Progress, Track

if TYPE_CHECKING:
    from torch import Tensor

TRAIN, VALIDATION, TEST = 0, 1, 2
"""Codes of an official split."""
NO_TEST_SET = (
    "The data have no test set: a tenth of the training images is the test set, and val is for "
    "validation alone. Rename val to test to test on its images."
)


PUBLISHED = "socofing-published"
"""Name of the data set whose split cuts groups, as in the 2023 study."""


@dataclass(frozen=True, eq=False)
class RawDataset:
    """A data set as its function returns it, unchecked.

    - `images`: uint8 `[N, C, H, W]`, or recordings, binned when taken.
    - `labels`: integer `[N]`, indices into `classes`.
    - `groups`: integer `[N]` or None. No group lies in two splits.
    - `group_names`: the user's names of the groups, one an image, or None.
    - `official`: uint8 `[N]` of TRAIN, VALIDATION, TEST; None without an official split.
    - `samples`: (index, picture before preprocessing, uint8 `[h, w]` or `[h, w, 3]`), one a class.
    - `sources`: the user's files and folders. If they change, the set is prepared anew.
    - `names`: names for the user, such as paths in the folder, or None.
    - `content`: int64 `[N]`, a hash of each image's file (`files.hash64`), the same whatever
      it is prepared to; None: of the prepared pixels.
    """

    images: np.ndarray | Recordings
    labels: np.ndarray
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    groups: np.ndarray | None = None
    official: np.ndarray | None = None
    samples: list[tuple[int, np.ndarray]] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()
    names: tuple[str, ...] | None = None
    group_names: tuple[str, ...] | None = None
    content: np.ndarray | None = None

    @property
    def own_validation(self) -> bool:
        """True if the data come with a validation set, but no test set."""
        return self.official is not None and TEST not in self.official


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared(RawDataset):
    """A data set ready to use: checked, memory-mapped, named.

    `groups` int64 `[N]` joins the source's groups and exact duplicates. `image_ids` int64 `[N]` are
    equal for equal images; None if not compared. `ungrouped` is the fingerprint before
    `--group-by`. `unreadable`: files that were left out, with reasons.
    """

    name: str
    fingerprint: str
    ungrouped: str | None = None
    image_ids: np.ndarray | None = None
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)"""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def content_of(self, indices: np.ndarray) -> np.ndarray:
        """Return int64 `[N]` that identify the images of `indices`, however prepared."""
        if self.content is None:
            return np.array([hash_of(self.images, index) for index in indices], np.int64)
        return np.asarray(self.content)[indices]

    def hashes_of(self, indices: np.ndarray) -> list[str]:
        """Return `content_of` the images as 16 hexadecimal digits each."""
        return [f"{content:016x}" for content in self.content_of(indices).view(np.uint64).tolist()]

    @property
    def pictures(self) -> np.ndarray:
        """Pictures of the images or recordings, uint8 `[N, 1 or 3, H, W]`."""
        return self.images.pictures if isinstance(self.images, Recordings) else self.images

    @cached_property
    def arrays(self) -> "tuple[loader.ImageArrays, Tensor]":
        """(images uint8 `[N, C, H, W]`, labels int64 `[N]`) for batches: in memory if they fit,
        else mapped.
        """
        import torch

        images, labels = self.images, torch.from_numpy(np.array(self.labels))
        fits = loader.fits_in_memory(images.nbytes)
        if isinstance(images, Recordings | np.memmap) and not fits:
            return images, labels
        if isinstance(images, Recordings):
            copies: dict[str, Any] = {
                part: np.array(array) for part, array in arrays_of(images).items()
            }
            return replace(images, **copies), labels
        return torch.from_numpy(np.array(images)), labels

    def release(self) -> None:
        """Free the memory of `arrays`."""
        self.__dict__.pop("arrays", None)

    def __len__(self) -> int:
        return len(self.labels)

    def __getstate__(self) -> dict[str, Any]:
        # Another process takes its batches from the arrays, not from copies.
        return {name: value for name, value in self.__dict__.items() if name != "arrays"}


@dataclass(frozen=True)
class DataOptions:
    """Place of data and the way to prepare it.

    `preprocessing` is a trained model's; `skip` names files to leave out. `workplace` keeps an
    interrupted preparation; images in a .npy file there are moved, not copied.
    """

    data_dir: str | None = None
    image_size: int | None = None
    preprocessing: Preprocessing | None = None
    skip: frozenset[str] = frozenset()
    workplace: Path | None = None
    track: Track = Progress().track
    say: Callable[[str], None] = Progress().say


def from_raw(name: str, raw: RawDataset, track: Track = Progress().track) -> Prepared:
    """Check `raw`, join groups with exact duplicates, and add the fingerprint. Raises
    `InputError`.
    """
    for is_right, demand in _demands(raw):
        if not is_right:
            raise InputError(f"data set '{name}': {demand}")
    rows = track(range(len(raw.images)), "looking for equal images", len(raw.images))
    hashes = [hash_of(raw.images, index) for index in rows]
    image_ids = numbered(hashes)
    groups = image_ids if raw.groups is None else join_groups(raw.groups, image_ids)
    notes = list(raw.notes)
    if copies := len(image_ids) - len(np.unique(image_ids)):
        those = "image is an exact copy of another"
        those = those if copies == 1 else "images are exact copies of others"
        notes.append(f"{copies:,} {those}; copies count as one group.")
    if raw.own_validation:
        notes.append(NO_TEST_SET)
    checked = {field.name: getattr(raw, field.name) for field in fields(RawDataset)}
    is_on_disk = isinstance(raw.images, Recordings | np.memmap)
    checked |= {
        "images": raw.images if is_on_disk else np.ascontiguousarray(raw.images),
        "labels": np.asarray(raw.labels, np.int64),
        "groups": None if int(groups.max()) + 1 == len(groups) else groups,
        "official": None if raw.official is None else np.asarray(raw.official, np.uint8),
        "classes": tuple(raw.classes),
        "names": None if raw.names is None else tuple(raw.names),
        "notes": tuple(notes),
        "content": np.asarray(hashes if raw.content is None else raw.content, np.int64),
    }
    prepared = Prepared(**checked, name=name, fingerprint="", image_ids=image_ids)
    return replace(prepared, fingerprint=fingerprint(prepared))


def _demands(raw: RawDataset) -> Iterator[tuple[bool, str]]:
    """Yield (True if `raw` meets a demand, the demand); later ones rely on earlier ones."""
    kind = type(raw).__name__
    yield isinstance(raw, RawDataset), f"its function must return a RawDataset, not {kind}."
    images, labels, num_classes = raw.images, np.asarray(raw.labels), len(raw.classes)
    is_recorded = isinstance(images, Recordings)
    is_bytes = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 4
    yield is_recorded or is_bytes, "images must be a uint8 array [N, C, H, W]."
    count, shape, expected = len(images), images.shape[1:], raw.preprocessing.shape
    yield is_recorded or shape[0] in (1, 3), f"images must have 1 or 3 channels, not {shape[0]}."
    yield shape == expected, f"preprocessing makes {expected}, images are {shape}."
    yield labels.shape == (count,), f"{count} images need {count} labels, there are {labels.shape}."
    is_whole = np.issubdtype(labels.dtype, np.integer)
    yield is_whole, f"labels must be whole numbers, not {labels.dtype}."
    yield count > 0, "there are no images."
    yield num_classes >= 2, f"{num_classes} class: there is nothing to tell apart; two are needed."
    yield len(set(raw.classes)) == num_classes, "two classes have the same name."
    for name in raw.classes:
        is_text = not any("\ud800" <= letter <= "\udfff" for letter in name)
        yield is_text, f"the class '{visible(name)}' is not UTF-8: rename it."
    is_in_range = 0 <= labels.min() <= labels.max() < num_classes
    yield is_in_range, f"labels must lie in 0 … {num_classes - 1}."
    for name, size in zip(raw.classes, np.bincount(labels, minlength=num_classes), strict=True):
        yield size > 0, f"class '{name}' has no images."
    for part in ("groups", "official", "names", "group_names", "content"):
        is_whole = getattr(raw, part) is None or np.shape(getattr(raw, part)) == (count,)
        yield is_whole, f"{part} must have one entry per image ({count})."
    splits = {TRAIN} if raw.official is None else set(np.unique(raw.official).tolist())
    yield splits <= {TRAIN, VALIDATION, TEST}, "official must hold TRAIN, VALIDATION and TEST only."
    yield TRAIN in splits, "the official split has no training images."


def fingerprint(prepared: Prepared) -> str:
    """Return the sha256 of all that decides a result: pixels or events, labels, groups, official
    split, class names, preprocessing.
    """
    images = prepared.images
    how: dict[str, Any] = prepared.preprocessing.described()
    if isinstance(images, Recordings):
        how = {"sensor": images.binning.sensor}
    described = {"classes": prepared.classes, "preprocessing": how}
    total = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    others = {name: getattr(prepared, name) for name in ("labels", "groups", "official")}
    for part, array in {**arrays_of(images), **others}.items():
        if array is None:
            total.update(f"{part} none".encode())
        else:
            total.update(f"{part} {array.dtype} {array.shape}".encode())
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def arrays_of(images: np.ndarray | Recordings) -> dict[str, np.ndarray]:
    """Return the arrays to keep by name: images, or events and their offsets."""
    if isinstance(images, Recordings):
        return {"packed": images.packed, "offsets": images.offsets}
    return {"images": images}


def hash_of(images: np.ndarray | Recordings, index: int) -> int:
    """Return a 64-bit number that only equal images or recordings share."""
    pixels = images.events_of(index) if isinstance(images, Recordings) else images[index]
    return files.hash64(np.ascontiguousarray(pixels).data)


def regrouped(prepared: Prepared, group_by: str | None) -> Prepared:
    """Join the groups of `group_by` (`group_rule`) with those of `prepared`.

    Raises `InputError` if an image has no group, or nothing changes.
    """
    if group_by is None:
        return prepared
    if (names := prepared.names) is None:
        raise InputError(f"group_by: {prepared.name} has no file names to group by.")
    named = list(map(group_rule(group_by), names))
    if num_missing := named.count(None):
        what = "has no line for" if files.is_file(group_by) else "is no file, and does not match"
        raise InputError(
            f"group_by {group_by}: {what} {num_missing:,} of {len(names):,} images, the first of "
            f"them {names[named.index(None)]}. Paths are relative to the data folder, with forward "
            f"slashes; every image needs a group."
        )
    if (num_named := len(set(named))) in (1, len(names)):
        one, many = "all images into one group", "every image into a group of its own"
        raise InputError(
            f"group_by {group_by}: puts {one if num_named == 1 else many} ({names[0]} into "
            f"'{named[0]}'). Capture what images of one group, and no others, have in common."
        )
    groups = numbered(named)
    if prepared.groups is not None:
        groups = join_groups(groups, prepared.groups)
    changed = replace(prepared, groups=groups, group_names=tuple(map(str, named)))
    return replace(changed, fingerprint=fingerprint(changed), ungrouped=prepared.fingerprint)
