"""Pictures made images on disk: by all cores, row by row, and going on where it was interrupted.

Images are written into a file of their final form, so that memory stays bounded however many there
are. Beside it lies a journal with an entry for each picture: what it was made of, and that it is
done. Small pictures are mostly Python's own work, which threads do one after another: many are made
in processes (`benchmarks/preparing.py`).
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
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spikeduel.data.disk_arrays import empty_npy
from spikeduel.data.pictures import DEFAULT_SIZE, LARGE, Packed, content_of, opened
from spikeduel.data.prepared import DataOptions
from spikeduel.data.workers import in_chunks, reason, warnings_ignored
from spikeduel.networks.preprocessing import Preprocessing, plain
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, UnreadableFiles

Source = Path | zipfile.Path | Packed
"""What a picture is read from."""

AT_ONCE = 128
"""Pictures that a worker makes at a time."""
FLUSH_SECONDS = 2.0
"""An interrupted preparation loses at most so much."""
COPIED_AT_ONCE = 1024
SAMPLE_SIZE = 1024

_NOT_MADE, _COLOUR, _GREY, _UNREADABLE = range(4)
_ENTRY = np.dtype([("key", np.int64), ("content", np.int64), ("state", np.uint8)])
_GREY_MODES = {"1", "L", "LA", "La", "I", "F"}


class Made(NamedTuple):
    """N pictures as images uint8 `[N, C, H, W]`, in a file, how they were made, and a hash of each,
    int64 `[N]`.
    """

    images: np.ndarray
    preprocessing: Preprocessing
    content: np.ndarray


@dataclass(frozen=True)
class _Look:
    """What the pictures' headers say: the preprocessing, and whether a picture is so large that
    memory counts.
    """

    preprocessing: Preprocessing
    has_large: bool


def made(sources: Sequence[Source], keys: np.ndarray, options: DataOptions) -> Made:
    """The pictures `sources` as images. Raises `UnreadableFiles` with all that cannot be read.

    `keys` int64 `[N]` tell whether a source is the one that it was when a preparation was
    interrupted. Without a `preprocessing` among the `options`, headers decide: they become squares
    of `image_size` pixels, or of 64 or of the longest side where all are smaller; grey if all are,
    stored as grey or in colour with equal channels.
    """
    with _workplace(options) as place, files.writing_to(place):
        look = _looked(place, sources, keys, options)
        journal = _journal(place, keys, look.preprocessing)
        if before := int(_is_made(journal).sum()):
            options.say(f"{before:,} of {len(sources):,} images are there from before; going on")
        _make(place, sources, journal, look, options)
        content, is_grey = np.array(journal["content"]), bool((journal["state"] == _GREY).all())
        preprocessing = look.preprocessing
        if options.preprocessing is None and preprocessing.channels == 3 and is_grey:
            preprocessing = replace(preprocessing, channels=1)
            path = _one_channel(place)
        else:
            path = place / "images.npy"
        return Made(np.load(path, mmap_mode="r"), preprocessing, content)


def keys_of_files(paths: Sequence[Path]) -> np.ndarray:
    """int64 `[N]`: a hash of each file's path, size and time of change."""

    def entry(path: Path) -> tuple[Any, ...]:
        with suppress(OSError):
            status = path.stat()
            return str(path), status.st_size, status.st_mtime_ns
        return (str(path),)

    return np.array([key_of(entry(path)) for path in paths], np.int64)


def key_of(entry: Any) -> int:
    """A hash of what tells a source from others, a signed number of 64 bits."""
    digest = hashlib.blake2b(repr(entry).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


@contextmanager
def _workplace(options: DataOptions) -> Iterator[Path]:
    """The folder to work in: the given one, which stays, or one that goes."""
    if options.workplace is not None:
        yield options.workplace
        return
    room = files.cache_dir()
    with files.writing_to(room):
        room.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=".images.", suffix=".part", dir=room))
        try:
            yield place
        finally:
            # What is mapped can be read on; where an open file cannot be removed, `clean` does it
            # later.
            shutil.rmtree(place, ignore_errors=True)


