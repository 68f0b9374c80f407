"""Decode picture files into one array on disk, on all cores; resumes after an interruption.

Images are appended to a file, with a journal of their pictures.
"""

import math
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.data.disk_arrays import empty_npy
from spikeduel.data.pictures import DEFAULT_SIZE, LARGE, Packed, content_of, opened
from spikeduel.data.prepared import DataOptions, RawDataset
from spikeduel.data.workers import over_files
from spikeduel.networks.preprocessing import Preprocessing, plain
from spikeduel.system import files, typed
from spikeduel.system.errors import UnreadableFiles

Source = Path | zipfile.Path | Packed

AT_ONCE = 128
"""Pictures that a worker makes at a time."""
FLUSH_SECONDS = 2.0
"""Seconds of work that an interrupted preparation loses at most."""
COPIED_AT_ONCE = 1024
SAMPLE_SIZE = 1024

_ENTRY = np.dtype([("key", np.int64), ("content", np.int64), ("is_grey", np.bool_)])
_GREY_MODES = {"1", "L", "LA", "La", "I", "F"}


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
    keys = np.array(list(map(_key, map(_stamp, pictures) if marks is None else marks)), np.int64)
    how, has_large = options.preprocessing, True
    if how is None:
        how, has_large = _by_headers(pictures, options)
    with _workplace(options) as place, files.writing_to(place):
        made, journal = _made(place, pictures, keys, how, has_large, only, options)
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


def _key(mark: Hashable) -> int:
    return files.hash64(repr(mark).encode("utf-8", "surrogatepass"))


def _stamp(source: Source) -> Hashable:
    if isinstance(source, zipfile.Path):
        return str(source), source.root.getinfo(source.at).CRC
    try:
        status = Path(str(source)).stat()
    except OSError:
        return str(source)
    return str(source), status.st_size, status.st_mtime_ns


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
            # Maps stay readable; `clean` later removes a file that is still open.
            shutil.rmtree(place, ignore_errors=True)


def _by_headers(pictures: Sequence[Source], options: DataOptions) -> tuple[Preprocessing, bool]:
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
    longest = max(side for side, _ in headers)
    size = options.image_size or min(DEFAULT_SIZE, longest)
    channels = 1 if all(is_grey for _, is_grey in headers) else 3
    return Preprocessing(channels, size, size), longest**2 > LARGE


def _header(_row: int, source: Source) -> tuple[int, bool]:
    with opened(source) as picture:
        is_grey = picture.mode in _GREY_MODES or picture.mode.startswith("I;16")
        return max(picture.size), is_grey


@dataclass
class _ImageMaker:
    preprocessing: Preprocessing
    only: tuple[str, ...] | None

    def __call__(self, _row: int, source: Source) -> tuple[np.ndarray, int]:
        with opened(source, self.only) as picture:
            image = self.preprocessing(picture)
        return image, content_of(source)


def _made(
    place: Path,
    pictures: Sequence[Source],
    keys: np.ndarray,
    how: Preprocessing,
    has_large: bool,
    only: tuple[str, ...] | None,
    options: DataOptions,
) -> tuple[np.ndarray, np.ndarray]:
    """Return all images in the order of their making, mapped uint8 `[M, C, H, W]`, and their
    journal `[M]`.
    """
    paths = [
        place / f"{typed.digest(how.described())[:16]}.{part}" for part in ("images", "journal")
    ]
    sizes = math.prod(how.shape), _ENTRY.itemsize
    for path in paths:
        path.touch()
    # Images after the last note may be there in part.
    before = min(path.stat().st_size // size for path, size in zip(paths, sizes, strict=True))
    for path, size in zip(paths, sizes, strict=True):
        os.truncate(path, before * size)
    rows = np.flatnonzero(~np.isin(keys, np.fromfile(paths[1], _ENTRY)["key"]))
    if before and (there := len(keys) - len(rows)):
        options.say(f"{there:,} of {len(keys):,} images are there from before; going on")
    pending: list[tuple[Any, ...]] = []
    noted = time.monotonic()
    with paths[0].open("ab") as images, paths[1].open("ab") as journal:

        def note() -> None:
            # Only images on the disk survive a crash.
            images.flush()
            os.fsync(images.fileno())
            journal.write(np.array(pending, _ENTRY).tobytes())
            journal.flush()
            pending.clear()

        try:
            for row, (image, content) in over_files(
                _ImageMaker(how, only),
                pictures,
                options.track,
                "reading images",
                rows=rows,
                at_once=AT_ONCE,
                # Large pictures wait for one another, which processes could not.
                processes=not has_large,
            ):
                images.write(np.ascontiguousarray(image).data)
                pending.append((keys[row], content, (image == image[:1]).all()))
                if time.monotonic() - noted > FLUSH_SECONDS:
                    note()
                    noted = time.monotonic()
        finally:
            note()
    made = np.memmap(paths[0], np.uint8, "r").reshape(-1, *how.shape)
    return made, np.fromfile(paths[1], _ENTRY)


def _sample(source: Source, preprocessing: Preprocessing) -> np.ndarray:
    """Return a picture at most `SAMPLE_SIZE` wide: uint8 `[h, w]` or `[h, w, 3]`."""
    with opened(source) as picture:
        sample = plain(picture).convert("L" if preprocessing.channels == 1 else "RGB")
    sample.thumbnail((SAMPLE_SIZE, SAMPLE_SIZE))
    return np.asarray(sample)
