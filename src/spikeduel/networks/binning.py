"""Frames of a recording: counts of events by time, polarity and place."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal, get_args

import numpy as np
from msgspec import Meta

from spikeduel.system.errors import InputError

TIME_SHIFT, Y_SHIFT, X_SHIFT = 27, 14, 1
"""Bits of a packed event, from the right: 1 polarity, 13 x, 13 y, 36 microseconds (19 hours)."""
LARGEST_SIDE, LONGEST = 1 << 13, 1 << 36
"""Most pixels a side, and microseconds, that these bits can hold."""


BACKWARDS, BACKWARDS_US = 0.01, 1000
"""Tolerated fall of time, as a share of the recording's length or in microseconds: some cameras
swap neighbouring events.
"""


@dataclass(frozen=True, eq=False)
class Events:
    """Events of a recording, `[N]` each.

    `x` and `y` are in pixels from the upper left, `t` in microseconds, `p` is 1 for brighter and 0
    for darker. `sensor` is (height, width) if known.
    """

    x: np.ndarray
    y: np.ndarray
    t: np.ndarray
    p: np.ndarray
    sensor: tuple[int, int] | None = None

    def packed(self) -> np.ndarray:
        """Return the events as uint64 `[N]` in order of time, which starts at 0; see `TIME_SHIFT`.

        Events at the same time are sorted by pixel, so that equal recordings are equal. Raises
        `InputError` for a recording without events or too long, a pixel outside the sensor, a
        polarity other than 0, 1 and −1, and time that runs backwards.
        """
        if not len(self.t):
            raise InputError("holds no events")
        x, y = (np.asarray(each).astype(np.int64) for each in (self.x, self.y))
        height, width = self.sensor or (LARGEST_SIDE, LARGEST_SIDE)
        outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)
        if outside.any():
            row = int(outside.argmax())
            of = (
                f"the sensor's {width}×{height} pixels"
                if self.sensor
                else f"the {LARGEST_SIDE:,} that a side may have"
            )
            raise InputError(f"event {row:,} is at ({x[row]}, {y[row]}), outside {of}")
        p = np.asarray(self.p)
        odd = (p != 0) & (p != 1) & (p != -1)
        if odd.any():
            row = int(odd.argmax())
            raise InputError(f"event {row:,} has polarity {p[row]}; 1 and 0 (or −1) are known")
        t = np.asarray(self.t).astype(np.int64)
        t -= t.min()
        if len(t) > 1 and (fall := int(-np.diff(t).min())) > max(
            BACKWARDS_US, BACKWARDS * int(t.max())
        ):
            row = int(np.diff(t).argmin())
            raise InputError(
                f"time runs backwards at event {row + 1:,}, by {fall:,} of {int(t.max()):,} "
                f"microseconds. Sort its "
                "events by time, if their times are right"
            )
        if (last := int(t.max())) >= LONGEST:
            raise InputError(
                f"lasts {last / 3.6e9:,.0f} hours; {LONGEST / 3.6e9:.0f} at most are taken"
            )
        packed = (t << TIME_SHIFT) | (y << Y_SHIFT) | (x << X_SHIFT) | (p > 0)
        return np.sort(packed.astype(np.uint64))


def unpacked(packed: np.ndarray) -> Events:
    """Return the columns of packed events."""
    words = packed.astype(np.int64)
    most = LARGEST_SIDE - 1
    return Events(
        (words >> X_SHIFT) & most, (words >> Y_SHIFT) & most, words >> TIME_SHIFT, words & 1
    )


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
