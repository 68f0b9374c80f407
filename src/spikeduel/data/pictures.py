"""Open picture files with care, and make one array of many on disk.

A preparation works on all cores and continues after an interruption: images are appended to a file,
with a journal of their pictures.
"""

import importlib
import io
import math
import os
import sys
import threading
import time
import warnings
import zipfile
from collections.abc import Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from spikeduel.data.events.recording_files import read, readers, size_of
from spikeduel.data.prepared import DataOptions, RawDataset
from spikeduel.data.workers import over_files, reason
from spikeduel.inputs.preprocessing import MAX_PIXELS, Preprocessing, plain, too_large
from spikeduel.system import files, typed
from spikeduel.system.errors import InputError, UnreadableFiles
from spikeduel.system.large_arrays import empty_npy

FORMATS = (
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "PCX"),
    *("PNG", "PPM", "PSD", "QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP"),
)
"""Formats decoded where Pillow can, but those that need programs (EPS) or hide their size (ICO)."""
MAX_FILE_BYTES = 1 << 30
"""Larger files are refused."""
MAX_MEMBER_BYTES = 16 << 20
"""Larger pictures in zips, or in bytes, are refused: memory holds them whole."""
DEFAULT_SIZE = 64
"""Pixels a side of images, and of the longest side of frames."""
LARGE = MAX_PIXELS // 8
"""Pictures of more pixels are decoded one at a time."""
AT_ONCE = 128
"""Pictures that a worker makes at a time."""
FLUSH_SECONDS = 2.0
"""Seconds of work that an interruption loses at most."""
COPIED_AT_ONCE = 1024
SAMPLE_SIZE = 1024

_ONE_LARGE_AT_A_TIME = threading.Lock()
_ENTRY = np.dtype([("key", np.int64), ("content", np.int64), ("is_grey", np.bool_)])
_GREY_MODES = {"1", "L", "LA", "La", "I", "F"}


class Blob(NamedTuple):
    """A picture's file within another one, and its name for the user."""

    content: bytes
    name: str

    def read_bytes(self) -> bytes:
        return self.content

    def __str__(self) -> str:
        return self.name


Source = Path | zipfile.Path | Blob


@cache
def formats() -> tuple[str, ...]:
    """Return the `FORMATS` that Pillow can decode here."""
    Image.init()
    with suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    # A plugin of Pillow's that lacks its library is there all the same.
    return tuple(
        name
        for name in FORMATS
        if name in Image.OPEN
        and getattr(sys.modules[Image.OPEN[name][0].__module__], "SUPPORTED", True)
    )


@cache
def endings() -> frozenset[str]:
    """Return the endings of readable pictures: ".jpg" and others."""
    known = (*formats(), "MPO")  # JPEG files with several pictures
    return frozenset(
        ending for ending, name in Image.registered_extensions().items() if name in known
    )


@contextmanager
def opened(
    source: Source | bytes,
    only: tuple[str, ...] | None = None,
    most_pixels: int = MAX_PIXELS,
) -> Iterator[Image.Image]:
    """Open a picture and read its header; of several frames, the first.

    `only` defaults to `formats()`. Raises `InputError` for no regular file (a pipe would block) or
    more than `most_pixels`, and Pillow's errors. Large pictures wait for one another, to bound
    memory.
    """
    most = MAX_FILE_BYTES if isinstance(source, Path) else MAX_MEMBER_BYTES
    if isinstance(source, Path) and not files.is_file(source):
        raise InputError("is not a regular file")
    if isinstance(source, Blob):
        source = source.read_bytes()
    size = len(source) if isinstance(source, bytes) else size_of(source)
    if size > most:
        raise InputError(f"is larger than {most / 1e6:,.0f} MB")
    # Only a whole read of a zip's member looks at its checksum.
    content = source.read_bytes() if isinstance(source, zipfile.Path) else source
    try:
        file = io.BytesIO(content) if isinstance(content, bytes) else content
        picture = Image.open(file, formats=only or formats())
    except Image.DecompressionBombError:
        raise too_large(most_pixels) from None
    with picture:
        num_pixels = picture.width * picture.height
        if num_pixels > most_pixels:
            raise too_large(most_pixels)
        with _ONE_LARGE_AT_A_TIME if num_pixels > LARGE else nullcontext():
            yield picture


