"""Frames of a recording: counts of events by time, polarity and place."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, get_args

import numpy as np
from msgspec import Meta

from spikeduel.networks.events import TIME_SHIFT

Pixels = Annotated[int, Meta(ge=1, le=8192)]
Change = Literal["none", "collapsed", "reversed", "shuffled", "redrawn", "merged"]
"""Information taken away from recordings, see `Binning`."""
Alter = Callable[
    [np.ndarray, np.ndarray, np.ndarray, np.ndarray, tuple[int, int]],
    tuple[np.ndarray, np.ndarray, np.ndarray],
]
"""Changes events: (packed, begins, ends, last times, sensor) -> (packed, begins, ends)."""
_SHUFFLED = 0x5F0E
"""Separates these random numbers from others for the same recording."""


@dataclass(frozen=True)
class Binning:
    """Division of a recording into `num_frames` T frames of 2 polarities; kept with a model.

    `sensor` is (height, width). `by` "time": frames last `frame_us` microseconds, or, if None, a
    T-th of the used part; "events": frames have a T-th of the events. The used part begins at
    `start_us` and ends before `stop_us` (None: at the end), both from the first event. `factor`
    pixels a side become one. `binary`: a pixel is 1 for any events, else their number (255 at
    most).

    `change` takes information away: "collapsed": every frame has all events; "reversed": the last
    frame comes first; "shuffled": frames in random order, another for each recording; "redrawn":
    events in random frames; "merged": one polarity.
    """

    num_frames: Annotated[int, Meta(ge=1, le=4096)]
    sensor: tuple[Pixels, Pixels]
    by: Literal["time", "events"] = "time"
    frame_us: Annotated[int, Meta(ge=1)] | None = None
    start_us: Annotated[int, Meta(ge=0)] = 0
    stop_us: Annotated[int, Meta(ge=1)] | None = None
    factor: Annotated[int, Meta(ge=1)] = 1
    binary: bool = False
    change: Change = "none"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (2·T, height, width) of the frames, one after the other, darker before brighter."""
        height, width = (-(-side // self.factor) for side in self.sensor)
        return 2 * self.num_frames, height, width

    def frames(
        self,
        packed: np.ndarray,
        offsets: np.ndarray,
        rows: np.ndarray,
        alter: Alter | None = None,
    ) -> np.ndarray:
        """Return uint8 `[B, 2·T, H, W]` of the recordings `rows` `[B]`, their events changed by
        `alter`.

        Recording i has the events (`Events.packed`) `packed[offsets[i]:offsets[i + 1]]`. Events
        outside the sensor are left out. `alter` does not change a recording's length.
        """
        from spikeduel.networks.binning_kernel import bin_recordings
        from spikeduel.spiking.kernels.cpu import run_chunks

        rows = np.asarray(rows, np.int64)
        begins, ends = offsets[rows], offsets[rows + 1]
        lasts = (packed[ends - 1] >> np.uint64(TIME_SHIFT)).astype(np.int64)
        if alter is not None:
            packed, begins, ends = alter(packed, begins, ends, lasts, self.sensor)
        out = np.zeros((len(rows), *self.shape), np.uint8)
        kernel = partial(
            bin_recordings,
            packed,
            begins,
            ends,
            lasts,
            rows,
            out,
            np.array(self.sensor, np.int64),
            self.by == "events",
            self.frame_us or 0,
            self.start_us,
            -1 if self.stop_us is None else self.stop_us,
            self.factor,
            self.binary,
            get_args(Change).index(self.change),
            self._orders(rows),
        )
        run_chunks(kernel, len(rows), work=int((ends - begins).sum()))
        return out

    def received(
        self, packed: np.ndarray, offsets: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the end of each frame and the number of events until then, int64 `[B, T]` both.

        Ends are in microseconds from the beginning of the used part of the recordings `rows` `[B]`.
        A `change` is ignored.
        """
        ends, counts = np.empty((2, len(rows), self.num_frames), np.int64)
        parts = np.arange(1, self.num_frames + 1)
        for place, row in enumerate(rows):
            times = (packed[offsets[row] : offsets[row + 1]] >> np.uint64(TIME_SHIFT)).astype(
                np.int64
            )
            stop = (
                self.stop_us
                if self.stop_us is not None
                else (times[-1] + 1 if len(times) else self.start_us)
            )
            begin, end = np.searchsorted(times, (self.start_us, stop))
            taken = times[begin:end] - self.start_us
            if self.by == "events":
                counts[place] = -(-parts * len(taken) // self.num_frames)
                ends[place] = taken[np.maximum(counts[place] - 1, 0)] + 1 if len(taken) else 0
            else:
                length = (
                    self.frame_us * self.num_frames
                    if self.frame_us
                    else max(stop - self.start_us, 1)
                )
                ends[place] = -(-parts * length // self.num_frames)
                counts[place] = np.searchsorted(taken, ends[place])
        return ends, counts

    def _orders(self, rows: np.ndarray) -> np.ndarray:
        """Return the frame in which each frame's events are put, int64 `[B, T]`."""
        in_turn = np.arange(self.num_frames)
        if self.change == "reversed":
            return np.tile(in_turn[::-1], (len(rows), 1))
        if self.change == "shuffled":
            drawn = [
                np.random.Generator(np.random.Philox(key=[row, _SHUFFLED])) for row in rows.tolist()
            ]
            return np.array([each.permutation(in_turn) for each in drawn]).reshape(len(rows), -1)
        return np.tile(in_turn, (len(rows), 1))
