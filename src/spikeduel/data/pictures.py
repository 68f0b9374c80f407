"""Single picture files, for a model that is already trained."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from spikeduel.data.decoding import reason
from spikeduel.data.folder import EXTENSIONS, walk
from spikeduel.errors import InputError


def picture_files(paths: Sequence[Path]) -> list[Path]:
    """The files among `paths`, and all images in the folders among them, in order. Raises `InputError`."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = list(walk(path, set()))
            if not inside:
                raise InputError(f"{path}: holds no images ({', '.join(e[1:] for e in EXTENSIONS)}).")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise InputError(f"{path}: no such file.")
    return found


def open_picture(path: Path | str) -> Image.Image:
    """The picture in a file, decoded. Raises `InputError` naming the file where it cannot be read."""
    if Path(path).is_dir():
        raise InputError(f"{path}: a folder; name an image file in it.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as picture:
                picture.load()
                return picture
    # Pillow's decoders raise whatever a broken file makes them stumble on.
    except Exception as error:
        raise InputError(f"{path}: {reason(error)}. Remove or replace it.") from None
