"""Room for large arrays: in memory where there is enough of it, else in a file of the cache; and
parts of them.
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
"""Of the memory that is available, an array may take this part: there are several at a time."""


IMAGES_AT_ONCE = 1024


def room(shape: Sequence[int], dtype: Any = np.uint8) -> np.ndarray:
    """An uninitialised array: in memory, or where that would take too much of it, in a file without
    a name.

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


def tensor_room(shape: Sequence[int], dtype: Any = np.float32) -> "Tensor":
    """`room` as a tensor."""
    import torch

    return torch.from_numpy(room(shape, dtype))


def rows_of(tensor: "Tensor", rows: np.ndarray, at_once: int = 4096) -> "Tensor":
    """`tensor[rows]`, in a `tensor_room`."""
    import torch

    taken = tensor_room((len(rows), *tensor.shape[1:]), str(tensor.dtype).removeprefix("torch."))
    for start in range(0, len(rows), at_once):
        part = slice(start, start + at_once)
        taken[part] = tensor[torch.from_numpy(np.asarray(rows[part], np.int64))]
    return taken


def in_parts(images: Any, made: "Callable[..., Tensor]", *more: Any) -> "Tensor":
    """What `made` makes of all `images` `[N, …]`, `IMAGES_AT_ONCE` at a time, and `more`, in a
    room: they need not be in memory.
    """
    filled: Tensor | None = None
    for start in range(0, len(images), IMAGES_AT_ONCE):
        part = made(images[start : start + IMAGES_AT_ONCE], *more)
        if filled is None:
            filled = tensor_room(
                (len(images), *part.shape[1:]), str(part.dtype).removeprefix("torch.")
            )
        filled[start : start + len(part)] = part
    if filled is None:
        raise ValueError("there are no images")
    return filled


@dataclass(frozen=True, eq=False)
class Rows:
    """Some `rows` `[M]` of vectors, or of what `made` makes vectors of (float32 `[…, D]`), taken
    when asked for.
    """

    of: Any
    rows: np.ndarray
    made: "Callable[[Any], Tensor] | None" = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """`[M, …]`"""
        return (len(self), *self.of.shape[1:])

    def __getitem__(self, index: Any) -> Any:
        taken = self.of[self.rows[index if isinstance(index, slice) else np.asarray(index)]]
        return taken if self.made is None else self.made(taken)


def allocated(path: Path, shape: Sequence[int], dtype: np.dtype) -> np.memmap:
    """A new .npy file of zeros, mapped. Raises the system's error where the disk is full."""
    array: np.memmap = np.lib.format.open_memmap(path, "w+", dtype, tuple(shape))
    with path.open("rb+") as file:
        _reserve(file.fileno(), path.stat().st_size)
    return array


def _reserve(descriptor: int, size: int) -> None:
    """Takes the bytes of a file on its disk, where that can be asked for: a map of a full one kills
    the process.
    """
    if hasattr(os, "posix_fallocate") and size:
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in (
                errno.EINVAL,
                errno.EOPNOTSUPP,
            ):  # as of a file system that copies on write
                raise