def _looked(
    place: Path, sources: Sequence[Source], keys: np.ndarray, options: DataOptions
) -> _Look:
    """The preprocessing: the given one, that of the interrupted preparation, or by the pictures'
    headers.
    """
    if options.preprocessing is not None:
        # Whether some are large is not known.
        return _Look(options.preprocessing, has_large=True)
    note, asked = (
        place / "look.json",
        [hashlib.sha256(keys.tobytes()).hexdigest(), options.image_size],
    )
    with suppress(InputError, KeyError, TypeError):
        known = files.read_json(note)
        if known["asked"] == asked:
            return _Look(Preprocessing.from_dict(known["preprocessing"]), bool(known["has_large"]))
    chunks = (_of_sources(sources, rows) for rows in _chunks(np.arange(len(sources))))
    sides: list[int] = []
    reasons: dict[int, str] = {}
    grey = True
    for found in in_chunks(_headers, chunks, len(sources), options.track, "looking at images"):
        for side, is_grey in found.values:
            sides.append(side)
            grey &= is_grey
        reasons |= found.reasons
    # What cannot be opened is named later, with what cannot be decoded.
    if not sides:
        raise UnreadableFiles({str(sources[row]): reasons[row] for row in sorted(reasons)})
    size = options.image_size or min(DEFAULT_SIZE, max(sides))
    look = _Look(Preprocessing(1 if grey else 3, size, size), max(sides) ** 2 > LARGE)
    said = {
        "asked": asked,
        "preprocessing": typed.plain(look.preprocessing),
        "has_large": look.has_large,
    }
    files.write_text(note, json.dumps(said))
    return look


class _Chunk(NamedTuple):
    """Some of the sources, and their rows."""

    rows: np.ndarray
    sources: list[Source]


class _Found(NamedTuple):
    """What was found of a chunk: a value for each picture that could be read, and the reasons for
    the others.
    """

    rows: np.ndarray
    values: Any
    reasons: dict[int, str]

    def __len__(self) -> int:
        return len(self.rows)


def _chunks(rows: np.ndarray) -> Iterator[np.ndarray]:
    yield from np.split(rows, range(AT_ONCE, len(rows), AT_ONCE)) if len(rows) else []


def _of_sources(sources: Sequence[Source], rows: np.ndarray) -> _Chunk:
    return _Chunk(rows, [sources[row] for row in rows.tolist()])


def _headers(chunk: _Chunk) -> _Found:
    """Of each picture its longest side, and whether it is stored as grey."""
    values: list[tuple[int, bool]] = []
    reasons: dict[int, str] = {}
    with warnings_ignored():
        for row, source in zip(chunk.rows.tolist(), chunk.sources, strict=True):
            try:
                with opened(source) as picture:
                    is_grey = picture.mode in _GREY_MODES or picture.mode.startswith("I;16")
                    values.append((max(picture.size), is_grey))
            # Decoders raise whatever a broken file makes them stumble on.
            except Exception as error:
                reasons[row] = reason(error)
    return _Found(chunk.rows, values, reasons)


class _Images:
    """Makes the images of a chunk, into their file."""

    def __init__(self, path: Path, preprocessing: Preprocessing) -> None:
        self.path, self.preprocessing = path, preprocessing

    def __call__(self, chunk: _Chunk) -> _Found:
        images = np.load(self.path, mmap_mode="r+")
        entries = np.zeros(len(chunk.rows), _ENTRY)
        reasons: dict[int, str] = {}
        with warnings_ignored():
            for place, (row, source) in enumerate(
                zip(chunk.rows.tolist(), chunk.sources, strict=True)
            ):
                try:
                    with opened(source) as picture:
                        image = self.preprocessing(picture)
                    images[row] = image
                    entries["content"][place] = content_of(source)
                    entries["state"][place] = _GREY if (image == image[:1]).all() else _COLOUR
                except Exception as error:
                    entries["state"][place], reasons[row] = _UNREADABLE, reason(error)
        return _Found(chunk.rows, entries, reasons)


