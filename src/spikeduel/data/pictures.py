"""Open picture files with care, and make arrays of them."""

import importlib
import io
import sys
import threading
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from spikeduel.data.events import formats as formats_of_recordings
from spikeduel.data.workers import reason
from spikeduel.networks.preprocessing import MOST_PIXELS, Preprocessing, too_large
from spikeduel.system import files
from spikeduel.system.errors import InputError

FORMATS = (
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "HEIF", "JPEG", "JPEG2000", "PCX"),
    *("PNG", "PPM", "PSD", "QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP"),
)
"""Formats decoded where Pillow can, without those that need programs (EPS) or hide their size
(ICO).
"""
MOST_FILE_BYTES = 1 << 30
"""Larger picture files are refused."""
MOST_MEMBER_BYTES = 16 << 20
"""Larger pictures in zips, or in bytes, are refused: they lie in memory whole."""
DEFAULT_SIZE = 64
"""Default pixels a side of images, and of the longest side of frames."""
LARGE = MOST_PIXELS // 8
"""Pictures of more pixels are decoded one at a time."""
_ONE_LARGE_AT_A_TIME = threading.Lock()


class Packed(Protocol):
    """A picture's file within another one; `str` gives the user's name."""

    def read_bytes(self) -> bytes:
        """Return the whole file."""


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
    """Return the endings of pictures that are read: ".jpg" and others."""
    known = (*formats(), "MPO")  # JPEG files with several pictures
    return frozenset(
        ending for ending, name in Image.registered_extensions().items() if name in known
    )


@contextmanager
def opened(
    source: Path | zipfile.Path | Packed | bytes,
    only: tuple[str, ...] | None = None,
    most_pixels: int = MOST_PIXELS,
) -> Iterator[Image.Image]:
    """Open a picture and read its header; of several frames, the first.

    `only` defaults to `formats()`. Raises `InputError` for no regular file (a pipe would block) or
    more than `most_pixels`, and Pillow's errors. Large pictures wait for one another, to bound
    memory.
    """
    most = MOST_FILE_BYTES if isinstance(source, Path) else MOST_MEMBER_BYTES
    if isinstance(source, zipfile.Path):
        size = source.root.getinfo(source.at).file_size
    elif isinstance(source, Path):
        if not files.is_file(source):
            raise InputError("is not a regular file")
        size = source.stat().st_size
    else:
        source = source if isinstance(source, bytes) else source.read_bytes()
        size = len(source)
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


def content_of(source: Path | zipfile.Path | Packed) -> int:
    """Return a signed 64-bit hash of a file's bytes (`RawDataset.content`)."""
    return files.hash64(source.read_bytes())


def open_picture(path: Path | str) -> Image.Image:
    """Decode the picture in a file. Raises `InputError` naming the file."""
    with _named(path) as picture:
        picture.load()
        return picture


def prepared_picture(
    source: Path | str | bytes, preprocessing: Preprocessing, most_pixels: int = MOST_PIXELS
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
    if path.suffix.lower() not in formats_of_recordings.READERS:
        known = ", ".join(formats_of_recordings.READERS)
        raise InputError(f"{path}: the model takes recordings of an event camera ({known}).")
    try:
        return formats_of_recordings.read(path).packed()
    except (InputError, OSError) as error:
        raise InputError(f"{path}: {reason(error, 'a recording')}. Remove or replace it.") from None


@contextmanager
def _named(source: Path | str | bytes, most_pixels: int = MOST_PIXELS) -> Iterator[Image.Image]:
    """Yield the `opened` picture; errors name the file."""
    is_content = isinstance(source, bytes)
    try:
        file = source if isinstance(source, bytes) else Path(source)
        with (
            warnings.catch_warnings(action="ignore"),
            opened(file, most_pixels=most_pixels) as picture,
        ):
            yield picture
    # Pillow's decoders raise many errors for broken files.
    except Exception as error:
        name = "This file" if is_content else f"{source!s}:"
        raise InputError(f"{name} {reason(error)}. Remove or replace it.") from None