def open_picture(path: Path | str) -> Image.Image:
    """Decode the picture in a file. Raises `InputError` naming the file."""
    with _named(path) as picture:
        picture.load()
        return picture


def prepared_picture(
    source: Path | str | bytes, preprocessing: Preprocessing, most_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Return a picture or recording for a model: uint8 `[C, H, W]`.

    Raises `InputError` naming the file.
    """
    if (binning := preprocessing.binning) is not None and not isinstance(source, bytes):
        packed = events_in(Path(source))
        return binning.frames(packed, np.array([0, len(packed)]), np.array([0]))[0]
    with _named(source, most_pixels) as picture:
        return preprocessing(picture)


def events_in(path: Path) -> np.ndarray:
    """Return the events of a recording (`Events.packed`). Raises `InputError` naming the file."""
    if path.suffix.lower() not in readers():
        known = ", ".join(readers())
        raise InputError(f"{path}: the model takes recordings of an event camera ({known}).")
    try:
        return read(path).packed()
    except (InputError, OSError) as error:
        raise InputError(f"{path}: {reason(error, 'a recording')}. Remove or replace it.") from None


@contextmanager
def _named(source: Path | str | bytes, most_pixels: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Yield the `opened` picture; errors name the file."""
    file, name = (
        (source, "This file") if isinstance(source, bytes) else (Path(source), f"{source}:")
    )
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            opened(file, most_pixels=most_pixels) as picture,
        ):
            yield picture
    # Pillow's decoders raise many errors for broken files.
    except Exception as error:
        raise InputError(f"{name} {reason(error)}. Remove or replace it.") from None


def picture_dataset(
    pictures: Sequence[Source],
    labels: np.ndarray,
    options: DataOptions,
    marks: Sequence[Hashable] | None = None,
    only: tuple[str, ...] | None = None,
    shown: Sequence[int] | None = None,
    **more: Any,
) -> RawDataset:
    """Return the data set of N `pictures`, with `more` fields of `RawDataset`.

    `marks` identify pictures after an interruption, by default by path, size and time. `only` are
    the accepted formats, `shown` the rows of the samples (default: the first of each class).
    Without a `preprocessing`, headers decide: squares of `image_size` pixels (default: 64, or the
    longest side if all are smaller), grey if all pictures are. Raises `UnreadableFiles`.
    """
    marks = list(map(_stamp, pictures)) if marks is None else marks
    # Names may be no Unicode.
    texts = (repr(mark).encode("utf-8", "surrogatepass") for mark in marks)
    keys = np.array(list(map(files.hash64, texts)), np.int64)
    how, has_large = options.preprocessing, True
    if how is None:
        how, has_large = _by_headers(pictures, options)
    with ExitStack() as stack:
        place = options.workplace or Path(stack.enter_context(files.scratch_folder()))
        stack.enter_context(files.writing_to(place))
        made, journal = _made(place, pictures, keys, how, only, not has_large, options)
        if options.preprocessing is None and how.channels == 3 and journal["is_grey"].all():
            how = replace(how, channels=1)
        images = empty_npy(place / "images.npy", (len(keys), *how.shape), np.uint8)
        order = np.argsort(journal["key"], kind="stable")
        order = order[np.searchsorted(journal["key"], keys, sorter=order)]
        for start in range(0, len(keys), COPIED_AT_ONCE):
            part = slice(start, start + COPIED_AT_ONCE)
            images[part] = made[order[part], : how.channels]
        images.flush()
        images = np.load(place / "images.npy", mmap_mode="r")
    shown = np.unique(labels, return_index=True)[1].tolist() if shown is None else shown
    return RawDataset(
        images=images,
        labels=labels,
        preprocessing=how,
        content=journal["content"][order],
        samples=[(row, _sample(pictures[row], how)) for row in shown],
        **more,
    )