def _journal(place: Path, keys: np.ndarray, preprocessing: Preprocessing) -> np.memmap:
    """The journal, mapped, beside images.npy: that of an interrupted preparation, where its sources
    are these.
    """
    shape = (len(keys), preprocessing.channels, preprocessing.height, preprocessing.width)
    journal, images, how = place / "journal.npy", place / "images.npy", place / "how.json"
    before = None
    # Whatever is wrong with it, beginning anew is right.
    with suppress(InputError, OSError, ValueError):
        if Preprocessing.from_dict(files.read_json(how)) == preprocessing:
            found = np.load(journal, mmap_mode="r+")
            if found.dtype == _ENTRY and np.load(images, mmap_mode="r").shape == (
                len(found),
                *shape[1:],
            ):
                before = found
    if before is not None and np.array_equal(before["key"], keys):
        return before
    new_images = empty_npy(place / "images.new.npy", shape, np.dtype(np.uint8))
    new = empty_npy(place / "journal.new.npy", (len(keys),), _ENTRY)
    new["key"] = keys
    if before is not None:
        _taken_over(before, np.load(images, mmap_mode="r"), new, new_images)
    new_images.flush()
    new.flush()
    del new, new_images, before
    journal.unlink(missing_ok=True)
    (place / "images.new.npy").replace(images)
    files.write_text(how, json.dumps(typed.plain(preprocessing)))
    (place / "journal.new.npy").replace(journal)
    return np.load(journal, mmap_mode="r+")


def _is_made(journal: np.ndarray) -> np.ndarray:
    """bool `[N]`"""
    return (journal["state"] == _COLOUR) | (journal["state"] == _GREY)


def _taken_over(
    before: np.ndarray, images: np.ndarray, journal: np.ndarray, new_images: np.ndarray
) -> None:
    """Copies the images that were made of sources that are the same still: files were added,
    removed or mended.
    """
    usable = np.flatnonzero(_is_made(before))
    _, places, rows = np.intersect1d(before["key"][usable], journal["key"], return_indices=True)
    order = np.argsort(rows)
    old, rows = usable[places[order]], rows[order]
    for start in range(0, len(rows), COPIED_AT_ONCE):
        part = slice(start, start + COPIED_AT_ONCE)
        new_images[rows[part]], journal[rows[part]] = images[old[part]], before[old[part]]


def _make(
    place: Path, sources: Sequence[Source], journal: np.memmap, look: _Look, options: DataOptions
) -> None:
    """Makes the images that the journal does not have. Raises `UnreadableFiles`."""
    todo = np.flatnonzero(~_is_made(journal))
    images: np.memmap = np.load(place / "images.npy", mmap_mode="r+")
    reasons: dict[int, str] = {}
    pending: list[_Found] = []
    last = time.monotonic()

    def note() -> None:
        # Only what is on the disk is done, whatever happens to the machine.
        images.flush()
        for each in pending:
            journal["content"][each.rows], journal["state"][each.rows] = (
                each.values["content"],
                each.values["state"],
            )
        journal.flush()
        pending.clear()

    work = _Images(place / "images.npy", look.preprocessing)
    chunks = (_of_sources(sources, rows) for rows in _chunks(todo))
    try:
        # Large pictures wait for one another, which processes could not.
        for found in in_chunks(
            work, chunks, len(todo), options.track, "reading images", threads=look.has_large
        ):
            pending.append(found)
            reasons |= found.reasons
            if time.monotonic() - last > FLUSH_SECONDS:
                note()
                last = time.monotonic()
    finally:
        note()
    if reasons:
        raise UnreadableFiles({str(sources[row]): reasons[row] for row in sorted(reasons)})


def _one_channel(place: Path) -> Path:
    """images.npy with its first channel alone, beside it."""
    images, path = np.load(place / "images.npy", mmap_mode="r"), place / "grey.npy"
    grey = empty_npy(path, (len(images), 1, *images.shape[2:]), np.dtype(np.uint8))
    for start in range(0, len(images), COPIED_AT_ONCE):
        grey[start : start + COPIED_AT_ONCE] = images[start : start + COPIED_AT_ONCE, :1]
    grey.flush()
    return path


def sample(source: Source, preprocessing: Preprocessing) -> np.ndarray:
    """A picture as it is, at most `SAMPLE_SIZE` wide: uint8 `[h, w]` or `[h, w, 3]`."""
    with opened(source) as picture:
        sample = plain(picture).convert("L" if preprocessing.channels == 1 else "RGB")
    sample.thumbnail((SAMPLE_SIZE, SAMPLE_SIZE))
    return np.asarray(sample)
