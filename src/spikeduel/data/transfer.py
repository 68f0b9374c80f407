"""Values for other processes and machines: large arrays stay in files, or in shared memory, once
for all.
"""

import io
import mmap
import pickle
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spikeduel.system.errors import InputError

SMALL = 1 << 16
"""Arrays of fewer bytes are pickled with everything else."""


class MappedArray(NamedTuple):
    """The place of an array in a file."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    def open(self) -> np.ndarray:
        """Map the array for reading. Raises `InputError` if the file is missing or too short."""
        try:
            return np.memmap(self.file, np.dtype(self.dtype), "r", self.offset, self.shape)
        except (OSError, ValueError):
            raise InputError(
                f"{platform.node()} does not find {self.file}. Have SPIKEDUEL_CACHE name a folder "
                f"that all machines share."
            ) from None


@dataclass(frozen=True, eq=False)
class SharedPayload:
    """A value without its large `arrays`: `pickled` holds everything else, and which array belongs
    where.
    """

    pickled: bytes
    arrays: Sequence[np.ndarray | MappedArray]

    @classmethod
    def of(cls, value: Any) -> "SharedPayload":
        """Take the large arrays out of `value`, which can be pickled. Maps of files stay maps."""
        file = io.BytesIO()
        pickler = _WithoutArrays(file)
        pickler.dump(value)
        return cls(file.getvalue(), pickler.arrays)

    def in_files(self, folder: Path) -> "SharedPayload":
        """Return the payload with its arrays in files: those that they are mapped from, or new ones
        in `folder`.
        """
        arrays = [
            _in_file(array, folder / f"{number}.bin") for number, array in enumerate(self.arrays)
        ]
        return SharedPayload(self.pickled, arrays)

    def load(self) -> Any:
        """Return the value, its arrays not copied; tensors become tensors again, copied.

        Raises `InputError` where the file of an array is missing.
        """
        arrays = [
            array.open() if isinstance(array, MappedArray) else array for array in self.arrays
        ]
        return _WithArrays(io.BytesIO(self.pickled), arrays).load()


def _in_file(array: np.ndarray | MappedArray, file: Path) -> MappedArray:
    if isinstance(array, MappedArray):
        return array
    # A slice of a map has the offset of the whole map, so that it has to be copied.
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