def _stamp(source: Source) -> Hashable:
    if isinstance(source, zipfile.Path):
        return str(source), source.root.getinfo(source.at).CRC
    try:
        status = Path(str(source)).stat()
    except OSError:
        return str(source)
    return str(source), status.st_size, status.st_mtime_ns


def _by_headers(pictures: Sequence[Source], options: DataOptions) -> tuple[Preprocessing, bool]:
    """Return the preprocessing by headers, and True if a picture may be `LARGE`."""
    headers: list[tuple[int, bool]] = []
    try:
        for _, header in over_files(
            _header, pictures, options.track, "looking at images", at_once=AT_ONCE, processes=True
        ):
            headers.append(header)
    except UnreadableFiles:
        # Named later, with the pictures that cannot be decoded.
        if not headers:
            raise
    longest = max(edge for edge, _ in headers)
    size = options.image_size or min(DEFAULT_SIZE, longest)
    channels = 1 if all(is_grey for _, is_grey in headers) else 3
    return Preprocessing(channels, size, size), longest**2 > LARGE


def _header(_row: int, source: Source) -> tuple[int, bool]:
    with opened(source) as picture:
        is_grey = picture.mode in _GREY_MODES or picture.mode.startswith("I;16")
        return max(picture.size), is_grey


def _image(
    how: Preprocessing, only: tuple[str, ...] | None, _row: int, source: Source
) -> tuple[np.ndarray, int]:
    with opened(source, only) as picture:
        image = how(picture)
    return image, files.hash64(source.read_bytes())


def _made(
    place: Path,
    pictures: Sequence[Source],
    keys: np.ndarray,
    how: Preprocessing,
    only: tuple[str, ...] | None,
    processes: bool,
    options: DataOptions,
) -> tuple[np.ndarray, np.ndarray]:
    """Return all images in the order of their making, mapped uint8 `[M, C, H, W]`, and their
    journal `[M]`.
    """
    name, shape = typed.digest(how.described())[:16], how.shape
    paths = place / f"{name}.images", place / f"{name}.journal"
    pending: list[tuple[Any, ...]] = []
    noted = time.monotonic()
    with paths[0].open("ab") as images, paths[1].open("ab") as journal:
        # Images after the last note may be there in part.
        num_before = min(images.tell() // math.prod(shape), journal.tell() // _ENTRY.itemsize)
        images.truncate(num_before * math.prod(shape))
        journal.truncate(num_before * _ENTRY.itemsize)
        rows = np.flatnonzero(~np.isin(keys, np.fromfile(paths[1], _ENTRY)["key"]))
        if num_before and (there := len(keys) - len(rows)):
            options.say(f"{there:,} of {len(keys):,} images were prepared before")

        def note() -> None:
            # Only images on the disk survive a crash.
            images.flush()
            os.fsync(images.fileno())
            journal.write(np.array(pending, _ENTRY).tobytes())
            journal.flush()
            pending.clear()

        try:
            for row, (image, content) in over_files(
                partial(_image, how, only),
                pictures,
                options.track,
                "reading images",
                rows=rows,
                at_once=AT_ONCE,
                # Large pictures wait for one another, which processes could not.
                processes=processes,
            ):
                images.write(np.ascontiguousarray(image).data)
                pending.append((keys[row], content, (image == image[:1]).all()))
                if time.monotonic() - noted > FLUSH_SECONDS:
                    note()
                    noted = time.monotonic()
        finally:
            note()
    made = np.memmap(paths[0], np.uint8, "r").reshape(-1, *shape)
    return made, np.fromfile(paths[1], _ENTRY)


def _sample(source: Source, preprocessing: Preprocessing) -> np.ndarray:
    """Return a picture at most `SAMPLE_SIZE` wide: uint8 `[h, w]` or `[h, w, 3]`."""
    with opened(source) as picture:
        sample = plain(picture).convert("L" if preprocessing.channels == 1 else "RGB")
    sample.thumbnail((SAMPLE_SIZE, SAMPLE_SIZE))
    return np.asarray(sample)
