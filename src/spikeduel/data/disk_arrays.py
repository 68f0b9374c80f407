"""Large arrays in memory or files, shared with other processes and machines."""

import errno
import io
import math
import mmap
import os
import pickle
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.system.load import available_memory

if TYPE_CHECKING:
    from torch import Tensor

SHARE = 8
"""Arrays stay in memory up to 1/8 of the available memory."""
ROWS_AT_ONCE = 256
"""Rows that are transformed together: few enough for a processor's cache."""
_CANNOT_RESERVE = (errno.EINVAL, errno.EOPNOTSUPP)
"""Errors of file systems that cannot reserve, such as copy-on-write ones."""


def empty_array(shape: Sequence[int], dtype: Any = np.uint8) -> np.ndarray:
    """Return an uninitialised array, in memory or a file without a name.

    Raises `InputError` if the disk is full.
    """
    if SHARE * math.prod(shape) * np.dtype(dtype).itemsize <= available_memory():
        return np.empty(shape, dtype)
    with files.scratch_folder() as folder, files.writing_to(Path(folder)):
        return empty_npy(Path(folder) / "array.npy", shape, dtype)


def empty_npy(path: Path, shape: Sequence[int], dtype: Any) -> np.memmap:
    """Create a .npy file of zeros and map it. Raises `OSError` if the disk is full."""
    array: np.memmap = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), tuple(shape))
    if hasattr(os, "posix_fallocate"):
        with path.open("rb+") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            except OSError as error:
                if error.errno not in _CANNOT_RESERVE:
                    raise
    return array


def rows_of(tensor: "Tensor", rows: np.ndarray) -> "Tensor":
    """Return `tensor[rows]`, which may lie on disk."""
    return in_parts(Rows(tensor, rows), lambda part: part)


def in_parts(images: Any, transform: "Callable[[Any], Tensor]") -> "Tensor":
    """Return `transform(images)` of `images` `[N, …]`, `ROWS_AT_ONCE` at a time.

    Raises `ValueError` without images.
    """
    import torch

    filled: Tensor | None = None
    for start in range(0, len(images), ROWS_AT_ONCE):
        part = transform(images[start : start + ROWS_AT_ONCE])
        if filled is None:
            dtype = str(part.dtype).removeprefix("torch.")
            filled = torch.from_numpy(empty_array((len(images), *part.shape[1:]), dtype))
        filled[start : start + len(part)] = part
    if filled is None:
        raise ValueError("there are no images")
    return filled


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows `[M]` of vectors `of`, taken when indexed and transformed to float32 `[…, D]`."""

    of: Any
    rows: np.ndarray
    transform: "Callable[[Any], Tensor] | None" = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """`[M, …]`"""
        return (len(self), *self.of.shape[1:])

    def __getitem__(self, index: Any) -> Any:
        taken = self.of[self.rows[index if isinstance(index, slice) else np.asarray(index)]]
        return taken if self.transform is None else self.transform(taken)


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
