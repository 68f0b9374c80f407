"""Pictures made images on disk: by all cores, row by row, going on where it was interrupted.

Images are written into a file of their final form, so that memory stays bounded however many there
are. A journal beside it notes for each picture what it was made of and that it is done. Small
pictures are mostly Python's own work, which threads do one after another: many are made in
processes (`benchmarks/preparing.py`).
"""

import hashlib
import json
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.data.disk_arrays import empty_npy
from spikeduel.data.pictures import DEFAULT_SIZE, LARGE, Packed, content_of, opened
from spikeduel.data.prepared import DataOptions, RawDataset
from spikeduel.data.workers import over_files
from spikeduel.networks.preprocessing import Preprocessing, plain
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, UnreadableFiles
from spikeduel.system.typed import Frozen

Source = Path | zipfile.Path | Packed
"""The file of a picture."""

AT_ONCE = 128
"""Pictures that a worker makes at a time."""
FLUSH_SECONDS = 2.0
"""An interrupted preparation loses at most the work of so many seconds."""
COPIED_AT_ONCE = 1024
SAMPLE_SIZE = 1024

_NOT_MADE, _COLOUR, _GREY = range(3)
_ENTRY = np.dtype([("key", np.int64), ("content", np.int64), ("state", np.uint8)])
_GREY_MODES = {"1", "L", "LA", "La", "I", "F"}


def picture_dataset(
    pictures: Sequence[Source],
    keys: np.ndarray,
    labels: np.ndarray,
    options: DataOptions,
    **more: Any,
) -> RawDataset:
    """Return the data set of the N `pictures`, with `more` fields of `RawDataset`.

    `keys` int64 `[N]` (`key_of`) identify the pictures to a preparation that goes on. Without a
    `preprocessing` among the `options`, headers decide: squares of `image_size` pixels, by default
    of 64 or the longest side where all are smaller; grey if all are, also in colour with equal
    channels. Raises `UnreadableFiles`.
    """
    with _workplace(options) as place, files.writing_to(place):
        decided = _decided(place, pictures, keys, options)
        preprocessing, journal = decided.preprocessing, _journal(place, keys, decided)
        if before := int(_is_made(journal).sum()):
            options.say(f"{before:,} of {len(pictures):,} images are there from before; going on")
        _make(place, pictures, journal, decided, options)
        content, path = np.array(journal["content"]), place / "images.npy"
        is_grey = bool((journal["state"] == _GREY).all())
        if options.preprocessing is None and preprocessing.channels == 3 and is_grey:
            preprocessing, path = replace(preprocessing, channels=1), _one_channel(place)
        images = np.load(path, mmap_mode="r")
    firsts = np.unique(labels, return_index=True)[1].tolist()
    return RawDataset(
        images=images,
        labels=labels,
        preprocessing=preprocessing,
        content=content,
        samples=[(row, _sample(pictures[row], preprocessing)) for row in firsts],
        **more,
    )


def keys_of_files(paths: Sequence[Path]) -> np.ndarray:
    """Return a hash of each file's path, size and time of change, int64 `[N]`."""

    def entry(path: Path) -> tuple[Any, ...]:
        with suppress(OSError):
            status = path.stat()
            return str(path), status.st_size, status.st_mtime_ns
        return (str(path),)

    return np.array([key_of(entry(path)) for path in paths], np.int64)


def key_of(entry: Any) -> int:
    """Return a hash of `entry`, which tells a source from others, as a signed 64-bit number."""
    digest = hashlib.blake2b(repr(entry).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


@contextmanager
def _workplace(options: DataOptions) -> Iterator[Path]:
    if options.workplace is not None:
        yield options.workplace
        return
    cache = files.cache_dir()
    with files.writing_to(cache):
        cache.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=".images.", suffix=".part", dir=cache))
        try:
            yield place
        finally:
            # Maps can be read on; where an open file cannot be removed, `clean` removes it later.
            shutil.rmtree(place, ignore_errors=True)


class _Decided(Frozen):
    """The preprocessing of some pictures, which were `asked` for; `has_large` is True if one of
    them may be so large that memory counts.
    """

    asked: str
    preprocessing: Preprocessing
    has_large: bool


def _decided(
    place: Path, pictures: Sequence[Source], keys: np.ndarray, options: DataOptions
) -> _Decided:
    """Return the given preprocessing, that of the interrupted preparation, or one by headers."""
    asked = typed.digest([hashlib.sha256(keys.tobytes()).hexdigest(), options.image_size])
    if options.preprocessing is not None:
        return _Decided(asked="given", preprocessing=options.preprocessing, has_large=True)
    if (before := _noted(place)) is not None and before.asked == asked:
        return before
    headers: list[tuple[int, bool]] = []
    try:
        for _, header in over_files(
            _header, pictures, options.track, "looking at images", at_once=AT_ONCE, processes=True
        ):
            headers.append(header)
    except UnreadableFiles:
        # Otherwise named later, with the pictures that cannot be decoded.
        if not headers:
            raise
    longest = max(side for side, _ in headers)
    size = options.image_size or min(DEFAULT_SIZE, longest)
    channels = 1 if all(is_grey for _, is_grey in headers) else 3
    return _Decided(
        asked=asked,
        preprocessing=Preprocessing(channels, size, size),
        has_large=longest**2 > LARGE,
    )


