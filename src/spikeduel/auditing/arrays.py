"""Arrays of an audit: the split, recordings, and rows of arrays that may lie on disk."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from spikeduel.system import files
from spikeduel.system.large_arrays import empty_array

ROWS_AT_ONCE = 256
"""Rows that are transformed together: few enough for a processor's cache."""
TIME_SHIFT, Y_SHIFT, X_SHIFT = 27, 14, 1
"""Bits of a packed event, from the right: 1 polarity, 13 x, 13 y, 36 microseconds."""


class SplitIndices(NamedTuple):
    """Sorted indices (int64) of the images in each part of a split, which may be empty."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray

    def codes(self, count: int) -> np.ndarray:
        """Return int64 `[N]`: 0 for training, 1 for validation, 2 for test, −1 for neither."""
        codes = np.full(count, -1)
        for number, indices in enumerate(self):
            codes[indices] = number
        return codes


@dataclass(frozen=True, eq=False)
class EventRecordings:
    """N recordings of an event camera whose `sensor` has (height, width) pixels.

    `packed` uint64 `[E]` has the events of recording i from `offsets[i]` on, int64 `[N + 1]`,
    sorted. An event is microseconds << 27 | y << 14 | x << 1 | polarity.
    """

    packed: np.ndarray
    offsets: np.ndarray
    sensor: tuple[int, int]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def events_of(self, row: int) -> np.ndarray:
        """Return the events of one recording, uint64 `[E]`."""
        return self.packed[self.offsets[row] : self.offsets[row + 1]]

    def unpacked(self, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return x, y, microseconds and polarity (0 or 1) of the events, int64 `[E]` each."""
        words = self.events_of(row).astype(np.int64)
        largest = (1 << (Y_SHIFT - X_SHIFT)) - 1
        return (
            (words >> X_SHIFT) & largest,
            (words >> Y_SHIFT) & largest,
            words >> TIME_SHIFT,
            words & 1,
        )


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows `[M]` of vectors `of`, taken when indexed."""

    of: Any
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """`[M, …]`"""
        return (len(self), *self.of.shape[1:])

    def __getitem__(self, index: Any) -> Any:
        return self.of[self.rows[index if isinstance(index, slice) else np.asarray(index)]]


def rows_of(tensor: Tensor, rows: np.ndarray) -> Tensor:
    """Return `tensor[rows]`, which may lie on disk."""
    return in_parts(Rows(tensor, rows), lambda part: part)


def in_parts(images: Any, transform: Callable[[Any], Tensor]) -> Tensor:
    """Return `transform(images)` of `images` `[N, …]`, `ROWS_AT_ONCE` at a time.

    Raises `ValueError` without images.
    """
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


def equal_ids(images: Any) -> np.ndarray:
    """Return a number for each of N arrays, the same for equal ones only: int64 `[N]`."""
    numbers: dict[int, int] = {}
    hashes = (files.hash64(np.ascontiguousarray(image).data) for image in images)
    return np.array([numbers.setdefault(hash, len(numbers)) for hash in hashes], dtype=np.int64)
