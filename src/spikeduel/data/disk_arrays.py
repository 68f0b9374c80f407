"""Large arrays in memory or files, shared with other processes and machines."""

import errno
import io
import math
import mmap
import os
import pickle
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spikeduel.system import files
from spikeduel.system.errors import InputError
from spikeduel.system.memory import available_memory

if TYPE_CHECKING:
    from torch import Tensor

SHARE = 8
"""An array stays in memory if it takes at most 1/8 of the available memory."""
ROWS_AT_ONCE = 1024
_CANNOT_RESERVE = (errno.EINVAL, errno.EOPNOTSUPP)
"""Errors of file systems that cannot reserve, such as those that copy on write."""


def empty_array(shape: Sequence[int], dtype: Any = np.uint8) -> np.ndarray:
    """Return an uninitialised array, in memory or a nameless file.

    Raises `InputError` if the disk is full.
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
    """Create a .npy file of zeros and map it. Raises `OSError` if the disk is full."""
    array: np.memmap = np.lib.format.open_memmap(path, "w+", np.dtype(dtype), tuple(shape))
    with path.open("rb+") as file:
        _reserve(file.fileno(), path.stat().st_size)
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


def _reserve(descriptor: int, size: int) -> None:
    if hasattr(os, "posix_fallocate") and size:
        try:
            os.posix_fallocate(descriptor, 0, size)
        except OSError as error:
            if error.errno not in _CANNOT_RESERVE:
                raise


SMALL = 1 << 16
"""Arrays of fewer bytes are pickled with everything else."""


class MappedArray(NamedTuple):
    """The place of an array in a file."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    def open(self) -> np.ndarray:
        """Map the array. Raises `InputError` if the file is missing or too short."""
        try:
            return np.memmap(self.file, np.dtype(self.dtype), "r", self.offset, self.shape)
        except (OSError, ValueError):
            raise InputError(
                f"{platform.node()} does not find {self.file}. Have SPIKEDUEL_CACHE name a folder "
                f"that all machines share."
            ) from None


@dataclass(frozen=True, eq=False)
class SharedPayload:
    """A value without its large `arrays`; `pickled` holds the rest."""

    pickled: bytes
    arrays: Sequence[np.ndarray | MappedArray]

    @classmethod
    def of(cls, value: Any) -> "SharedPayload":
        """Take the large arrays out of a picklable value."""
        file = io.BytesIO()
        pickler = _WithoutArrays(file)
        pickler.dump(value)
        return cls(file.getvalue(), pickler.arrays)

    def in_files(self, folder: Path) -> "SharedPayload":
        """Return the payload with its arrays in files, unmapped ones in `folder`."""
        arrays = [
            _in_file(array, folder / f"{number}.bin") for number, array in enumerate(self.arrays)
        ]
        return SharedPayload(self.pickled, arrays)

    def load(self) -> Any:
        """Return the value; only tensors are copied. Raises `InputError` if a file is missing."""
        arrays = [
            array.open() if isinstance(array, MappedArray) else array for array in self.arrays
        ]
        return _WithArrays(io.BytesIO(self.pickled), arrays).load()


def _in_file(array: np.ndarray | MappedArray, file: Path) -> MappedArray:
    if isinstance(array, MappedArray):
        return array
    # A slice of a map has the offset of the whole map.
    if (
        isinstance(array, np.memmap)
        and isinstance(array.base, mmap.mmap)
        and array.filename is not None
    ):
        return MappedArray(str(array.filename), array.dtype.str, array.shape, array.offset)
    # Not `tofile`, which does not report a full disk.
    file.write_bytes(np.ascontiguousarray(array).data)
    return MappedArray(str(file), array.dtype.str, array.shape, 0)


class _WithoutArrays(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.arrays: list[np.ndarray] = []
        self._numbers: dict[int, int] = {}

    def persistent_id(self, value: Any) -> Any:
        import torch

        is_tensor = (
            isinstance(value, torch.Tensor)
            and value.device.type == "cpu"
            and not value.requires_grad
        )
        array = value.numpy() if is_tensor else value
        if not isinstance(array, np.ndarray) or array.dtype.hasobject:
            return None
        if array.nbytes < SMALL and not isinstance(array, np.memmap):
            return None
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self.arrays)
            self.arrays.append(array)
        return is_tensor, self._numbers[id(value)]


class _WithArrays(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, arrays: Sequence[np.ndarray]) -> None:
        super().__init__(file)
        self.arrays = arrays

    def persistent_load(self, place: Any) -> Any:
        import torch

        is_tensor, number = place
        array = self.arrays[number]
        return torch.from_numpy(np.array(array)) if is_tensor else array
