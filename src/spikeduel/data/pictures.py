"""Picture files: found in folders, opened with care, decoded several at a time."""

import os
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from PIL import Image

from spikeduel.data.prepared import Track
from spikeduel.data.preprocessing import MOST_PIXELS, Preprocessing, too_large
from spikeduel.system import files
from spikeduel.system.errors import InputError, UnreadableFiles

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm")
LISTED_EXTENSIONS = ", ".join(extension[1:] for extension in EXTENSIONS)
# Pillow knows some forty formats, and hands some of them to other programs: EPS to Ghostscript, whatever the file is
# called. These it decodes itself.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
MOST_FILE_BYTES = 1 << 30
"""Larger picture files are refused."""
DEEPEST = 32
"""Folders nested deeper than this are refused."""
_LARGE = MOST_PIXELS // 8
_ONE_LARGE_AT_A_TIME = threading.Lock()

Item = TypeVar("Item")
Result = TypeVar("Result")


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
    track: Track,
    description: str,
    name: Callable[[Item], str] = str,
) -> list[Result]:
    """`function` of each item, in order, in a few threads (Pillow decodes outside Python's global lock).

    Raises `UnreadableFiles` with all items for which it fails.
    """

    reasons: dict[int, str] = {}

    def attempt(row: int) -> Result | None:
        try:
            return function(items[row])
        # Pillow's decoders raise whatever a broken file makes them stumble on.
        except Exception as error:
            reasons[row] = _reason(error)
            return None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            results = list(track(pool.map(attempt, range(len(items))), description, len(items)))
    if reasons:
        raise UnreadableFiles({name(items[row]): reasons[row] for row in sorted(reasons)})
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


def _reason(error: Exception) -> str:
    """Why a picture could not be decoded, in words that follow the file's name."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "cannot be read as an image"
    text = str(error).rstrip(".")
    if isinstance(error, InputError):
        return text
    return f"cannot be read as an image ({text or type(error).__name__})"


def inside(folder: Path) -> list[Path]:
    """What lies in `folder`, by name. Raises `InputError`."""
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror or error}).") from None


def subfolders(folder: Path) -> list[Path]:
    """The folders in `folder`, hidden ones left out."""
    return [path for path in inside(folder) if _is_subfolder(path)]


def _is_subfolder(path: Path) -> bool:
    return not path.name.startswith((".", "__")) and files.is_folder(path)


def is_image(path: Path) -> bool:
    """Whether a file is called like an image."""
    # What is called like an image and is a pipe, a socket or a device is no regular file, and left alone.
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".") and files.is_file(path)


def walk(folder: Path, visited: set[str], depth: int = 0) -> Iterator[Path]:
    """The images in `folder` and below, links followed; each real folder once, so that a loop of links ends.

    Raises `InputError` for folders that cannot be read or lie deeper than `DEEPEST`.
    """
    real = os.path.realpath(folder)
    if real in visited:
        return
    visited.add(real)
    if depth > DEEPEST:
        raise InputError(f"{folder}: nested deeper than {DEEPEST} folders. Move its images up.")
    for path in inside(folder):
        if _is_subfolder(path):
            yield from walk(path, visited, depth + 1)
        elif is_image(path):
            yield path


def picture_files(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The files among `paths`, and all images in the folders among them, in order; and what is wrong with the rest."""
    pictures: list[Path] = []
    unusable: list[str] = []
    for path in paths:
        if files.is_folder(path):
            images = list(walk(path, set()))
            if not images:
                unusable.append(f"{path}: holds no images ({LISTED_EXTENSIONS}).")
            pictures += images
        elif files.is_file(path):
            pictures.append(path)
        else:
            unusable.append(f"{path}: {'not a regular file' if os.path.lexists(path) else 'no such file'}.")
    return pictures, unusable


def open_picture(path: Path | str) -> Image.Image:
    """The picture in a file, decoded. Raises `InputError` naming the file where it cannot be read."""

    def decoded(picture: Image.Image) -> Image.Image:
        picture.load()
        return picture

    return _taken_from(path, decoded)


def prepared_picture(path: Path | str, preprocessing: Preprocessing) -> np.ndarray:
    """The picture in a file as a model gets it: uint8 `[C, H, W]`. Raises `InputError` naming the file."""
    return _taken_from(path, preprocessing)


def _taken_from(path: Path | str, take: Callable[[Image.Image], Result]) -> Result:
    if files.is_folder(path):
        raise InputError(f"{path}: a folder; name an image file in it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with opened(path) as picture:
                return take(picture)
    # Pillow's decoders raise whatever a broken file makes them stumble on.
    except Exception as error:
        raise InputError(f"{path}: {_reason(error)}. Remove or replace it.") from None
