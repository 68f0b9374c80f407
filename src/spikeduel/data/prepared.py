"""What every data set becomes: uint8 arrays, and which images belong together: duplicates, groups,
`--group-by`.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeduel.data import loader, tables
from spikeduel.data.events.recordings import Recordings
from spikeduel.data.workers import Track
from spikeduel.networks.preprocessing import Preprocessing
from spikeduel.results.groups import join_groups, numbered
from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.system.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

TRAIN, VALIDATION, TEST = 0, 1, 2
"""Codes of an official split."""


@dataclass(frozen=True, eq=False)
class RawDataset:
    """What a data set's function returns, before it is written to the cache.

    - `images`: uint8 `[N, C, H, W]`; or the recordings of an event camera, which are binned to that when taken.
    - `labels`: integer `[N]`, indices into `classes`.
    - `groups`: integer `[N]` or None. Images of one group never lie on two sides of a split.
    - `official`: uint8 `[N]` of TRAIN, VALIDATION, TEST, or None where there is no official split.
    - `samples`: pictures before preprocessing, (index into images, uint8 `[h, w]` or `[h, w, 3]`), one a class.
    - `sources`: the user's files and folders that were read. If they change, the set is prepared anew.
    - `names`: a name for each image that its user knows, such as its path in the folder, or None.
    - `content`: int64 `[N]`, a hash of the file or record that each image comes from (`pictures.content_of`), by which
      it is known whatever it is prepared to. None: of its prepared pixels.
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
    content: np.ndarray | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Prepared(RawDataset):
    """A data set ready to use: checked, its arrays memory-mapped, with its name and the checksum of
    its content.

    `groups` int64 `[N]` is the union of the source's groups and of exact duplicates, None where
    every image is alone. `image_ids` int64 `[N]` are equal where images are equal, None where they
    were not compared yet. `ungrouped` is the fingerprint that the set had before `--group-by`
    regrouped it, None where it did not.
    """

    name: str
    fingerprint: str
    ungrouped: str | None = None
    image_ids: np.ndarray | None = None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)"""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def content_of(self, indices: np.ndarray) -> np.ndarray:
        """int64 `[N]`: what the images of `indices` are known by, whatever they are prepared to."""
        if self.content is None:
            return _content([checksum_of(self.images, index) for index in indices])
        return np.asarray(self.content)[indices]

    @property
    def pictures(self) -> np.ndarray:
        """The images to look at, uint8 `[N, 1 or 3, H, W]`: themselves, or the pictures of
        recordings.
        """
        return self.images.pictures if isinstance(self.images, Recordings) else self.images

    @cached_property
    def held(self) -> "tuple[loader.Held, Tensor]":
        """(images uint8 `[N, C, H, W]`, labels int64 `[N]`) to take batches from; all who share
        this set share them.

        Copies in memory, made at first use; what would not fit (`loader.fits_in_memory`) stays
        memory-mapped.
        """
        import torch

        labels = torch.from_numpy(np.array(self.labels))
        fits = loader.fits_in_memory(self.images.nbytes)
        if isinstance(self.images, Recordings):
            return self.images.in_memory() if fits else self.images, labels
        if isinstance(self.images, np.memmap) and not fits:
            return self.images, labels
        return torch.from_numpy(np.array(self.images)), labels

    def let_go(self) -> None:
        """Gives back the memory of `held`, which is made anew when it is next asked for."""
        self.__dict__.pop("held", None)

    def __len__(self) -> int:
        return len(self.labels)

    def __getstate__(self) -> dict[str, Any]:
        # Another process takes its batches from the arrays, not from copies of them.
        return {name: value for name, value in self.__dict__.items() if name != "held"}


@dataclass(frozen=True)
class DataOptions:
    """What a user can say about where data comes from and how it is prepared.

    `preprocessing`, where given, is that of a trained model: a folder of images is prepared like
    it. `skip` holds names of files to leave out, as `UnreadableFiles` gives them. In the folder
    `workplace`, what is made can be left for a next attempt; images in a .npy file there are moved,
    not copied, when the set is kept.
    """

    data_dir: str | None = None
    image_size: int | None = None
    alterations: tuple[str, ...] = ("Easy",)
    preprocessing: Preprocessing | None = None
    skip: frozenset[str] = frozenset()
    workplace: Path | None = None
    track: Track = Progress().track
    """Wraps a long loop to show its progress."""
    say: Callable[[str], None] = Progress().say
    """Tells a line of news."""


def from_raw(name: str, raw: RawDataset, track: Track = Progress().track) -> Prepared:
    """`raw` checked, its groups joined with exact duplicates, with its fingerprint. Raises
    `InputError`.
    """
    for is_right, demand in _demands(raw):
        if not is_right:
            raise InputError(f"data set '{name}': {demand}")
    rows = track(range(len(raw.images)), "looking for equal images", len(raw.images))
    checksums = [checksum_of(raw.images, index) for index in rows]
    image_ids = numbered(checksums)
    content = _content(checksums) if raw.content is None else raw.content
    groups = image_ids if raw.groups is None else join_groups(raw.groups, image_ids)
    copies = len(image_ids) - len(np.unique(image_ids))
    told = (
        "1 image is an exact copy of another"
        if copies == 1
        else f"{copies:,} images are exact copies of others"
    )
    prepared = Prepared(
        name=name,
        images=raw.images
        if isinstance(raw.images, Recordings | np.memmap)
        else np.ascontiguousarray(raw.images),
        labels=np.asarray(raw.labels, dtype=np.int64),
        classes=tuple(raw.classes),
        preprocessing=raw.preprocessing,
        groups=None if int(groups.max()) + 1 == len(groups) else groups,
        official=None if raw.official is None else np.asarray(raw.official, dtype=np.uint8),
        samples=[
            (int(index), np.asarray(picture, dtype=np.uint8)) for index, picture in raw.samples
        ],
        sources=raw.sources,
        fingerprint="",
        notes=(*raw.notes, *[f"{told}; copies count as one group."] * (copies > 0)),
        names=None if raw.names is None else tuple(raw.names),
        image_ids=image_ids,
        content=np.ascontiguousarray(content, np.int64),
    )
    return replace(prepared, fingerprint=fingerprint(prepared))


def _demands(raw: RawDataset) -> Iterator[tuple[bool, str]]:
    """Whether `raw` is as it must be, and what to say if not; each can rely on those before it."""
    yield (
        isinstance(raw, RawDataset),
        f"its function must return a RawDataset, not {type(raw).__name__}.",
    )
    images, labels, num_classes, how = (
        raw.images,
        np.asarray(raw.labels),
        len(raw.classes),
        raw.preprocessing,
    )
    is_recorded = isinstance(images, Recordings)
    is_bytes = is_recorded or (
        isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 4
    )
    yield is_bytes, "images must be a uint8 array [N, C, H, W]."
    count, shape, expected = len(images), images.shape[1:], (how.channels, how.height, how.width)
    yield is_recorded or shape[0] in (1, 3), f"images must have 1 or 3 channels, not {shape[0]}."
    yield shape == expected, f"preprocessing makes {expected}, images are {shape}."
    yield labels.shape == (count,), f"{count} images need {count} labels, there are {labels.shape}."
    yield (
        np.issubdtype(labels.dtype, np.integer),
        f"labels must be whole numbers, not {labels.dtype}.",
    )
    yield count > 0, "there are no images."
    yield num_classes >= 2, f"{num_classes} class: there is nothing to tell apart; two are needed."
    yield len(set(raw.classes)) == num_classes, "two classes have the same name."
    yield (
        0 <= labels.min() <= labels.max() < num_classes,
        f"labels must lie in 0 … {num_classes - 1}.",
    )
    for name, size in zip(raw.classes, np.bincount(labels, minlength=num_classes), strict=True):
        yield size > 0, f"class '{name}' has no images."
    for part in ("groups", "official", "names", "content"):
        is_whole = getattr(raw, part) is None or np.shape(getattr(raw, part)) == (count,)
        yield is_whole, f"{part} must have one entry per image ({count})."
    sides = {TRAIN} if raw.official is None else set(np.unique(raw.official).tolist())
    yield sides <= {TRAIN, VALIDATION, TEST}, "official must hold TRAIN, VALIDATION and TEST only."
    yield TRAIN in sides, "the official split has no training images."


def fingerprint(prepared: Prepared) -> str:
    """sha256 over all that decides a result: pixels, labels, groups, official split, class names,
    preprocessing.

    Of recordings it covers the events and the sensor; how they are binned is a setting of an
    experiment.
    """
    total, images = hashlib.sha256(), prepared.images
    how: dict[str, Any] = prepared.preprocessing.described()
    if isinstance(images, Recordings):
        how = {"sensor": images.binning.sensor}
    total.update(
        json.dumps({"classes": prepared.classes, "preprocessing": how}, sort_keys=True).encode()
    )
    rest = {name: getattr(prepared, name) for name in ("labels", "groups", "official")}
    for part, array in {**arrays_of(images), **rest}.items():
        total.update(
            f"{part} none".encode()
            if array is None
            else f"{part} {array.dtype} {array.shape}".encode()
        )
        if array is not None:
            total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def arrays_of(images: np.ndarray | Recordings) -> dict[str, np.ndarray]:
    """What images are kept as, by name: themselves, or the events of recordings and where each
    begins.
    """
    if isinstance(images, Recordings):
        return {"packed": images.packed, "offsets": images.offsets}
    return {"images": images}


def ids_of_images(images: np.ndarray | Recordings) -> np.ndarray:
    """int64 `[N]`: equal numbers where `images` (`[N, …]`) are equal; 0, 1, … as they appear."""
    return numbered([checksum_of(images, index) for index in range(len(images))])


def checksum_of(images: np.ndarray | Recordings, index: int) -> bytes:
    """16 bytes that only equal images, or equal recordings, share."""
    return images.checksum(index) if isinstance(images, Recordings) else checksum(images[index])


def checksum(pixels: np.ndarray) -> bytes:
    """16 bytes that only equal pixels share."""
    return hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest()


def _content(checksums: Sequence[bytes]) -> np.ndarray:
    """int64 `[N]`: the first half of each checksum."""
    return np.frombuffer(b"".join(checksums), "<i8")[::2].astype(np.int64)


def regrouped(prepared: Prepared, group_by: str | None) -> Prepared:
    """`prepared` with the groups that `group_by` gives its images, joined with the groups that it
    has (duplicates).

    Its fingerprint covers the new groups; `ungrouped` keeps the old one. Without `group_by` it is
    as it was. Raises `InputError` where `group_by` does not say for every image which group it
    belongs to, or says nothing that a split could keep to.
    """
    if group_by is None:
        return prepared
    if (names := prepared.names) is None:
        raise InputError(f"group_by: {prepared.name} has no file names to group by.")
    found = list(map(group_rule(group_by), names))
    named = [group for group in found if group is not None]
    num_named, problem = len(set(named)), None
    if len(named) < len(names):
        first, count = (
            names[found.index(None)],
            f"{len(names) - len(named):,} of {len(names):,} images",
        )
        if names_a_file(group_by):
            problem = (
                f"has no line for {count}, the first of them {first}. List every image by its path"
            )
        else:
            which = f"does not match {count}" if named else "matches no image"
            problem = f"{which} (and is no file). The first without a match is {first}. Paths are"
        problem += " relative to the data folder, with forward slashes."
    elif num_named == 1:
        problem = f"puts all {len(names):,} images into one group, '{named[0]}'. Capture what tells the groups apart."
    elif num_named == len(names):
        problem = f"puts every image into a group of its own ({names[0]} into '{named[0]}')."
        problem += " Capture what images of one group have in common."
    if problem is not None:
        raise InputError(f"group_by {group_by}: {problem}")
    groups = numbered(named)
    if prepared.groups is not None:
        groups = join_groups(groups, prepared.groups)
    num_groups = int(groups.max()) + 1
    joined = (
        f"Some groups hold copies of the same image and are joined: {num_groups:,} are left of "
        f"{num_named:,}.",
    )
    changed = replace(
        prepared, groups=groups, notes=prepared.notes + joined * (num_groups < num_named)
    )
    return replace(changed, fingerprint=fingerprint(changed), ungrouped=prepared.fingerprint)


def group_rule(group_by: str) -> Callable[[str], str | None]:
    """From an image's path, relative to its folder with forward slashes, to the name of its group,
    or None.

    What `group_by` says: the CSV file of that name where there is one, else a regular expression.
    Raises `InputError` for a CSV without the columns `path` and `group`, and for an expression that
    is invalid or has not exactly one capturing group.
    """
    if names_a_file(group_by):
        return _read_table(Path(group_by).expanduser()).get
    no_file = f"group_by {group_by}: no such file, and"
    try:
        pattern = re.compile(group_by)
    except re.error as error:
        where = "" if error.pos is None else f" at character {error.pos + 1}"
        raise InputError(
            f"{no_file} not a regular expression ({error.msg}{where}). Mend it, or name a CSV."
        ) from None
    if pattern.groups != 1:
        raise InputError(
            f"{no_file} as a regular expression it has {pattern.groups} groups in parentheses "
            f"where it needs exactly "
            r"one, which captures the name of an image's group, as in ([^/]+)_\d+\.png; others are "
            r"written (?:…)."
        )

    def group_of(name: str) -> str | None:
        match = pattern.search(name)
        return match and (match.group(1) or None)

    return group_of


def names_a_file(group_by: str) -> bool:
    """Whether `group_by` names a file, and so is no regular expression."""
    return files.is_file(group_by)


def _read_table(path: Path) -> dict[str, str]:
    """The group of each path in a CSV. Raises `InputError` naming the line that is wrong."""
    groups: dict[str, str] = {}
    for line, row in tables.rows(path, ("path", "group"), f"group_by {path}"):
        name, group = row["path"].removeprefix("./"), row["group"]
        if not name or not group:
            raise InputError(f"{line}: has no {'group' if name else 'path'}.")
        if groups.setdefault(name, group) != group:
            raise InputError(
                f"{line}: {name} is in group '{group}' here and in '{groups[name]}' above. List it "
                f"once."
            )
    return groups
