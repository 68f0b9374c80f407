"""Pickle large arrays as files that other processes and machines share."""

import io
import mmap
import pickle
import platform
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.system.errors import InputError

SMALL = 1 << 16
"""Arrays of fewer bytes are pickled as they are."""


def pickled(value: Any, folder: Path) -> bytes:
    """Pickle a value, large arrays as maps of their files or of new ones in `folder`.
    `pickle.loads` raises `InputError` if a file is missing.
    """
    file = io.BytesIO()
    _Pickler(file, folder).dump(value)
    return file.getvalue()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO, folder: Path) -> None:
        super().__init__(file)
        self._new = (folder / f"{number}.bin" for number in count())

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, np.ndarray) or value.dtype.hasobject:
            return NotImplemented
        # A slice of a map has the offset of the whole map; a file for the time being is gone.
        if (
            isinstance(value, np.memmap)
            and isinstance(value.base, mmap.mmap)
            and Path(str(value.filename)).is_file()
        ):
            path, offset = Path(str(value.filename)), value.offset
        elif value.nbytes >= SMALL:
            path, offset = next(self._new), 0
            # Not `tofile`, which does not report a full disk.
            path.write_bytes(np.ascontiguousarray(value).data)
        else:
            return NotImplemented
        return _mapped, (str(path), value.dtype.str, value.shape, offset)


def _mapped(file: str, dtype: str, shape: tuple[int, ...], offset: int) -> np.ndarray:
    try:
        return np.memmap(file, np.dtype(dtype), "r", offset, shape)
    except (OSError, ValueError):
        raise InputError(
            f"{platform.node()} does not find {file}. Have SPIKEDUEL_CACHE name a folder that all "
            f"machines share."
        ) from None
