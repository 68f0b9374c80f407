"""Many picture files to one array, several at a time, with one clear error for those that cannot be read."""

import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from PIL import Image

from spikeduel.data.preprocessing import MOST_PIXELS, Preprocessing, too_large
from spikeduel.system import files
from spikeduel.system.errors import InputError, UnreadableFiles

# Pillow knows some forty formats, and hands some of them to other programs: EPS to Ghostscript, whatever the file is
# called. These it decodes itself.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MOST_FILE_BYTES = 1 << 30
"""Larger picture files are refused."""
_LARGE = MOST_PIXELS // 8
_ONE_LARGE_AT_A_TIME = threading.Lock()

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Unreadable:
    item: Any
    reason: str


@contextmanager
def opened(source: Path | str | IO[bytes], formats: tuple[str, ...] = FORMATS) -> Iterator[Image.Image]:
    """The picture in a file, of which only the header is read yet; of several frames, the first.

    Raises `InputError` for what is no regular file (a pipe would be waited for) and for more than `MOST_PIXELS`, and
    whatever Pillow raises for what is no picture of these formats. Large ones wait for one another: each needs much
    memory.
    """
    if isinstance(source, Path | str) and not files.is_file(source):
        raise InputError("not a regular file")
    if isinstance(source, Path | str) and Path(source).stat().st_size > MOST_FILE_BYTES:
        raise InputError(f"larger than {MOST_FILE_BYTES / 1e6:,.0f} MB")
    try:
        picture = Image.open(source, formats=formats)
    except Image.DecompressionBombError:
        raise too_large() from None
    with picture:
        num_pixels = picture.width * picture.height
        if num_pixels > MOST_PIXELS:
            raise too_large(picture.size)
        with _ONE_LARGE_AT_A_TIME if num_pixels > _LARGE else nullcontext():
            yield picture


def over_pictures(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    track: Callable[[Iterable[Any], str, int | None], Iterable[Any]],
    description: str,
    name: Callable[[Item], str] = str,
) -> list[Result]:
    """`function` of each item, in order, in a few threads (Pillow decodes outside Python's global lock).

    Raises `UnreadableFiles` with all items for which it fails.
    """

    def attempt(item: Item) -> Result | _Unreadable:
        try:
            return function(item)
        # Pillow's decoders raise whatever a broken file makes them stumble on.
        except Exception as error:
            return _Unreadable(item, reason(error))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            results = list(track(pool.map(attempt, items), description, len(items)))
    failed = [result for result in results if isinstance(result, _Unreadable)]
    if failed:
        raise UnreadableFiles({name(each.item): each.reason for each in failed})
    return results


def room_for(count: int, preprocessing: Preprocessing) -> np.ndarray:
    """An uninitialised uint8 `[count, C, H, W]`. Raises `InputError` where memory does not suffice."""
    shape = (count, preprocessing.channels, preprocessing.height, preprocessing.width)
    try:
        return np.empty(shape, dtype=np.uint8)
    except (MemoryError, ValueError):
        raise InputError(
            f"image_size {preprocessing.width}: {count} images of that size do not fit in memory. Choose a smaller one."
        ) from None


def reason(error: Exception) -> str:
    """Why a picture could not be decoded, in words that follow the file's name."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "cannot be read as an image"
    text = str(error).rstrip(".")
    if isinstance(error, InputError):
        return text
    return f"cannot be read as an image ({text or type(error).__name__})"
