"""The recordings of a data set, kept as events, that look like an array of images: frames are made
when taken.
"""

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np

from spikeduel.data.disk_arrays import empty_array
from spikeduel.data.events.altering import Alteration, alteration_of
from spikeduel.networks.binning import Binning
from spikeduel.networks.events import TIME_SHIFT
from spikeduel.results.costs import EventRates

AT_ONCE = 256
"""Recordings binned at once where all are asked for."""
BRIGHT = 0.99
"""In a picture of a recording, the share of pixels with events that are not the brightest."""


@dataclass(frozen=True, eq=False)
class Recordings:
    """N recordings as uint8 `[N, 2·T, H, W]`: counts of events, frame after frame, made by
    `binning` when taken.

    `packed` uint64 `[E]` has the events of one recording after the other (`Events.packed`);
    recording i begins at `offsets[i]`, int64 `[N + 1]`. `altering` says what is done to those of
    rows `[B]` before they are binned.
    """

    packed: np.ndarray
    offsets: np.ndarray
    binning: Binning
    altering: Callable[[np.ndarray], Alteration] | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """`[N, 2·T, H, W]`, as of an array."""
        return (len(self), *self.binning.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the events."""
        return self.packed.nbytes

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: Any) -> np.ndarray:
        rows = np.arange(len(self))[index]
        taken = np.atleast_1d(rows)
        alter = None if self.altering is None else self.altering(taken).altered
        frames = self.binning.frames(self.packed, self.offsets, taken, alter)
        return frames[0] if np.ndim(rows) == 0 else frames

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:]

    def received(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """When each frame of the recordings `rows` is over, and how many events had come: see
        `Binning.received`.
        """
        return self.binning.received(self.packed, self.offsets, rows)

    def events_of(self, row: int) -> np.ndarray:
        """The events of one recording, uint64 `[E]`."""
        return self.packed[self.offsets[row] : self.offsets[row + 1]]

    def checksum(self, row: int) -> bytes:
        """16 bytes that only equal recordings share."""
        return hashlib.blake2b(
            np.ascontiguousarray(self.events_of(row)).data, digest_size=16
        ).digest()

    def binned(self, binning: Binning) -> "Recordings":
        """The same events, binned otherwise."""
        return replace(self, binning=binning)

    def altered(self, names: Sequence[str], seed: int, epoch: int) -> "Recordings":
        """The same as they are in an epoch of training: changed by those of `EVENT_AUGMENTATIONS`
        called `names`.
        """
        return replace(
            self, altering=partial(alteration_of, names, self.binning.num_frames, seed, epoch)
        )

    def in_memory(self) -> "Recordings":
        """The same, its events copied into memory."""
        return replace(self, packed=np.array(self.packed), offsets=np.array(self.offsets))

    def rates(self, rows: np.ndarray) -> EventRates:
        """How many events the recordings `rows` `[M]` have, and how sparse their frames are."""
        begins, ends = self.offsets[rows], self.offsets[rows + 1]
        microseconds = (self.packed[ends - 1] >> np.uint64(TIME_SHIFT)) + np.uint64(1)
        seen = filled = 0
        for start in range(0, len(rows), AT_ONCE):
            frames = self[rows[start : start + AT_ONCE]]
            seen, filled = (
                seen + int(frames.sum(dtype=np.int64)),
                filled + int(np.count_nonzero(frames)),
            )
        return EventRates(
            a_second=float((ends - begins).sum() / (microseconds.sum(dtype=np.float64) / 1e6)),
            each=float((ends - begins).mean()),
            in_frames=seen / len(rows),
            non_zero=filled / (len(rows) * math.prod(self.binning.shape)),
        )

    @cached_property
    def pictures(self) -> np.ndarray:
        """A picture of each recording, uint8 `[N, 1, H, W]`: all its events over one another, the
        brighter the more.
        """
        return self._pictured(1)

    @cached_property
    def halves(self) -> np.ndarray:
        """Pictures of both halves of each recording's time, uint8 `[N, 2, H, W]`: they show what
        moves where.
        """
        return self._pictured(2)

    def _pictured(self, parts: int) -> np.ndarray:
        whole = replace(
            self.binning,
            num_frames=parts,
            by="time",
            frame_us=None,
            start_us=0,
            stop_us=None,
            binary=False,
        )
        pictures = empty_array((len(self), parts, *whole.shape[1:]))
        for start in range(0, len(self), AT_ONCE):
            rows = np.arange(start, min(start + AT_ONCE, len(self)))
            frames = whole.frames(self.packed, self.offsets, rows)
            counts = frames.reshape(len(rows), parts, 2, *whole.shape[1:]).sum(2, dtype=np.float32)
            pictures[rows] = [picture_of(each) for each in counts]
        return pictures


def picture_of(counts: np.ndarray) -> np.ndarray:
    """uint8 of the shape of `counts` of events: the brighter the more, by the square root."""
    seen = counts[counts > 0]
    most = np.quantile(seen, BRIGHT) if len(seen) else 1.0
    return np.rint(255 * np.sqrt(np.minimum(counts / most, 1.0))).astype(np.uint8)
