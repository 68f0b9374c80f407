"""Arrays that may be larger than memory: kept in memory where there is room, else in a file of
the cache.
"""

import errno
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spikeduel.system import files
from spikeduel.system.memory import available_memory

if TYPE_CHECKING:
    from torch import Tensor

SHARE = 8
"""An array stays in memory if it takes at most this part (1/8) of the memory that is available."""
ROWS_AT_ONCE = 1024
_CANNOT_RESERVE = (errno.EINVAL, errno.EOPNOTSUPP)
"""Errors of file systems that cannot reserve, such as those that copy on write."""


def empty_array(shape: Sequence[int], dtype: Any = np.uint8) -> np.ndarray:
    """Return an uninitialised array, in memory or in a nameless file of the cache.

    Raises `InputError` where the disk is full.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if SHARE * size <= available_memory():
        return np.empty(shape, dtype)
    place = files.cache_dir()
    with files.writing_to(place):
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            _reserve(file.fileno(), size)
            return np.memmap(file, dtype, "w+", shape=tuple(shape))


def empty_npy(path: Path, shape: Sequence[int], dtype: Any) -> np.memmap:
    """Create a .npy file of zeros and map it. Raises `OSError` where the disk is full."""
    array: np.memmap = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), tuple(shape))
    with path.open("rb+") as file:
        _reserve(file.fileno(), path.stat().st_size)
    return array


def rows_of(tensor: "Tensor", rows: np.ndarray) -> "Tensor":
    """Return `tensor[rows]` as a tensor that may lie on disk."""
    return in_parts(Rows(tensor, rows), lambda part: part)


def in_parts(images: Any, transform: "Callable[[Any], Tensor]") -> "Tensor":
    """Return `transform(images)` of `images` `[N, …]`, computed `ROWS_AT_ONCE` at a time, as a
    tensor that may lie on disk. Raises `ValueError` where there are none.
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
    """The `rows` `[M]` of vectors `of`, taken when indexed; `transform` makes them vectors (float32
    `[…, D]`).
    """

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


def _reserve(descriptor: int, size: int) -> None:
    """Reserve a file's bytes on its disk where the system can: writing through a map of a full
    disk kills the process.
    """
    if hasattr(os, "posix_fallocate") and size:
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise
