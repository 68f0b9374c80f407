"""Many picture files to one array, several at a time, with one clear error for those that cannot be read."""

import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from spikeduel.data.preprocessing import Preprocessing
from spikeduel.errors import InputError, UnreadableFiles

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Unreadable:
    item: Any
    reason: str


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
    return f"cannot be read as an image ({text or type(error).__name__})"
