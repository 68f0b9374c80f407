"""Single picture files, for a model that is already trained."""

import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from spikeduel.data.decoding import opened, reason
from spikeduel.data.folder import EXTENSIONS, walk
from spikeduel.data.preprocessing import Preprocessing
from spikeduel.system import files
from spikeduel.system.errors import InputError

Taken = TypeVar("Taken")


def picture_files(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The files among `paths`, and all images in the folders among them, in order; and what is wrong with the rest."""
    found: list[Path] = []
    unusable: list[str] = []
    for path in paths:
        if files.is_folder(path):
            inside = list(walk(path, set()))
            if not inside:
                unusable.append(f"{path}: holds no images ({', '.join(e[1:] for e in EXTENSIONS)}).")
            found += inside
        elif files.is_file(path):
            found.append(path)
        else:
            unusable.append(f"{path}: {'not a regular file' if os.path.lexists(path) else 'no such file'}.")
    return found, unusable


def open_picture(path: Path | str) -> Image.Image:
    """The picture in a file, decoded. Raises `InputError` naming the file where it cannot be read."""

    def decoded(picture: Image.Image) -> Image.Image:
        picture.load()
        return picture

    return _taken_from(path, decoded)


def prepared_picture(path: Path | str, preprocessing: Preprocessing) -> np.ndarray:
    """The picture in a file as a model gets it: uint8 `[C, H, W]`. Raises `InputError` naming the file."""
    return _taken_from(path, preprocessing)


def _taken_from(path: Path | str, take: Callable[[Image.Image], Taken]) -> Taken:
    if files.is_folder(path):
        raise InputError(f"{path}: a folder; name an image file in it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with opened(path) as picture:
                return take(picture)
    # Pillow's decoders raise whatever a broken file makes them stumble on.
    except Exception as error:
        raise InputError(f"{path}: {reason(error)}. Remove or replace it.") from None
