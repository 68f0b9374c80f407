"""Values handed to other processes and machines: arrays lie in files, or in shared memory, once for
all.
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
"""Arrays of fewer bytes are handed on with the rest."""


class Mapped(NamedTuple):
    """Where an array lies in a file."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    offset: int

    def opened(self) -> np.ndarray:
        """The array, mapped for reading. Raises `InputError` where the file is not there, or
        shorter.
        """
        try:
            return np.memmap(self.file, np.dtype(self.dtype), "r", self.offset, self.shape)
        except (OSError, ValueError):
            where = f"{platform.node()} does not find {self.file}"
            raise InputError(
                f"{where}. Have SPIKEDUEL_CACHE name a folder that all machines share."
            ) from None


@dataclass(frozen=True, eq=False)
class Apart:
    """A value taken apart: its large `arrays`, or where these lie, and the `rest`, which says where
    they belong.
    """

    rest: bytes
    arrays: Sequence[np.ndarray | Mapped]

    def in_files(self, folder: Path) -> "Apart":
        """The same, its arrays in files: those that they are mapped from, others in new ones in
        `folder`.
        """
        return Apart(
            self.rest, [_in_file(array, folder / f"{n}.bin") for n, array in enumerate(self.arrays)]
        )

    def together(self) -> Any:
        """The value. Its arrays are `arrays` as they lie; what was a tensor is one again, a copy.

        Raises `InputError` where a file with an array is not there.
        """
        arrays = [array.opened() if isinstance(array, Mapped) else array for array in self.arrays]
        return _Together(io.BytesIO(self.rest), arrays).load()


def apart(value: Any) -> Apart:
    """`value`, of anything that can be pickled, taken apart. Maps of files stay such."""
    rest = io.BytesIO()
    taking = _Apart(rest)
    taking.dump(value)
    return Apart(rest.getvalue(), taking.arrays)


def _in_file(array: np.ndarray | Mapped, file: Path) -> Mapped:
    if isinstance(array, Mapped):
        return array
    # A part of a map says of itself that it begins where the whole one does.
    if (
        isinstance(array, np.memmap)
        and isinstance(array.base, mmap.mmap)
        and array.filename is not None
    ):
        return Mapped(str(array.filename), array.dtype.str, array.shape, array.offset)
    # `tofile` would not say that a disk is full.
    file.write_bytes(np.ascontiguousarray(array).data)
    return Mapped(str(file), array.dtype.str, array.shape, 0)


class _Apart(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=5)
        self.arrays: list[np.ndarray] = []
        self._places: dict[int, int] = {}

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
        if id(value) not in self._places:
            self._places[id(value)] = len(self.arrays)
            self.arrays.append(array)
        return is_tensor, self._places[id(value)]


class _Together(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, arrays: Sequence[np.ndarray]) -> None:
        super().__init__(file)
        self.arrays = arrays

    def persistent_load(self, place: Any) -> Any:
        import torch

        is_tensor, number = place
        array = self.arrays[number]
        return torch.from_numpy(np.array(array)) if is_tensor else array
