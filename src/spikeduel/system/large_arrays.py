"""Large arrays in memory or in files."""

import errno
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spikeduel.system import files
from spikeduel.system.load import available_memory

SHARE = 8
"""Arrays stay in memory up to 1/8 of the available memory."""
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
