"""Values handed to other processes and machines: arrays lie in files, or in shared memory, once for all."""

import io
import mmap
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SMALL = 1 << 16
"""Arrays of fewer bytes are handed on with the rest."""


class Mapped(NamedTuple):
    """Where an array lies in a file."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    def opened(self) -> np.ndarray:
        """The array, mapped for reading. Raises `OSError`, `ValueError` where the file is not there, or shorter."""
        return np.memmap(self.file, np.dtype(self.dtype), "r", self.offset, self.shape)


@dataclass(frozen=True)
class Apart:
    """A value taken apart: its large `arrays`, and the `rest`, which says where they belong."""

    rest: bytes
    arrays: list[np.ndarray]

    def together(self) -> Any:
        """The value. Its arrays are `arrays` as they lie; what was a tensor is one again, a copy."""
        return _Together(io.BytesIO(self.rest), self.arrays).load()


def apart(value: Any) -> Apart:
    """`value`, of anything that can be pickled, taken apart. Maps of files stay such."""
    rest = io.BytesIO()
    taking = _Apart(rest)
    taking.dump(value)
    return Apart(rest.getvalue(), taking.arrays)


def as_files(taken: Apart, folder: Path) -> list[Mapped]:
    """Where the arrays of `taken` lie: in the file that they are mapped from, else in a new one in `folder`."""
    found = []
    for number, array in enumerate(taken.arrays):
        # A part of a map says of itself that it begins where the whole one does.
        if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap) and array.filename is not None:
            found.append(Mapped(str(array.filename), array.dtype.str, array.shape, array.offset))
        else:
            file = folder / f"{number}.bin"
            np.ascontiguousarray(array).tofile(file)
            found.append(Mapped(str(file), array.dtype.str, array.shape, 0))
    return found


class _Apart(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.arrays: list[np.ndarray] = []
        self._places: dict[int, int] = {}

    def persistent_id(self, value: Any) -> Any:
        import torch

        is_tensor = isinstance(value, torch.Tensor) and value.device.type == "cpu" and not value.requires_grad
        array = value.numpy() if is_tensor else value
        if not isinstance(array, np.ndarray) or array.dtype.hasobject:
            return None
        if array.nbytes < SMALL and not isinstance(array, np.memmap):
            return None
        if id(value) not in self._places:
            self._places[id(value)] = len(self.arrays)
            self.arrays.append(array)
        return is_tensor, self._places[id(value)]


class _Together(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, arrays: list[np.ndarray]) -> None:
        super().__init__(file)
        self.arrays = arrays

    def persistent_load(self, place: Any) -> Any:
        import torch

        is_tensor, number = place
        array = self.arrays[number]
        return torch.from_numpy(np.array(array)) if is_tensor else array