def _noted(place: Path) -> _Decided | None:
    with suppress(InputError):
        return typed.converted(files.read_json(place / "decided.json"), _Decided)
    return None


def _header(_row: int, source: Source) -> tuple[int, bool]:
    with opened(source) as picture:
        is_grey = picture.mode in _GREY_MODES or picture.mode.startswith("I;16")
        return max(picture.size), is_grey


@dataclass
class _ImageMaker:
    """Makes images into the .npy file `path`, which each process maps for itself."""

    path: Path
    preprocessing: Preprocessing

    @cached_property
    def images(self) -> np.ndarray:
        return np.load(self.path, mmap_mode="r+")

    def __call__(self, row: int, source: Source) -> tuple[int, int]:
        with opened(source) as picture:
            image = self.preprocessing(picture)
        self.images[row] = image
        return content_of(source), _GREY if (image == image[:1]).all() else _COLOUR


def _journal(place: Path, keys: np.ndarray, decided: _Decided) -> np.memmap:
    """Map the journal beside images.npy, with what an interrupted preparation made of sources that
    are still the same: files may have been added, removed or mended.
    """
    shape = (len(keys), *decided.preprocessing.shape)
    journal, images = place / "journal.npy", place / "images.npy"
    before, known = None, _noted(place)
    # Whatever is wrong with it, beginning anew is right.
    with suppress(OSError, ValueError):
        if known is not None and known.preprocessing == decided.preprocessing:
            entries = np.load(journal, mmap_mode="r+")
            made = np.load(images, mmap_mode="r").shape
            if entries.dtype == _ENTRY and made == (len(entries), *shape[1:]):
                before = entries
    if before is not None and np.array_equal(before["key"], keys):
        return before
    new_images = empty_npy(place / "images.new.npy", shape, np.uint8)
    new = empty_npy(place / "journal.new.npy", (len(keys),), _ENTRY)
    new["key"] = keys
    if before is not None:
        _take_over(before, np.load(images, mmap_mode="r"), new, new_images)
    new_images.flush()
    new.flush()
    del new, new_images, before
    journal.unlink(missing_ok=True)
    (place / "images.new.npy").replace(images)
    files.write_text(place / "decided.json", json.dumps(typed.plain(decided)))
    (place / "journal.new.npy").replace(journal)
    return np.load(journal, mmap_mode="r+")


def _is_made(journal: np.ndarray) -> np.ndarray:
    return (journal["state"] == _COLOUR) | (journal["state"] == _GREY)


def _take_over(
    before: np.ndarray, images: np.ndarray, journal: np.ndarray, new_images: np.ndarray
) -> None:
    usable = np.flatnonzero(_is_made(before))
    _, places, rows = np.intersect1d(before["key"][usable], journal["key"], return_indices=True)
    order = np.argsort(rows)
    old, rows = usable[places[order]], rows[order]
    for start in range(0, len(rows), COPIED_AT_ONCE):
        part = slice(start, start + COPIED_AT_ONCE)
        new_images[rows[part]], journal[rows[part]] = images[old[part]], before[old[part]]


def _make(
    place: Path,
    sources: Sequence[Source],
    journal: np.memmap,
    decided: _Decided,
    options: DataOptions,
) -> None:
    images: np.memmap = np.load(place / "images.npy", mmap_mode="r+")
    pending: list[tuple[int, int, int]] = []
    noted = time.monotonic()

    def note() -> None:
        # Only images on the disk are done, whatever happens to the machine.
        images.flush()
        if pending:
            rows, contents, states = map(list, zip(*pending, strict=True))
            journal["content"][rows], journal["state"][rows] = contents, states
        journal.flush()
        pending.clear()

    try:
        for row, (content, state) in over_files(
            _ImageMaker(place / "images.npy", decided.preprocessing),
            sources,
            options.track,
            "reading images",
            rows=np.flatnonzero(~_is_made(journal)),
            at_once=AT_ONCE,
            # Large pictures wait for one another, which processes could not.
            processes=not decided.has_large,
        ):
            pending.append((row, content, state))
            if time.monotonic() - noted > FLUSH_SECONDS:
                note()
                noted = time.monotonic()
    finally:
        note()


def _one_channel(place: Path) -> Path:
    images, path = np.load(place / "images.npy", mmap_mode="r"), place / "grey.npy"
    grey = empty_npy(path, (len(images), 1, *images.shape[2:]), np.uint8)
    for start in range(0, len(images), COPIED_AT_ONCE):
        grey[start : start + COPIED_AT_ONCE] = images[start : start + COPIED_AT_ONCE, :1]
    grey.flush()
    return path


def _sample(source: Source, preprocessing: Preprocessing) -> np.ndarray:
    """Return a picture as it is, at most `SAMPLE_SIZE` wide: uint8 `[h, w]` or `[h, w, 3]`."""
    with opened(source) as picture:
        sample = plain(picture).convert("L" if preprocessing.channels == 1 else "RGB")
    sample.thumbnail((SAMPLE_SIZE, SAMPLE_SIZE))
    return np.asarray(sample)
