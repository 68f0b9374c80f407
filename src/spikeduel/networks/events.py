"""Events of a recording: checked columns, or one sorted number an event."""

from dataclasses import dataclass

import numpy as np

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
